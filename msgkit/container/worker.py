"""Workers: long-lived tasks that take what is ready, so that a message costs no task."""

import asyncio
from asyncio import Future, Task
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from typing import Any

from msgkit.clock import Clock, Timer
from msgkit.spi import RawDelivery

__all__ = ["Interrupted", "Watchdog", "Worker"]


class Interrupted(Exception):
    """A handler was cancelled by us, for this reason."""


class Worker:
    """One of a queue's workers: what it has at hand, and how it is interrupted."""

    __slots__ = ("_cancels", "_interrupted", "_task", "_wakeup", "can_cancel", "deadline", "is_dismissed", "raws")

    def __init__(
        self, work: "Callable[[Worker], Coroutine[Any, Any, None]]", name: str, context: Context | None = None
    ) -> None:
        self.raws: Sequence[RawDelivery] = ()
        self.deadline: float | None = None
        #: Can what it has at hand be cancelled? A thread cannot.
        self.can_cancel = True
        #: Is it to begin nothing more? It may outlive its crew, and find another at work when its handler ends.
        self.is_dismissed = False
        self._interrupted: str | None = None
        self._wakeup: Future[None] | None = None
        self._cancels = 0
        self._task: Task[None] = asyncio.get_running_loop().create_task(work(self), name=name, context=context)

    def begin(self, raws: Sequence[RawDelivery]) -> None:
        """Have deliveries at hand."""
        self.raws = raws
        # A handler may have swallowed a cancellation before: what it left is not the next one's.
        self._cancels = self._task.cancelling()

    def finish(self) -> None:
        """Have nothing at hand; a cancellation that was meant for the handler ends here."""
        self.raws = ()
        self.deadline = None
        if self._interrupted is not None:
            self._interrupted = None
            self._task.uncancel()

    def cancelled(self) -> Exception:
        """Return what a cancellation means that came out of the handler."""
        if self._task.cancelling() > self._cancels + (self._interrupted is not None):
            # The task itself was cancelled, and not by us: it ends with this message, and another takes its place.
            self.is_dismissed = True
            return RuntimeError("the task of the handler was cancelled")
        if self._interrupted is not None:
            return Interrupted(self._interrupted)
        # Something that the handler awaited was cancelled; it is the handler that failed.
        return RuntimeError("the handler was cancelled from within")

    async def idle(self) -> None:
        """Return when woken."""
        self._wakeup = asyncio.get_running_loop().create_future()
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    def wake(self) -> None:
        """Wake the worker, if it is idle."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def dismiss(self) -> None:
        """Have it end with what it has at hand."""
        self.is_dismissed = True
        self.wake()

    def interrupt(self, reason: str) -> None:
        """Cancel what is being handled; the worker itself goes on."""
        if asyncio.current_task() is self._task:
            # The handler brought it about itself. Were it cancelled here, and did it not wait for anything
            # any more, the cancellation would hit the next message.
            asyncio.get_running_loop().call_soon(self._cancel, self.raws, reason)
        else:
            self._cancel(self.raws, reason)

    def _cancel(self, raws: Sequence[RawDelivery], reason: str) -> None:
        if raws and raws is self.raws and self._interrupted is None:
            self._interrupted = reason
            self._task.cancel()

    @property
    def task(self) -> "Task[None]":
        return self._task


class Watchdog:
    """Interrupts handlers whose time is up; one timer for all workers."""

    __slots__ = ("_clock", "_due", "_overrun", "_timer", "_workers")

    def __init__(self, workers: Iterable[Worker], *, clock: Clock, overrun: Callable[[Worker], None]) -> None:
        self._workers = workers
        self._clock = clock
        self._overrun = overrun
        self._timer: Timer | None = None
        self._due = 0.0

    def watch(self, worker: Worker, seconds: float) -> None:
        """Give a worker so many seconds from now on."""
        now = self._clock.steady()
        worker.deadline = now + seconds
        if self._timer is None or worker.deadline < self._due:
            self._arm(worker.deadline, now)

    def _arm(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_later(max(0.0, due - now), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.steady()
        for worker in self._workers:
            if worker.deadline is not None and worker.deadline <= now:
                worker.deadline = None
                self._overrun(worker)
        waiting = [worker.deadline for worker in self._workers if worker.deadline is not None]
        if waiting:
            self._arm(min(waiting), now)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
