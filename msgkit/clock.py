"""The time that everything here goes by, so that a test can turn it forward."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["SYSTEM", "Clock", "SystemClock", "Timer"]

#: Seconds between two looks at the wall.
_LOOK = 1.0
#: Seconds by which the wall may differ before it is followed.
_TOLERATED = 1.0
#: How fast the time passes that is ahead of the wall, until the wall has caught up.
_SLOW = 0.5


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call nothing; harmless when it has been called or cancelled."""
        ...


class Clock(Protocol):
    """Tells the time and calls back; used on the loop of whoever asks."""

    def now(self) -> float:
        """Return seconds since 1970, for moments that others read too; never goes back."""
        ...

    def steady(self) -> float:
        """Return seconds since some moment, for how long something takes; no step of the wall moves it."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call on the running loop, in `delay` seconds and never earlier."""
        ...

    async def sleep(self, delay: float) -> None:
        """Return in `delay` seconds and never earlier."""
        ...


class SystemClock:
    """The machine's own: counted monotonically, and held against the wall about once a second.

    The wall is followed when it differs by more than a second, after a suspend or a step of NTP.
    To one that is ahead it jumps. One that was set back it lets catch up, at half the pace of time:
    moments then come closer to the wall's, and an interval takes twice as long at most.
    """

    def __init__(self) -> None:
        #: When the wall was looked at, monotonically; what the time was; how fast it passes since. Never
        #: changed but replaced, since threads share the clock.
        self._anchor = (time.monotonic(), time.time(), 1.0)

    def now(self) -> float:
        steady = time.monotonic()
        since, then, pace = self._anchor
        passed = steady - since
        now = then + passed * pace
        return now if passed < _LOOK else self._look(steady, now)

    def _look(self, steady: float, now: float) -> float:
        wall = time.time()
        if wall - now > _TOLERATED:
            self._anchor = (steady, wall, 1.0)
            return wall
        self._anchor = (steady, now, _SLOW if now - wall > _TOLERATED else 1.0)
        return now

    def steady(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)


SYSTEM = SystemClock()
