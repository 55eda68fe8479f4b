"""An event loop in a thread of its own, which goes on while those who use it block theirs."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from msgkit.errors import Closed

__all__ = ["LoopThread"]

R = TypeVar("R")

#: Seconds between two looks whether the thread has ended: nobody can await that.
_GLANCE = 0.001


class LoopThread:
    """Runs what it is given; used from any event loop, and from several at once.

    It starts when it is first used, and does not keep the interpreter from ending. `at_end` is
    called in it, as the last thing.
    """

    def __init__(self, name: str, at_end: Callable[[], object]) -> None:
        self._name = name
        self._at_end = at_end
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def call(self, function: Callable[[], R]) -> R:
        """Call a function in the thread."""

        async def called() -> R:
            return function()

        return await self.run(called())

    async def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Wait for a coroutine in the thread; to cancel the wait is to cancel the coroutine.

        :raises Closed: after `close`
        """
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Coroutine[Any, Any, R]) -> "Future[R]":
        with self._lock:
            if self._closed:
                work.close()
                msg = "the proxy was closed"
                raise Closed(msg)
            return asyncio.run_coroutine_threadsafe(work, self._loop or self._start())

    def _start(self) -> asyncio.AbstractEventLoop:
        # The one kind of loop that watches plain sockets on every system.
        self._loop = loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._serve, args=[loop], name=self._name, daemon=True)
        self._thread.start()
        return loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stopped.wait()
        self._at_end()
        # What runs still was told by `at_end` to end, and answers those who wait for it.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    async def close(self) -> None:
        """Return when the thread has ended; a close that is cancelled closes none the less."""
        with self._lock:
            if self._loop is not None and not self._closed:
                self._loop.call_soon_threadsafe(self._stopped.set)
            self._closed = True
        while self._thread is not None and self._thread.is_alive():  # noqa: ASYNC110 -- what has ended sets no event
            await asyncio.sleep(_GLANCE)
