"""The workers of one queue: as many as there is work for, up to its concurrency."""

import asyncio
import logging
from contextvars import Context
from functools import partial
from typing import Literal

from msgkit.clock import Clock
from msgkit.container.handling import Handling
from msgkit.container.options import ConsumerOptions
from msgkit.container.worker import Watchdog, Worker
from msgkit.deliveries import Lanes, Settling
from msgkit.listener import Batch
from msgkit.spi import RawDelivery

__all__ = ["Crew"]

logger = logging.getLogger("msgkit")

#: How long a cancelled handler may take to give way before it is left behind.
_GIVE_WAY = 2.0


class Crew:
    """Takes what is ready and handles it, while it is open."""

    def __init__(self, queue: str, options: ConsumerOptions, *, lanes: Lanes, clock: Clock, context: Context) -> None:
        self.is_open = False
        #: How many deliveries wait for their batch to be full, or for its time.
        self.gathering = 0
        self._queue = queue
        self._options = options
        self._lanes = lanes
        self._clock = clock
        # Workers are made by whoever frees a lane; what that one has set is not the next message's.
        self._context = context
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._at_work: tuple[Handling, Settling] | None = None
        self.watchdog = Watchdog(self._workers, clock=clock, overrun=self._overrun)

    def open(self, handling: Handling, settling: Settling) -> None:
        """Begin to handle what is ready."""
        self._at_work = handling, settling
        self.is_open = True
        self.wake()

    def wake(self) -> None:
        """Have as many at work as there is work."""
        wanted = len(self._lanes.ready)
        if not self.is_open:
            return
        while wanted and self._idle:
            self._idle.pop().wake()
            wanted -= 1
        work = self._singly if self._options.batch is None else self._in_batches
        while wanted and len(self._workers) < self._options.concurrency:
            worker = Worker(work, f"msgkit:{self._queue}:{len(self._workers)}", self._context.copy())
            worker.task.add_done_callback(partial(self._ended, worker))
            self._workers.append(worker)
            wanted -= 1

    def dismiss(self) -> None:
        """Begin nothing more."""
        self.is_open = False
        for worker in self._workers:
            worker.dismiss()

    async def close(self, deadline: float, *, why: Literal["stop", "pause"] = "stop") -> None:
        """Begin nothing more, and wait for what runs; when time is up, cancel what can be cancelled."""
        self.dismiss()
        tasks = {worker.task: worker for worker in self._workers}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline)
            for task in late:
                text = "%r: the handler of %s did not finish within %g s; what it did not settle goes back, uncounted"
                logger.warning(text, self._queue, _ids(tasks[task]), deadline)
                tasks[task].interrupt(why)
            if late:
                await asyncio.wait(late, timeout=_GIVE_WAY)
        self._workers.clear()
        self._idle.clear()
        self.watchdog.stop()

    # -- what is at hand

    @property
    def running(self) -> set[RawDelivery]:
        """What handlers have at hand."""
        return {raw for worker in self._workers for raw in worker.raws}

    def holds_caller(self) -> bool:
        """Is it one of the crew who asks?"""
        return asyncio.current_task() in {worker.task for worker in self._workers}

    def extend(self, raw: RawDelivery, seconds: float) -> None:
        """Give the handler of a delivery so much time from now on."""
        for worker in self._workers:
            if raw in worker.raws:
                self.watchdog.watch(worker, seconds)

    def interrupt_all(self) -> None:
        """Cancel what runs; what is cancelled goes back uncounted."""
        for worker in self._workers:
            worker.interrupt("stop")

    def interrupt_lost(self) -> None:
        """Cancel the handlers of what is another's now."""
        for worker in self._workers:
            if worker.can_cancel and worker.raws and all(raw.lost for raw in worker.raws):
                text = "%r: the handler of %s is cancelled, since the broker took that back"
                logger.info(text, self._queue, _ids(worker))
                worker.interrupt("lost")

    def _overrun(self, worker: Worker) -> None:
        if worker.can_cancel:
            worker.interrupt("timeout")
        else:
            text = "%r: the handler of %s takes longer than its timeout; a thread cannot be stopped"
            logger.error(text, self._queue, _ids(worker))

    def off_watch(self, raw: RawDelivery) -> None:
        """Hear that a handler has returned: what follows is not its time."""
        for worker in self._workers:
            if raw in worker.raws:
                worker.deadline = None

    def _ended(self, worker: Worker, task: "asyncio.Task[None]") -> None:
        """Replace a worker that ended while there is work; none should, but for one whose task was cancelled."""
        if not self.is_open or worker not in self._workers:
            return
        self._workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.critical("%r: a worker died, and is replaced", self._queue, exc_info=error)
        self.wake()

    # -- the work

    async def _singly(self, worker: Worker) -> None:
        handling, settling = self._tools()
        ready = self._lanes.ready
        while not worker.is_dismissed:
            while ready and not worker.is_dismissed:
                await handling.one(worker, ready.popleft())
            settling.give_credit()
            await self._rest(worker)

    async def _in_batches(self, worker: Worker) -> None:
        handling, settling = self._tools()
        batch = self._options.batch
        while batch is not None and not worker.is_dismissed:
            raws = await self._gather(worker, batch)
            if raws:
                await handling.batch(worker, raws)
            settling.give_credit()

    async def _gather(self, worker: Worker, batch: Batch) -> list[RawDelivery]:
        """Return a full batch, or what came within its time; nothing when closed meanwhile."""
        ready = self._lanes.ready
        raws: list[RawDelivery] = []
        while not ready and not worker.is_dismissed:
            await self._rest(worker)
        full = self._clock.steady() + batch.within
        while not worker.is_dismissed and len(raws) < batch.size:
            if ready:
                raws.append(ready.popleft())
            elif (left := full - self._clock.steady()) > 0:
                await self._wait_for_more(worker, left, len(raws))
            else:
                break
        if worker.is_dismissed:
            # Whoever opens again finds them where they were.
            ready.extendleft(reversed(raws))
            return []
        return raws

    async def _wait_for_more(self, worker: Worker, seconds: float, gathered: int) -> None:
        timer = self._clock.call_later(seconds, worker.wake)
        self.gathering += gathered
        await self._rest(worker)
        self.gathering -= gathered
        timer.cancel()
        if worker in self._idle:
            self._idle.remove(worker)

    async def _rest(self, worker: Worker) -> None:
        """Wait for work; at once when there is some, or none any more."""
        if not self._lanes.ready and not worker.is_dismissed:
            self._idle.append(worker)
            await worker.idle()

    def _tools(self) -> tuple[Handling, Settling]:
        if self._at_work is None:
            msg = f"the crew of {self._queue!r} was not opened"
            raise RuntimeError(msg)
        return self._at_work


def _ids(worker: Worker) -> str:
    return ", ".join(raw.envelope.message_id for raw in worker.raws) or "nothing any more"
