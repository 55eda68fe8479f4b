"""The listeners of one queue at work: deliveries in, handlers called, settlements out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Any

from msgkit.clock import Clock
from msgkit.container.handling import FailReply, Handling, HandlingObserver
from msgkit.container.options import ConsumerOptions
from msgkit.container.worker import Watchdog, Worker
from msgkit.deliveries import Counts, Lanes, Settling
from msgkit.dispatch import Dispatcher
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import AlreadySettled, Closed, DeliveryLost
from msgkit.message import Delivery
from msgkit.settlement import Settlement
from msgkit.spi import (
    Binding,
    Consumer,
    Event,
    Fatal,
    Gap,
    QueueSpec,
    RawDelivery,
    Subscription,
    Up,
)
from msgkit.values import Seconds, at_least_zero

__all__ = ["QueueRunner"]

logger = logging.getLogger("msgkit")

#: How long a cancelled handler may take to give way before it is left behind.
_GIVE_WAY = 2.0


class QueueRunner:
    """Consumes one queue: the seam's sink, and the settler of the deliveries handed to handlers.

    Credits bound what is here at all, workers what is handled at once. A worker takes a
    delivery only when it is its lane's first, so that one busy key holds up nobody else.
    """

    def __init__(  # noqa: PLR0913 -- the parts it is put together from, each by its name
        self,
        queue: QueueSpec,
        *,
        dispatcher: Dispatcher,
        options: ConsumerOptions,
        binding: Binding,
        clock: Clock,
        reply: Callable[[Envelope, object], Awaitable[Receipt]],
        fail_reply: FailReply,
        executor: Executor | None = None,
        observer: HandlingObserver | None = None,
    ) -> None:
        self.queue = queue
        self.options = options
        self.counts = Counts()
        self.gaps = 0
        self.is_open = False
        self._dispatcher = dispatcher
        self._binding = binding
        self._clock = clock
        self._reply = reply
        self._fail_reply = fail_reply
        # Threads cannot be cancelled: their handlers are waited for, whatever happens.
        self._can_cancel = executor is None
        self._observer = observer
        one_at_a_time = options.batch is not None and options.concurrency == 1 and not queue.ordered
        self._lanes = Lanes(enabled=not one_at_a_time)
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._gathering = 0
        self._watchdog = Watchdog(self._workers, clock=clock, overrun=self._overrun)
        self._turn = asyncio.Lock()
        self._consumer: Consumer | None = None
        self._settling: Settling | None = None
        self._handling: Handling | None = None

    # -- lifetime

    async def start(self) -> None:
        """Consume from now on; harmless when it does already."""
        async with self._turn:
            if self._consumer is None:
                await self._subscribe()
            self.is_open = True
            self._wake()

    async def _subscribe(self) -> None:
        consumer = await self._binding.subscribe(
            Subscription(
                queue=self.queue,
                max_in_flight=self.options.max_in_flight,
                lease=self.options.timeout,
            ),
            self,
        )
        self._consumer = consumer
        self._settling = Settling(
            self.queue,
            consumer=consumer,
            lanes=self._lanes,
            policy=self.options.retry,
            clock=self._clock,
            max_in_flight=self.options.max_in_flight,
            on_ready=self._wake,
            counts=self.counts,
            observer=self._observer,
        )
        self._handling = Handling(
            self._dispatcher,
            self.options,
            settling=self._settling,
            settler=self,
            watchdog=self._watchdog,
            fail_reply=self._fail_reply,
            observer=self._observer,
        )
        consumer.credit(self.options.max_in_flight)

    async def pause(self, deadline: float) -> None:
        """Begin nothing more until started again; what is not begun goes back for others to take."""
        if self.queue.anonymous:
            # Nobody else takes this process's copies, and the queue would not outlive a long pause.
            self.is_open = False
            await self._finish_workers(deadline)
        else:
            await self.stop(deadline)

    async def stop(self, deadline: float) -> None:
        """Begin nothing more; let handlers finish within so many seconds, and release the rest."""
        self.is_open = False
        async with self._turn:
            if self._consumer is None or self._settling is None:
                return
            until = asyncio.get_running_loop().time() + deadline
            await self._consumer.drain()
            self._lanes.clear()
            await self._finish_workers(deadline)
            await self._finish_settling(self._settling, until)
            self._watchdog.stop()
            self._settling.stop()
            consumer, self._consumer = self._consumer, None
            await consumer.close()

    async def _finish_workers(self, deadline: float) -> None:
        """Wait for running handlers; when time is up, cancel those that can be."""
        for worker in self._workers:
            worker.wake()
        tasks = {worker.task: worker for worker in self._workers}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline)
            for task in late:
                logger.warning("%r: a handler did not finish within %g s", self.queue.name, deadline)
                tasks[task].interrupt("stop")
            if late:
                await asyncio.wait(late, timeout=_GIVE_WAY)
        self._workers.clear()
        self._idle.clear()

    async def _finish_settling(self, settling: Settling, until: float) -> None:
        try:
            async with asyncio.timeout_at(max(until, asyncio.get_running_loop().time() + 0.1)):
                await settling.settled()
        except TimeoutError:
            logger.warning("%r: %d settlements were not answered in time", self.queue.name, settling.busy)

    # -- the sink

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        settling = self._settling
        if settling is None:
            return
        settling.held.update(batch)
        add = self._lanes.add
        for raw in batch:
            add(raw)
        self._wake()

    def lost(self, scope: Hashable, /) -> None:
        settling = self._settling
        if settling is None:
            return
        running = {raw for worker in self._workers for raw in worker.raws}
        settling.lose(scope)
        not_begun = set(self._lanes.take_out(lambda raw: raw.scope == scope))
        for raw in [raw for raw in settling.held if raw.scope == scope]:
            raw.lost = True
            settling.forget(raw, is_running=raw in running, lane_is_free=raw in not_begun)
        if self.options.on_lost == "cancel":
            self._interrupt_lost()

    async def revoke(self, scope: Hashable, deadline: float, /) -> None:
        settling = self._settling
        if settling is None:
            return
        for raw in self._lanes.take_out(lambda raw: raw.scope == scope):
            settling.release(raw)
        try:
            async with asyncio.timeout(deadline):
                await settling.left(scope)
        except TimeoutError:
            self.lost(scope)

    def event(self, event: Event, /) -> None:
        match event:
            case Gap():
                self.gaps += 1
            case Fatal(reason):
                logger.critical("%r: %s", self.queue.name, reason)
            case _:
                logger.debug("%r: %s", self.queue.name, "up" if isinstance(event, Up) else "down")

    # -- the settler of deliveries in handlers' hands

    async def settle(self, delivery: Delivery[Any], how: Settlement, /) -> None:
        raw, handling = self._at_hand(delivery)
        await handling.settle_by_hand(raw, how)

    async def extend(self, delivery: Delivery[Any], by: Seconds, /) -> None:
        raw, _ = self._at_hand(delivery)
        for worker in self._workers:
            if raw in worker.raws:
                self._watchdog.watch(worker, at_least_zero(by, "extend(by)"))

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        raw, _ = self._at_hand(delivery)
        return await self._reply(raw.envelope, payload)

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        """Return what a transaction needs to settle the delivery itself, and how to say that it did."""
        raw, _ = self._at_hand(delivery)
        consumer, settling = self._consumer, self._settling
        if consumer is None or settling is None:
            msg = f"{self.queue.name!r} is not consumed any more"
            raise Closed(msg)
        return consumer, raw, lambda: settling.settled_elsewhere(raw)

    def _at_hand(self, delivery: Delivery[Any]) -> tuple[RawDelivery, Handling]:
        raw = delivery.raw
        if not isinstance(raw, RawDelivery) or self._settling is None or self._handling is None:
            msg = f"message {delivery.id} was not delivered here"
            raise AlreadySettled(msg)
        if raw.lost:
            msg = f"message {delivery.id} was taken back by the broker"
            raise DeliveryLost(msg)
        if raw not in self._settling.held:
            msg = f"message {delivery.id} is settled already; a delivery ends once"
            raise AlreadySettled(msg)
        return raw, self._handling

    # -- workers

    def _wake(self) -> None:
        """Have as many workers at work as there is work, up to the concurrency."""
        wanted = len(self._lanes.ready)
        if not self.is_open:
            return
        while wanted and self._idle:
            self._idle.pop().wake()
            wanted -= 1
        work = self._work if self.options.batch is None else self._work_in_batches
        while wanted and len(self._workers) < self.options.concurrency:
            self._workers.append(Worker(work, f"msgkit:{self.queue.name}:{len(self._workers)}"))
            wanted -= 1

    async def _rest(self, worker: Worker) -> None:
        """Wait for work; at once when there is some, or none any more."""
        if not self._lanes.ready and self.is_open:
            self._idle.append(worker)
            await worker.idle()

    async def _work(self, worker: Worker) -> None:
        handling, settling = self._running()
        ready = self._lanes.ready
        while self.is_open:
            while ready and self.is_open:
                await handling.one(worker, ready.popleft())
            settling.give_credit()
            await self._rest(worker)

    async def _work_in_batches(self, worker: Worker) -> None:
        handling, settling = self._running()
        while self.is_open:
            raws = await self._gather(worker)
            if raws and self.is_open:
                await handling.batch(worker, raws)
            settling.give_credit()

    async def _gather(self, worker: Worker) -> list[RawDelivery]:
        """Return a full batch, or what came within its time."""
        batch, ready = self.options.batch, self._lanes.ready
        if batch is None:
            return []
        raws: list[RawDelivery] = []
        while self.is_open and not ready:
            await self._rest(worker)
        full = self._clock.now() + batch.within
        while self.is_open and len(raws) < batch.size:
            if ready:
                raws.append(ready.popleft())
                continue
            left = full - self._clock.now()
            if left <= 0:
                break
            timer = self._clock.call_later(left, worker.wake)
            self._gathering += len(raws)
            await self._rest(worker)
            self._gathering -= len(raws)
            timer.cancel()
            if worker in self._idle:
                self._idle.remove(worker)
        return raws

    def _running(self) -> tuple[Handling, Settling]:
        if self._handling is None or self._settling is None:
            msg = f"{self.queue.name!r} is not consumed"
            raise Closed(msg)
        return self._handling, self._settling

    def _overrun(self, worker: Worker) -> None:
        ids = ", ".join(raw.envelope.message_id for raw in worker.raws)
        if self._can_cancel:
            worker.interrupt("timeout")
        else:
            logger.error(
                "%r: the handler of %s takes longer than its timeout; a thread cannot be stopped",
                self.queue.name,
                ids,
            )

    def _interrupt_lost(self) -> None:
        if not self._can_cancel:
            return
        for worker in self._workers:
            if worker.raws and all(raw.lost for raw in worker.raws):
                worker.interrupt("lost")

    # -- how it fares

    @property
    def in_flight(self) -> int:
        return len(self._settling.held) + self._settling.busy if self._settling is not None else 0

    @property
    def idle(self) -> bool:
        """Is nothing left to do here, at this time? What waits for a later one is not."""
        settling = self._settling
        return settling is None or self.in_flight == settling.holding + self._gathering

    @property
    def trouble(self) -> str | None:
        return self._settling.trouble if self._settling is not None else None
