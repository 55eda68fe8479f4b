"""What a consumer has and the core has not, in the order in which it is handed out.

What the core gives back of an ordered queue waits here, too: the broker would send it again at once, asked for or not,
and behind what is already under way.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from msgkit.spi import RawDelivery
from msgkit_rabbitmq.taking import Handle, id_of
from msgkit_rabbitmq.wire import Delivered

__all__ = ["Inbox"]


class Inbox:
    """What was given back comes first: it was handed out before all that never was."""

    __slots__ = ("_back", "_came", "_handed", "_open")

    def __init__(self, open_: Callable[[Delivered], tuple[RawDelivery, Handle]]) -> None:
        self._open = open_
        self._came: deque[Delivered] = deque()
        self._back: list[tuple[RawDelivery, Handle]] = []
        self._handed = 0

    def __bool__(self) -> bool:
        return bool(self._came or self._back)

    def add(self, messages: Iterable[Delivered]) -> None:
        self._came.extend(messages)

    def put_back(self, delivery: RawDelivery, handle: Handle) -> None:
        """Keep what was given back, to be handed out as a new delivery at its old place."""
        insort(self._back, (replace(delivery), handle), key=_place)

    def next(self) -> tuple[RawDelivery, Handle]:
        """Return what is to be handed out now."""
        if self._back:
            return self._back.pop(0)
        delivery, handle = self._open(self._came.popleft())
        self._handed += 1
        handle.place = self._handed
        return delivery, handle

    def take_out(self) -> Iterator[Delivered]:
        """Take out what was never handed out."""
        while self._came:
            yield self._came.popleft()

    def clear(self) -> list[str]:
        """Forget all of it; return the ids of what was here."""
        ids = [*(delivery.envelope.message_id for delivery, _ in self._back), *map(id_of, self._came)]
        self._came.clear()
        self._back.clear()
        return ids


def _place(kept: tuple[RawDelivery, Handle]) -> int:
    return kept[1].place
