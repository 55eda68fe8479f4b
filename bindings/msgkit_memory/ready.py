"""What may be delivered next: in order of arrival, by priority, or one for each key."""

from collections import deque
from heapq import heappop, heappush
from typing import Protocol

from msgkit_memory.stored import Stored

__all__ = ["Fifo", "Lanes", "Prioritized", "Ready"]


class Ready(Protocol):
    """The waiting messages of one queue."""

    def push(self, stored: Stored, /) -> None:
        """Take in a message whose place is behind all others."""
        ...

    def restore(self, stored: Stored, /) -> None:
        """Take back a message at its old place."""
        ...

    def pop(self) -> Stored | None:
        """Hand out what comes next, if anything may."""
        ...

    def clear(self) -> list[Stored]:
        """Hand out all that waits, oldest first."""
        ...

    def waiting(self) -> list[Stored]:
        """Return all that waits, oldest first."""
        ...

    def __len__(self) -> int: ...


class Fifo:
    """First come, first served."""

    __slots__ = ("_behind", "_returned")

    def __init__(self) -> None:
        self._behind: deque[Stored] = deque()
        self._returned: list[tuple[int, Stored]] = []

    def push(self, stored: Stored, /) -> None:
        self._behind.append(stored)

    def restore(self, stored: Stored, /) -> None:
        heappush(self._returned, (stored.place, stored))

    def pop(self) -> Stored | None:
        if self._returned and (not self._behind or self._returned[0][0] < self._behind[0].place):
            return heappop(self._returned)[1]
        return self._behind.popleft() if self._behind else None

    def clear(self) -> list[Stored]:
        waiting = self.waiting()
        self._behind.clear()
        self._returned.clear()
        return waiting

    def waiting(self) -> list[Stored]:
        return sorted([*self._behind, *(stored for _, stored in self._returned)], key=_place)

    def __len__(self) -> int:
        return len(self._behind) + len(self._returned)


class Prioritized:
    """The most urgent first, and in order of arrival among equals."""

    __slots__ = ("_heap", "_highest")

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self._heap: list[tuple[int, int, Stored]] = []

    def push(self, stored: Stored, /) -> None:
        urgency = max(0, min(stored.envelope.priority or 0, self._highest))
        heappush(self._heap, (-urgency, stored.place, stored))

    restore = push

    def pop(self) -> Stored | None:
        return heappop(self._heap)[2] if self._heap else None

    def clear(self) -> list[Stored]:
        waiting = self.waiting()
        self._heap.clear()
        return waiting

    def waiting(self) -> list[Stored]:
        return sorted((stored for _, _, stored in self._heap), key=_place)

    def __len__(self) -> int:
        return len(self._heap)


class Lanes:
    """One for each key: a message is handed out when its predecessor has ended.

    A lane lasts from its head's arrival until its last message has ended, wherever the
    head is meanwhile: waiting, with a consumer, or held for a retry.
    """

    __slots__ = ("_heads", "_lanes", "_successors")

    def __init__(self) -> None:
        self._heads = Fifo()
        self._lanes: dict[str, deque[Stored] | None] = {}
        self._successors = 0

    def push(self, stored: Stored, /) -> None:
        key = stored.envelope.key
        if key is None:
            self._heads.push(stored)
        elif key not in self._lanes:
            self._lanes[key] = None
            self._heads.push(stored)
        else:
            lane = self._lanes[key] or deque[Stored]()
            self._lanes[key] = lane
            lane.append(stored)
            self._successors += 1

    def restore(self, stored: Stored, /) -> None:
        self._heads.restore(stored)

    def pop(self) -> Stored | None:
        return self._heads.pop()

    def ended(self, stored: Stored, /) -> None:
        """Let its successor move up."""
        key = stored.envelope.key
        if key is None:
            return
        if lane := self._lanes[key]:
            self._successors -= 1
            self._heads.restore(lane.popleft())
        else:
            del self._lanes[key]

    def behind(self, stored: Stored, /) -> int:
        """Return how many wait until a lane's head has ended."""
        key = stored.envelope.key
        return 0 if key is None else len(self._lanes.get(key) or ())

    def clear(self) -> list[Stored]:
        waiting = self.waiting()
        heads = {stored.envelope.key for stored in self._heads.clear()}
        self._lanes = {key: None for key in self._lanes if key not in heads}
        self._successors = 0
        return waiting

    def waiting(self) -> list[Stored]:
        behind = [stored for lane in self._lanes.values() if lane for stored in lane]
        return sorted(self._heads.waiting() + behind, key=_place)

    def __len__(self) -> int:
        return len(self._heads) + self._successors


def _place(stored: Stored) -> int:
    return stored.place
