"""The time that everything here goes by, so that a test can turn it forward."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["SYSTEM", "Clock", "SystemClock", "Timer"]


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call nothing; harmless when it has been called or cancelled."""
        ...


class Clock(Protocol):
    """Tells the time and calls back; used on the loop of whoever asks."""

    def now(self) -> float:
        """Return seconds since 1970; never goes back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call on the running loop, in `delay` seconds and never earlier."""
        ...

    async def sleep(self, delay: float) -> None:
        """Return in `delay` seconds and never earlier."""
        ...


class SystemClock:
    """The machine's own, steady: set once against the wall, then counted monotonically."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._offset

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)


SYSTEM = SystemClock()
