"""The signals that end a program: the first asks it to, the second makes it."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import NoReturn

from msgkit.errors import ConfigurationError

__all__ = ["Signals", "leave"]

logger = logging.getLogger("msgkit")


class Signals:
    """SIGTERM and SIGINT, for one task: the first ends a start at once and a run in order, the second anything."""

    def __init__(self) -> None:
        #: The signal that did not wait for the end.
        self.forced: signal.Signals | None = None
        self._asked = asyncio.Event()
        self._is_starting = True

    @contextmanager
    def heard(self) -> Generator[None]:
        """Hear signals for the current task within a block; a start that one ends leaves it without an error.

        :raises ConfigurationError: in a thread that gets no signals
        """
        if threading.current_thread() is not threading.main_thread():
            msg = "only the main thread gets signals; in another one, enter the application: async with app"
            raise ConfigurationError(msg)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            msg = "signals are heard for a task, and none is running"
            raise RuntimeError(msg)
        with ExitStack() as undo:
            for number in (signal.SIGTERM, signal.SIGINT):
                undo.callback(_on_signal(loop, number, partial(self._hear, task, number)))
            try:
                yield
            except asyncio.CancelledError:
                # Whoever else cancels the task, or insists, is to see it end so.
                if self.forced or not (self._is_starting and self._asked.is_set()) or task.uncancel():
                    raise

    async def asked(self) -> None:
        """Return when the program is asked to end; what calls this has started."""
        self._is_starting = False
        await self._asked.wait()

    def _hear(self, task: "asyncio.Task[object]", number: signal.Signals) -> None:
        if self._asked.is_set():
            logger.warning("%s again: stopping at once", number.name)
            self.forced = number
            task.cancel()
        elif self._is_starting:
            logger.info("%s: starting no further", number.name)
            task.cancel()
        else:
            logger.info("%s: finishing what runs", number.name)
        self._asked.set()


def leave(code: int) -> NoReturn:
    """End the program at once.

    Python waits at its end for threads, and a handler in one cannot be stopped: then nothing more is done.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    raise SystemExit(code)


def _on_signal(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, call: Callable[[], None]
) -> Callable[[], object]:
    """Have a signal call something on the loop, and return what undoes that."""
    try:
        loop.add_signal_handler(number, call)
    except NotImplementedError:
        # As on Windows.
        def hand_over(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(call)

        return partial(signal.signal, number, signal.signal(number, hand_over) or signal.SIG_DFL)
    return partial(loop.remove_signal_handler, number)
