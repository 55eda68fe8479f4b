"""Lanes: what is ready to be handled, and what waits behind another message of its key."""

from collections import deque
from collections.abc import Callable, Hashable

from msgkit.spi import RawDelivery

__all__ = ["Lanes"]


class Lanes:
    """Deliveries in order of arrival; of each lane only the first is ready."""

    __slots__ = ("_waiting", "enabled", "ready")

    def __init__(self, *, enabled: bool = True) -> None:
        #: Switched off where messages are handled one at a time anyway.
        self.enabled = enabled
        self.ready: deque[RawDelivery] = deque()
        # A lane is here while one of it is ready or running; most have nobody waiting.
        self._waiting: dict[Hashable, deque[RawDelivery] | None] = {}

    def add(self, raw: RawDelivery) -> None:
        lane = raw.lane
        if lane is None or not self.enabled:
            self.ready.append(raw)
        elif lane in self._waiting:
            waiting = self._waiting[lane]
            if waiting is None:
                self._waiting[lane] = deque((raw,))
            else:
                waiting.append(raw)
        else:
            self._waiting[lane] = None
            self.ready.append(raw)

    def done(self, raw: RawDelivery) -> bool:
        """Let the next of the lane be ready; tell whether there was one."""
        lane = raw.lane
        if lane is None or not self.enabled:
            return False
        waiting = self._waiting.get(lane)
        if waiting:
            self.ready.append(waiting.popleft())
            return True
        self._waiting.pop(lane, None)
        return False

    def again(self, raw: RawDelivery) -> None:
        """Have one that kept its lane be ready once more."""
        self.ready.append(raw)

    def take_out(self, wanted: Callable[[RawDelivery], bool]) -> list[RawDelivery]:
        """Take out what has not begun; lanes go on with what remains of them."""
        taken: list[RawDelivery] = []
        for lane, waiting in self._waiting.items():
            if waiting:
                taken += filter(wanted, waiting)
                self._waiting[lane] = deque(raw for raw in waiting if not wanted(raw))
        heads = list(filter(wanted, self.ready))
        for raw in heads:
            self.ready.remove(raw)
            self.done(raw)
        return heads + taken

    def clear(self) -> None:
        self.ready.clear()
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return len(self.ready) + sum(len(waiting) for waiting in self._waiting.values() if waiting)
