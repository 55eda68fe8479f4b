"""What a message costs: beside FastStream and beside bare JSON, in memory, and when a program starts."""
