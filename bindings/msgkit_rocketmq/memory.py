"""What was accepted lately: brokers that were killed hand it out again.

They write down every few seconds how far groups have come.
"""

from collections import deque

from msgkit_rocketmq.loans import Place

__all__ = ["Memory"]

#: Seconds before a fault of which brokers may know nothing, and after it in which they hand out again.
_BEFORE, _AFTER = 15.0, 120.0
_MOST = 50_000


class Memory:
    """Is only believed for a while after a fault: without one, what comes again was asked for again."""

    __slots__ = ("_accepted", "_order", "_until")

    def __init__(self) -> None:
        self._order: deque[tuple[float, Place]] = deque()
        self._accepted: set[Place] = set()
        self._until = 0.0

    def note(self, place: Place, now: float) -> None:
        """Hear that a message was accepted."""
        if place not in self._accepted:
            self._accepted.add(place)
            self._order.append((now, place))
        if now >= self._until:
            self._forget(before=now - _BEFORE)
        elif len(self._order) > _MOST:
            self._drop()

    def trouble(self, now: float) -> None:
        """Hear of a fault."""
        self._forget(before=now - _BEFORE)
        self._until = now + _AFTER

    def knows(self, place: Place, now: float) -> bool:
        """Was this accepted, and comes again because of a fault?"""
        return now < self._until and place in self._accepted

    def clear(self) -> None:
        """Forget all: what comes again now is wanted."""
        self._order.clear()
        self._accepted.clear()
        self._until = 0.0

    def _forget(self, before: float) -> None:
        while self._order and (self._order[0][0] < before or len(self._order) > _MOST):
            self._drop()

    def _drop(self) -> None:
        self._accepted.discard(self._order.popleft()[1])
