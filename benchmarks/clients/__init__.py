"""What clients of a real broker are compared by, whichever broker it is."""
