"""What happens later, soonest first."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

__all__ = ["Due", "Ticket"]

_FEW = 64


class Ticket:
    """An action that is due later."""

    __slots__ = ("_due", "action")

    def __init__(self, due: "Due", action: Callable[[], None]) -> None:
        self._due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do nothing, and keep nothing; harmless when it was done or cancelled."""
        if self.action is not None:
            self.action = None
            self._due.cancelled()


class Due:
    """A heap of tickets; equals in the order in which they came."""

    __slots__ = ("_cancelled", "_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Ticket]] = []
        self._numbers = count()
        self._cancelled = 0

    def add(self, when: float, action: Callable[[], None]) -> Ticket:
        ticket = Ticket(self, action)
        heappush(self._heap, (when, next(self._numbers), ticket))
        return ticket

    def __len__(self) -> int:
        return len(self._heap)

    def first(self) -> float | None:
        """Return when something is due."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def take(self, now: float) -> Callable[[], None] | None:
        """Hand out the next action that is due by now."""
        first = self.first()
        if first is None or first > now:
            return None
        ticket = heappop(self._heap)[2]
        action, ticket.action = ticket.action, None
        return action

    def cancelled(self) -> None:
        """Sweep when most are cancelled: nothing should be kept for what will not happen."""
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapify(self._heap)
            self._cancelled = 0
