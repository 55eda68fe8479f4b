"""Taking messages by hand: a consumer whose credit is given as somebody asks."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Generic, TypeVar

from msgkit.brokers import Link
from msgkit.clock import Clock
from msgkit.conversion import Decode
from msgkit.deliveries import Counts, Intake, Lanes, Terms, current
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import BrokerUnavailable, Closed, ConversionError, DeliveryLost, MessagingError
from msgkit.message import Delivery
from msgkit.policy import Backoff, Decision, GiveUp
from msgkit.settlement import ACCEPT, Settlement
from msgkit.spi import Consumer, Event, QueueSpec, RawDelivery, Subscription
from msgkit.values import Seconds, at_least_zero, check_whole

__all__ = ["Receiver"]

logger = logging.getLogger("msgkit")

T_co = TypeVar("T_co", covariant=True)

#: What a broker is given to hand over what it has, when no time is asked for.
_AT_ONCE = 0.1


class Receiver(Generic[T_co]):
    """One consumer for many takes; made by `MessageTemplate.receiver()`.

    What is taken stays with its taker until it is settled; leaving gives the rest back.
    """

    def __init__(
        self,
        queue: QueueSpec,
        *,
        max_in_flight: int,
        decode: Decode,
        clock: Clock,
        reply: Callable[[Envelope, object], Awaitable[Receipt]],
        fail_reply: Callable[[Envelope, GiveUp], Awaitable[None]],
    ) -> None:
        self._queue = queue
        self._max_in_flight = check_whole(max_in_flight, f"receiver({queue.name!r}): max_in_flight=")
        self._decode = decode
        self._reply = reply
        self._fail_reply = fail_reply
        self._concluding: set[asyncio.Task[None]] = set()
        self._asked = 0
        self._takers = 0
        self._news = asyncio.Event()
        terms = Terms(policy=Backoff(), clock=clock, counts=Counts(), returns_credit=False)
        # A taker decides what he does at once; only where order was asked for must a retry hold its lane.
        self._intake = Intake(self, terms, lanes=Lanes(enabled=bool(queue.ordered)))

    async def open(self, link: Link, patience: float) -> None:
        """Consume.

        :raises BrokerUnavailable: when the broker does not answer in time
        """
        subscription = Subscription(queue=self._queue, max_in_flight=self._max_in_flight, steady=False)
        try:
            async with asyncio.timeout(patience):
                await self._intake.open(link.binding, subscription)
        except TimeoutError as error:
            msg = f"queue {self._queue.name!r} could not be consumed: no answer from the broker within {patience:g} s"
            raise BrokerUnavailable(msg) from error

    async def take(self, limit: int = 1, /, *, timeout: Seconds = 0) -> Sequence[Delivery[T_co]]:
        """Return up to `limit` deliveries: those there are, or those that come until one is there or time is up."""
        check_whole(limit, "take(limit)")
        if not self._intake.is_open:
            msg = f"the receiver of {self._queue.name!r} is closed"
            raise Closed(msg)
        self._takers += 1
        try:
            return await self._take(limit, at_least_zero(timeout, "timeout=") or _AT_ONCE)
        finally:
            self._takers -= 1

    async def _take(self, limit: int, patience: float) -> Sequence[Delivery[T_co]]:
        until = asyncio.get_running_loop().time() + patience
        self._ask(limit)
        while True:
            self._news.clear()
            if taken := self._taken(limit):
                return taken
            self._ask(limit)
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return self._taken(limit)
            # What comes in one burst is handed over together.
            await asyncio.sleep(0)

    async def __aiter__(self) -> AsyncGenerator[Delivery[T_co]]:
        while True:
            for delivery in await self.take(1, timeout=3600):
                yield delivery

    def _ask(self, limit: int) -> None:
        settling = self._intake.settling
        room = self._max_in_flight - len(settling.held) - settling.busy - self._asked
        missing = min(limit - len(self._intake.lanes.ready) - self._asked, room)
        if missing > 0:
            self._asked += missing
            self._intake.consumer.credit(missing)

    def _taken(self, limit: int) -> list[Delivery[T_co]]:
        settling, ready = self._intake.settling, self._intake.lanes.ready
        taken: list[Delivery[T_co]] = []
        while ready and len(taken) < limit:
            raw = ready.popleft()
            envelope = current(raw)
            if raw not in settling.held or not settling.fit(raw, envelope):
                continue
            try:
                payload = self._decode(envelope)
            except ConversionError as error:
                self._conclude_beside(raw, GiveUp("poison", error))
                continue
            taken.append(Delivery.taken(payload, envelope, self, raw))
        return taken

    # -- the taker of what comes in

    def arrived(self, count: int, /) -> None:
        self._asked = max(0, self._asked - count)
        self._news.set()
        if not self._takers:
            # Asked for by a take that went without it: others may be waiting for it.
            self._give_back()

    def ready(self) -> None:
        self._news.set()

    def _give_back(self) -> None:
        settling, lanes = self._intake.settling, self._intake.lanes
        for raw in lanes.take_out(lambda raw: raw in settling.held):
            settling.release(raw)

    def running(self) -> AbstractSet[RawDelivery]:
        return frozenset()

    def some_lost(self) -> None:
        """Settling tells whoever has them at hand."""

    def event(self, event: Event, /) -> None:
        """Nothing to do: what was lost is told apart, and the rest is the link's."""

    # -- the settler of what was taken

    async def settle(self, delivery: Delivery[Any], how: Settlement, /) -> None:
        raw, settling = self._intake.at_hand(delivery), self._intake.settling
        await self._conclude(raw, settling.decide(raw, how))
        await settling.heard(raw)

    def _conclude_beside(self, raw: RawDelivery, why: GiveUp) -> None:
        """Give up what no taker sees, and keep none waiting for it."""
        task = asyncio.create_task(self._give_up(raw, why))
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    async def _give_up(self, raw: RawDelivery, why: GiveUp) -> None:
        with suppress(DeliveryLost):
            await self._conclude(raw, why)
            await self._intake.settling.heard(raw)
        # There is room for another, which a taker may wait for.
        self._news.set()

    async def _conclude(self, raw: RawDelivery, decision: Decision) -> None:
        """End a delivery as decided; who asked hears of it when there will be no answer."""
        envelope = current(raw)
        if isinstance(decision, GiveUp) and envelope.reply_to is not None:
            try:
                await self._fail_reply(envelope, decision)
            except MessagingError as error:
                logger.warning("message %s: nobody heard that it failed: %s", envelope.message_id, error)
        if raw in self._intake.settling.held:
            self._intake.settling.carry_out(raw, envelope, decision)

    async def extend(self, delivery: Delivery[Any], by: Seconds, /) -> None:
        """A taker has all the time there is: leases are renewed until he settles."""
        at_least_zero(by, "extend(by)")
        self._intake.at_hand(delivery)

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        return await self._reply(self._intake.at_hand(delivery).envelope, payload)

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        return self._intake.enlist(delivery)

    async def accept_all(self, deliveries: Sequence[Delivery[Any]], patience: float) -> None:
        """Accept what has not been settled.

        :raises DeliveryLost: when the broker does not hear of it in time: it may hand it over again
        """
        settling, accepted = self._intake.settling, list[RawDelivery]()
        for delivery in deliveries:
            raw = delivery.raw
            if isinstance(raw, RawDelivery) and settling.is_open(raw, delivery.attempt):
                settling.carry_out(raw, current(raw), ACCEPT)
                accepted.append(raw)
        try:
            async with asyncio.timeout(patience):
                for raw in accepted:
                    await settling.heard(raw)
        except TimeoutError as error:
            msg = f"{len(accepted)} of {self._queue.name!r} were accepted, but not confirmed within {patience:g} s"
            raise DeliveryLost(msg) from error

    async def close(self, patience: float) -> None:
        """Give back what is not settled; what the broker does not hear of in time, it gives back itself."""
        if not self._intake.is_open:
            return
        try:
            async with asyncio.timeout(patience):
                await self._finish()
        except TimeoutError:
            logger.warning("queue %r was left before the broker had heard of everything", self._queue.name)
        finally:
            for task in self._concluding:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._intake.close()

    async def _finish(self) -> None:
        """Take no more, and have the broker hear how the rest ends."""
        await self._intake.drain()
        if self._concluding:
            await asyncio.wait(self._concluding)
        await self._intake.settling.settled()
