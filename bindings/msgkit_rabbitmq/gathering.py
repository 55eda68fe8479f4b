"""What came back to an ordered queue, put in order again before any of it is handled.

A quorum queue keeps what was given back in a line of its own, which is served first. Who leaves when he was
served a part of it gives that part back to the end of the line: behind what was sent after it. So a consumer that
begins takes the whole line and sorts it by when the messages were sent. It is never longer than what one consumer
may hold: so all of them may hold the same.
"""

from msgkit_rabbitmq.mapping import sent_at
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
        """Return them as they were sent; as they came, if it is not known of all when that was."""
        times = [sent_at(message) for message in self.messages]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return self.messages
        return [message for _, _, message in sorted(zip(known, range(len(known)), self.messages, strict=True))]
