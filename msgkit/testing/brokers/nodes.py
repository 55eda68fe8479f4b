"""One program of a broker, as a test sees it: where it listens, and what can be done to it."""

import asyncio
import time
from collections.abc import Callable
from threading import Lock

from msgkit.errors import ConfigurationError, MessagingError
from msgkit.testing.brokers.programs import Running
from msgkit.testing.proxy import Address, FaultProxy

__all__ = ["Node", "together"]

_PATIENCE = 120.0
_STOPPING = 60.0
_LOOK = 0.05
#: Seconds between two looks at whether it has ended, each of which goes through all processes of the machine.
_LOOK_FOR_ITS_END = 0.5
_TRIES = 5
_TAIL = 4000


class Node:
    """A program that can be stopped, killed and frozen. Each of its faults returns when it is done.

    It belongs to no event loop: what blocks runs in threads.
    """

    def __init__(
        self,
        name: str,
        running: Running,
        *,
        address: Address,
        direct: Address,
        proxy: FaultProxy | None,
        answers: Callable[[], bool],
        passing: str = "",
    ) -> None:
        self.name = name
        #: What clients connect to: through the proxy, if there is one.
        self.address = address
        #: The same past the proxy.
        self.direct = direct
        self._running = running
        self._proxy = proxy
        self._answers = answers
        #: What its log says where it may be started once more.
        self._passing = passing
        # Threads go on when whoever waited for them was cancelled. A kill does not wait for an orderly stop.
        self._stopping = Lock()
        self._killing = Lock()

    def __repr__(self) -> str:
        return f"Node({self.name!r}, {self.address})"

    @property
    def proxy(self) -> FaultProxy:
        """What stands in front of it.

        :raises ConfigurationError: when nothing does
        """
        if self._proxy is None:
            msg = f"{self.name} has no proxy in front of it: ask for one with proxied=True"
            raise ConfigurationError(msg)
        return self._proxy

    async def start(self) -> None:
        """Start it, on the data that it had; returns when it answers.

        :raises MessagingError: with the end of its log, when it ended or did not answer in time
        """
        await asyncio.to_thread(self.start_now)

    async def stop(self) -> None:
        """Stop it in its orderly way; returns when it has ended.

        :raises TimeoutError: when it did not end; it is killed then
        """
        await asyncio.to_thread(self.stop_now)

    async def kill(self) -> None:
        """End it by SIGKILL; returns when it is gone. `start` brings it back on the same data."""
        await asyncio.to_thread(self.kill_now)

    async def pause(self) -> None:
        """Freeze it: connections stay open, new ones are taken, and nothing answers."""
        await asyncio.to_thread(self.pause_now)

    async def resume(self) -> None:
        """Let it go on after `pause`."""
        await asyncio.to_thread(self.resume_now)

    async def is_alive(self) -> bool:
        """Tell whether it was started and has not ended; what is frozen is alive."""
        return await asyncio.to_thread(self._running.is_alive)

    async def execute(self, *command: str) -> str:
        """Run a command where it runs, and return what that printed.

        :raises MessagingError: with what it printed, when it failed
        """
        return await asyncio.to_thread(self.execute_now, *command)

    async def log(self) -> str:
        """Return what it has printed so far."""
        return await asyncio.to_thread(self._running.log)

    # -- the same without a loop

    def start_now(self) -> None:
        with self._stopping, self._killing:
            # What ends it is over.
            pass
        if self._running.is_alive():
            # Who is frozen would never answer.
            self._running.resume()
        else:
            self._running.start()
        until, tries, look = time.monotonic() + _PATIENCE, 1, 0.0
        while not self._is_up():
            if time.monotonic() >= look:
                if not self._running.is_alive():
                    if tries == _TRIES or not self._passing or self._passing not in self._running.log():
                        raise MessagingError(self._failed("ended as it was started"))
                    tries += 1
                    self._running.start()
                look = time.monotonic() + _LOOK_FOR_ITS_END
            if time.monotonic() > until:
                raise MessagingError(self._failed(f"did not answer within {_PATIENCE:g} s"))
            time.sleep(_LOOK)

    def stop_now(self) -> None:
        with self._stopping:
            self._running.stop(_STOPPING)

    def kill_now(self) -> None:
        with self._killing:
            self._running.kill()

    def pause_now(self) -> None:
        self._running.pause()

    def resume_now(self) -> None:
        self._running.resume()

    def execute_now(self, *command: str) -> str:
        return self._running.execute(command)

    def _is_up(self) -> bool:
        try:
            return self._answers()
        except OSError:
            return False

    def _failed(self, how: str) -> str:
        tail = self._running.log()[-_TAIL:]
        return f"{self.name} {how}; the end of its log:\n{tail}"


async def together(*works: Callable[[], object]) -> None:
    """Do several things at once, in threads; returns when all are done.

    :raises ExceptionGroup: of what went wrong, where there is more than one thing to do
    """
    if len(works) == 1:
        await asyncio.to_thread(works[0])
        return
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(asyncio.to_thread(work))
