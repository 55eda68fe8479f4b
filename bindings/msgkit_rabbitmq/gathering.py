"""What came back to an ordered queue, put in order again before any of it is handled.

A quorum queue keeps what was given back in a line of its own, which is served first. Who leaves when he was
served a part of it gives that part back to the end of the line: behind what follows it. So a consumer that begins
takes the whole line, and puts it as it was by how often each was given back: that was never more often than what stood
before it, and was less often than what stood before it and is behind it now. The line is never longer than what one
consumer may hold: so all of them may hold the same.
"""

from msgkit_rabbitmq.mapping import times_back
from msgkit_rabbitmq.wire import Delivered

__all__ = ["Gathering"]


class Gathering:
    """The first messages of a consumer, until one comes that was never given back, or no more can come."""

    __slots__ = ("_most", "messages")

    def __init__(self, most: int) -> None:
        self._most = most
        self.messages: list[Delivered] = []

    def add(self, message: Delivered) -> bool:
        """Take a message; tell whether the line has ended."""
        self.messages.append(message)
        return not message.redelivered or len(self.messages) >= self._most

    def in_order(self) -> list[Delivered]:
        """Return them as they stood in the queue. A classic queue counts nothing, and gives them back as they stood."""
        return sorted(self.messages, key=times_back, reverse=True)
