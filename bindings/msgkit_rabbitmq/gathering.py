"""What came back to an ordered queue, put in order again before any of it is handled.

A quorum queue keeps what was given back in a line of its own, which is served first. Who leaves when he was
served a part of it gives that part back to the end of the line: behind what was sent after it. So a consumer that
begins takes the whole line and sorts it by when the messages were sent. It is never longer than what one consumer
may hold: so all of them may hold the same.
"""

import asyncio
from collections.abc import Callable

from msgkit_rabbitmq.mapping import sent_at
from msgkit_rabbitmq.wire import Channel, Delivered, WireError

__all__ = ["Gathering", "line_has_ended"]

#: Seconds between two looks at whether more is to come.
_GLIMPSE = 0.01
_SURE = 2


class Gathering:
    """The first messages of a consumer, until one comes that was never given back, or no more can come."""

    __slots__ = ("_most", "is_whole", "messages")

    def __init__(self, most: int) -> None:
        self._most = most
        self.messages: list[Delivered] = []
        #: Has the line ended?
        self.is_whole = False

    def add(self, message: Delivered) -> None:
        self.messages.append(message)
        self.is_whole = not message.redelivered or len(self.messages) >= self._most

    def in_order(self) -> list[Delivered]:
        """Return them as they were sent; as they came, if it is not known of all when that was."""
        times = [sent_at(message) for message in self.messages]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return self.messages
        return [message for _, _, message in sorted(zip(known, range(len(known)), self.messages, strict=True))]


async def line_has_ended(queue: str, channel: Channel, is_known: Callable[[], bool]) -> None:
    """Return when all that came back to a queue has been delivered, or that is known otherwise, or the channel is lost.

    The channel answers before it passes on what it was given meanwhile: so it is asked twice.
    """
    empty = 0
    while empty < _SURE and not is_known():
        try:
            state = await channel.declare_queue(queue, passive=True)
        except WireError:
            return
        empty = empty + 1 if state.is_certain and state.messages == 0 else 0
        if not empty:
            await asyncio.sleep(_GLIMPSE)
