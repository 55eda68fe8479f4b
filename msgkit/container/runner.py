"""The listeners of one queue at work: deliveries in, handlers called, settlements out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from collections.abc import Set as AbstractSet
from contextvars import copy_context
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

    def __init__(
        self,
        queue: QueueSpec,
        *,
        dispatcher: Dispatcher,
        options: ConsumerOptions,
        binding: Binding,
        clock: Clock,
        reply: Callable[[Envelope, object], Awaitable[Receipt]],
        fail_reply: FailReply,
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
        self._lanes = Lanes(enabled=not one_at_a_time)
        self._clock = clock
        # Handlers begin in the context of the application, whoever starts them again after a pause.
        self._context = copy_context()
        terms = Terms(policy=options.retry, clock=clock, counts=self.counts, observer=observer)
        self._intake = Intake(self, terms, lanes=self._lanes)
        self._turn = asyncio.Lock()
        self._is_closed = False
        self._at_work: tuple[Crew, Handling] | None = None

    # -- lifetime

    async def start(self) -> None:
        """Consume from now on; harmless when it does already.

        :raises Closed: when it was closed for good
        """
        async with self._turn:
            if self._is_closed:
                msg = f"the application stops; {self.queue.name!r} is not consumed any more"
                raise Closed(msg)
            if not self._intake.is_open:
                in_flight = self.options.max_in_flight
                await self._intake.open(self._binding, Subscription(queue=self.queue, max_in_flight=in_flight))
                self._intake.consumer.credit(in_flight)
            if not self.is_open:
                self._open_crew(self._intake.settling)

    def _open_crew(self, settling: Settling) -> None:
        """Have a crew of its own for each opening: what one leaves behind is no part of the next."""
        crew = Crew(self.queue.name, self.options, lanes=self._lanes, clock=self._clock, context=self._context)
        handling = Handling(
            self._dispatcher,
            self.options,
            settling=settling,
            settler=self,
            watchdog=crew.watchdog,
            fail_reply=self._fail_reply,
            observer=self._observer,
        )
        self._at_work = crew, handling
        crew.open(handling, settling)

    async def pause(self, deadline: float) -> None:
        """Begin nothing more until started again; what is not begun goes back for others to take.

        :raises ConfigurationError: when asked by a handler of this queue, which would wait for itself
        """
        if self._at_work is not None and self._at_work[0].holds_caller():
            msg = f"a handler of {self.queue.name!r} cannot wait until it has finished itself; pause from another task"
            raise ConfigurationError(msg)
        # Nobody else takes the copies of an anonymous queue, and it would not outlive a long pause.
        pausing = self._pause_crew(deadline) if self.queue.anonymous else self._stop(deadline)
        await _to_its_end(pausing)

    async def close(self, deadline: float) -> None:
        """Stop, for good: begin nothing more, finish what runs within so many seconds, release the rest."""
        self._is_closed = True
        if self._at_work is not None:
            self._at_work[0].is_open = False
        await _to_its_end(self._stop(deadline))

    def hurry(self) -> None:
        """Wait no longer for handlers while it closes: cancel those that can be."""
        if self._at_work is not None:
            self._at_work[0].interrupt_all()

    async def _pause_crew(self, deadline: float) -> None:
        async with self._turn:
            if self._at_work is not None:
                await self._at_work[0].close(deadline, why="pause")

    async def _stop(self, deadline: float) -> None:
        async with self._turn:
            if not self._intake.is_open:
                return
            until = asyncio.get_running_loop().time() + deadline
            await self._intake.drain()
            if self._at_work is not None:
                await self._at_work[0].close(deadline)
            self._intake.forget_what_has_not_begun()
            await self._finish_settling(self._intake.settling, until)
            await self._intake.close()

    async def _finish_settling(self, settling: Settling, until: float) -> None:
        try:
            async with asyncio.timeout_at(max(until, asyncio.get_running_loop().time() + 0.1)):
                await settling.finished_by_hand()
                await settling.settled()
        except TimeoutError:
            text = "%r: %d settlements were not answered in time, and %d deliveries were left open"
            logger.warning(text, self.queue.name, settling.busy, len(settling.held))

    # -- the taker of what comes in

    def arrived(self, count: int, /) -> None:  # noqa: ARG002 -- the crew looks at what is ready
        self.ready()

    def ready(self) -> None:
        if self._at_work is not None:
            self._at_work[0].wake()

    def running(self) -> AbstractSet[RawDelivery]:
        return self._at_work[0].running if self._at_work is not None else frozenset()

    def some_lost(self) -> None:
        if self.options.on_lost == "cancel" and self._at_work is not None:
            self._at_work[0].interrupt_lost()

    def off_watch(self, raw: object) -> None:
        """Hear that the handler of a delivery has returned."""
        if self.options.timeout is not None and isinstance(raw, RawDelivery) and self._at_work is not None:
            self._at_work[0].off_watch(raw)

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
        raw = self._intake.at_hand(delivery)
        _, handling = self._working()
        await handling.settle_by_hand(raw, how)

    async def extend(self, delivery: Delivery[Any], by: Seconds, /) -> None:
        raw, seconds = self._intake.at_hand(delivery), at_least_zero(by, "extend(by)")
        crew, _ = self._working()
        if self.options.timeout is not None:
            crew.extend(raw, seconds)

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        return await self._reply(self._intake.at_hand(delivery).envelope, payload)

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        return self._intake.enlist(delivery)

    def _working(self) -> tuple[Crew, Handling]:
        if self._at_work is None:
            msg = f"{self.queue.name!r} was not consumed yet"
            raise Closed(msg)
        return self._at_work

    # -- how it fares

    @property
    def is_open(self) -> bool:
        """Does it begin what comes?"""
        return self._at_work is not None and self._at_work[0].is_open

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
        gathering = self._at_work[0].gathering if self._at_work is not None else 0
        return self.in_flight == self._intake.settling.holding + gathering

    @property
    def trouble(self) -> str | None:
        return self._intake.settling.trouble if self._intake.is_open else None


async def _to_its_end(stopping: Coroutine[Any, Any, None]) -> None:
    """Await what must not be left half done, even when whoever waits for it is cancelled."""
    await asyncio.shield(asyncio.ensure_future(stopping))
