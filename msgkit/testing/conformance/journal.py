"""The ledger, as handlers write it in tasks and in threads, and waiting for what it will say."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from msgkit.clock import SYSTEM
from msgkit.testing.conformance.ledger import Ledger

__all__ = ["Journal"]

#: What nobody announces is looked at so often, in seconds.
_GLANCE = 0.01


class Journal:
    """A ledger with a lock on it, and an alarm for each line."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._alarm = asyncio.Event()

    @staticmethod
    def now() -> float:
        """Return the time that everything is recorded by: seconds since 1970, never going back."""
        return SYSTEM.now()

    @contextmanager
    def writing(self) -> Generator[Ledger]:
        """Lend the ledger to one at a time, and wake whoever waits."""
        with self._lock:
            yield self._ledger
        self.pulse()

    def pulse(self) -> None:
        """Have every `until` look again; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        alarm, self._alarm = self._alarm, asyncio.Event()
        alarm.set()

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], within: float) -> bool:
        """Return whether it came true in time; looked at with each line, and now and then."""
        deadline = self.now() + within
        while True:
            alarm = self._alarm
            held = condition()
            if held is True or (held is not False and await held):
                return True
            if (left := deadline - self.now()) <= 0:
                return False
            try:
                async with asyncio.timeout(min(left, _GLANCE)):
                    await alarm.wait()
            except TimeoutError:
                continue
