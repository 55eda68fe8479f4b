"""The listeners of one queue at work: deliveries in, handlers called, settlements out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from typing import Any

from msgkit.clock import Clock
from msgkit.container.crew import Crew
from msgkit.container.handling import FailReply, Handling, HandlingObserver
from msgkit.container.options import ConsumerOptions
from msgkit.deliveries import Counts, Intake, Lanes, Settling, Terms
from msgkit.dispatch import Dispatcher
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, ConfigurationError
from msgkit.message import Delivery
from msgkit.settlement import Settlement
from msgkit.spi import Binding, Consumer, Event, Fatal, Gap, QueueSpec, RawDelivery, Subscription, Up
from msgkit.values import Seconds, at_least_zero

__all__ = ["QueueRunner"]

logger = logging.getLogger("msgkit")


class QueueRunner:
    """Consumes one queue, and settles the deliveries handed to its handlers.

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
        self._dispatcher = dispatcher
        self._binding = binding
        self._reply = reply
        self._fail_reply = fail_reply
        self._observer = observer
        one_at_a_time = options.batch is not None and options.concurrency == 1 and not queue.ordered
        lanes = Lanes(enabled=not one_at_a_time)
        terms = Terms(policy=options.retry, clock=clock, counts=self.counts, observer=observer)
        self._intake = Intake(self, terms, lanes=lanes)
        self._crew = Crew(queue.name, options, lanes=lanes, clock=clock, can_cancel=executor is None)
        self._turn = asyncio.Lock()
        self._handling: Handling | None = None

    # -- lifetime

    async def start(self) -> None:
        """Consume from now on; harmless when it does already."""
        async with self._turn:
            if not self._intake.is_open:
                await self._subscribe()
            self._crew.open(self._at_work, self._intake.settling)

    async def _subscribe(self) -> None:
        in_flight = self.options.max_in_flight
        subscription = Subscription(queue=self.queue, max_in_flight=in_flight)
        settling = await self._intake.open(self._binding, subscription)
        self._handling = Handling(
            self._dispatcher,
            self.options,
            settling=settling,
            settler=self,
            watchdog=self._crew.watchdog,
            fail_reply=self._fail_reply,
            observer=self._observer,
        )
        self._intake.consumer.credit(in_flight)

    async def pause(self, deadline: float) -> None:
        """Begin nothing more until started again; what is not begun goes back for others to take.

        :raises ConfigurationError: when asked by a handler of this queue, which would wait for itself
        """
        if self._crew.holds_caller():
            msg = f"a handler of {self.queue.name!r} cannot wait until it has finished itself; pause from another task"
            raise ConfigurationError(msg)
        if self.queue.anonymous:
            # Nobody else takes this process's copies, and the queue would not outlive a long pause.
            await self._crew.close(deadline)
        else:
            await self.stop(deadline)

    async def stop(self, deadline: float) -> None:
        """Begin nothing more; let handlers finish within so many seconds, and release the rest."""
        self._crew.dismiss()
        async with self._turn:
            if not self._intake.is_open:
                return
            until = asyncio.get_running_loop().time() + deadline
            await self._intake.drain()
            await self._crew.close(deadline)
            await self._finish_settling(self._intake.settling, until)
            await self._intake.close()

    async def _finish_settling(self, settling: Settling, until: float) -> None:
        try:
            async with asyncio.timeout_at(max(until, asyncio.get_running_loop().time() + 0.1)):
                await settling.settled()
        except TimeoutError:
            logger.warning("%r: %d settlements were not answered in time", self.queue.name, settling.busy)

    # -- the taker of what comes in

    def arrived(self, count: int, /) -> None:  # noqa: ARG002 -- the crew looks at what is ready
        self._crew.wake()

    def ready(self) -> None:
        self._crew.wake()

    def running(self) -> AbstractSet[RawDelivery]:
        return self._crew.running

    def some_lost(self) -> None:
        if self.options.on_lost == "cancel":
            self._crew.interrupt_lost()

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
        await self._at_work.settle_by_hand(self._intake.at_hand(delivery), how)

    async def extend(self, delivery: Delivery[Any], by: Seconds, /) -> None:
        raw, seconds = self._intake.at_hand(delivery), at_least_zero(by, "extend(by)")
        if self.options.timeout is not None:
            self._crew.extend(raw, seconds)

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        return await self._reply(self._intake.at_hand(delivery).envelope, payload)

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        return self._intake.enlist(delivery)

    @property
    def _at_work(self) -> Handling:
        if self._handling is None:
            msg = f"{self.queue.name!r} was not consumed yet"
            raise Closed(msg)
        return self._handling

    # -- how it fares

    @property
    def is_open(self) -> bool:
        """Does it begin what comes?"""
        return self._crew.is_open

    @property
    def in_flight(self) -> int:
        """How many are here, unsettled."""
        if not self._intake.is_open:
            return 0
        settling = self._intake.settling
        return len(settling.held) + settling.busy

    @property
    def idle(self) -> bool:
        """Is nothing left to do here, at this time? What waits for a later one is not."""
        if not self._intake.is_open:
            return True
        return self.in_flight == self._intake.settling.holding + self._crew.gathering

    @property
    def trouble(self) -> str | None:
        return self._intake.settling.trouble if self._intake.is_open else None
