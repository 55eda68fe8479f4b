"""Taking messages by hand: a consumer whose credit is given as somebody asks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Generic, TypeVar

from msgkit.brokers import Link
from msgkit.clock import Clock
from msgkit.conversion import Decode
from msgkit.deliveries import Counts, Intake, Lanes, Terms, current
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, ConversionError
from msgkit.message import Delivery
from msgkit.policy import Backoff
from msgkit.settlement import ACCEPT, Settlement
from msgkit.spi import Consumer, Event, QueueSpec, RawDelivery, Subscription
from msgkit.values import Seconds, at_least_zero, check_whole

__all__ = ["Receiver"]

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
    ) -> None:
        self._queue = queue
        self._max_in_flight = check_whole(max_in_flight, f"receiver({queue.name!r}): max_in_flight=")
        self._decode = decode
        self._reply = reply
        self._asked = 0
        self._takers = 0
        self._news = asyncio.Event()
        terms = Terms(policy=Backoff(), clock=clock, counts=Counts(), returns_credit=False)
        # A taker decides what he does at once; only where order was asked for must a retry hold its lane.
        self._intake = Intake(self, terms, lanes=Lanes(enabled=bool(queue.ordered)))

    async def open(self, link: Link) -> None:
        await self._intake.open(link.binding, Subscription(queue=self._queue, max_in_flight=self._max_in_flight))

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
                settling.carry_out(raw, envelope, settling.decide(raw, error))
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
        settling.carry_out(raw, current(raw), settling.decide(raw, how))
        await settling.heard(raw)

    async def extend(self, delivery: Delivery[Any], by: Seconds, /) -> None:
        """A taker has all the time there is: leases are renewed until he settles."""
        at_least_zero(by, "extend(by)")
        self._intake.at_hand(delivery)

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        return await self._reply(self._intake.at_hand(delivery).envelope, payload)

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        return self._intake.enlist(delivery)

    async def accept_all(self, deliveries: Sequence[Delivery[Any]]) -> None:
        """Accept what has not been settled."""
        settling = self._intake.settling
        for delivery in deliveries:
            raw = delivery.raw
            if isinstance(raw, RawDelivery) and settling.is_open(raw, delivery.attempt):
                settling.carry_out(raw, current(raw), ACCEPT)
        await settling.settled()

    async def close(self) -> None:
        if self._intake.is_open:
            await self._intake.drain()
            await self._intake.settling.settled()
            await self._intake.close()
