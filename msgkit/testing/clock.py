"""Time that stands still until a test turns it forward."""

import asyncio
import heapq
from collections.abc import Callable
from functools import partial
from itertools import count

__all__ = ["VirtualClock", "VirtualTimer"]

#: A day in 2020: far from 0, and the same in every test.
_START = 1_577_836_800.0


class VirtualTimer:
    """A call that waits for its time."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock whose time passes only by `advance_to`; what is due is called in its order."""

    def __init__(self, start: float = _START) -> None:
        self._now = start
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._numbers = count()

    def now(self) -> float:
        return self._now

    def steady(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object]) -> VirtualTimer:
        timer = VirtualTimer(callback)
        heapq.heappush(self._timers, (self._now + max(delay, 0.0), next(self._numbers), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay, partial(_wake, future))
        try:
            await future
        finally:
            timer.cancel()

    @property
    def next_due(self) -> float | None:
        """When the next call is due."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance_to(self, moment: float) -> None:
        """Let time pass, and call what becomes due, each at its own time."""
        while (due := self.next_due) is not None and due <= max(self._now, moment):
            self._now = max(self._now, due)
            _, _, timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._now = max(self._now, moment)


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
