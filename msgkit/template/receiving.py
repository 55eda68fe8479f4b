"""Taking messages by hand: a consumer whose credit is given as somebody asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from msgkit.brokers import Link
from msgkit.clock import Clock
from msgkit.conversion import Decode
from msgkit.deliveries import Counts, Lanes, Settling, current
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import AlreadySettled, Closed, ConfigurationError, ConversionError, DeliveryLost
from msgkit.message import Delivery
from msgkit.policy import Backoff
from msgkit.settlement import ACCEPT, Settlement
from msgkit.spi import Consumer, Event, QueueSpec, RawDelivery, Subscription
from msgkit.values import Seconds, at_least_zero

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
        if max_in_flight < 1:
            msg = f"receiver({queue.name!r}): max_in_flight= must be at least 1, not {max_in_flight}"
            raise ConfigurationError(msg)
        self._queue = queue
        self._max_in_flight = max_in_flight
        self._decode = decode
        self._clock = clock
        self._reply = reply
        self._lanes = Lanes()
        self._asked = 0
        self._news = asyncio.Event()
        self._consumer: Consumer | None = None
        self._settling: Settling | None = None

    async def open(self, link: Link) -> None:
        subscription = Subscription(queue=self._queue, max_in_flight=self._max_in_flight)
        self._consumer = await link.binding.subscribe(subscription, self)
        self._settling = Settling(
            self._queue,
            consumer=_CreditKept(self._consumer),
            lanes=self._lanes,
            policy=Backoff(),
            clock=self._clock,
            max_in_flight=self._max_in_flight,
            on_ready=self._news.set,
            counts=Counts(),
            observer=None,
        )

    async def take(self, limit: int = 1, /, *, timeout: Seconds = 0) -> Sequence[Delivery[T_co]]:
        """Return up to `limit` deliveries: those there are, or those that come until one is there or time is up."""
        if limit < 1:
            msg = f"take({limit}): at least one must be asked for"
            raise ConfigurationError(msg)
        consumer, settling = self._open()
        until = asyncio.get_running_loop().time() + (at_least_zero(timeout, "timeout=") or _AT_ONCE)
        self._ask(consumer, settling, limit)
        taken: list[Delivery[T_co]] = []
        while not taken:
            self._news.clear()
            taken = self._taken(settling, limit)
            if taken:
                break
            self._ask(consumer, settling, limit)
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return self._taken(settling, limit)
            # What comes in one burst is handed over together.
            await asyncio.sleep(0)
        return taken

    async def __aiter__(self) -> AsyncIterator[Delivery[T_co]]:
        while True:
            for delivery in await self.take(1, timeout=3600):
                yield delivery

    def _ask(self, consumer: Consumer, settling: Settling, limit: int) -> None:
        room = self._max_in_flight - len(settling.held) - settling.busy - self._asked
        missing = min(limit - len(self._lanes.ready) - self._asked, room)
        if missing > 0:
            self._asked += missing
            consumer.credit(missing)

    def _taken(self, settling: Settling, limit: int) -> list[Delivery[T_co]]:
        taken: list[Delivery[T_co]] = []
        ready = self._lanes.ready
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

    # -- the sink

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        settling = self._settling
        if settling is None:
            return
        settling.held.update(batch)
        self._asked = max(0, self._asked - len(batch))
        for raw in batch:
            self._lanes.add(raw)
        self._news.set()

    def lost(self, scope: Hashable, /) -> None:
        settling = self._settling
        if settling is None:
            return
        settling.lose(scope)
        not_taken = set(self._lanes.take_out(lambda raw: raw.scope == scope))
        for raw in [raw for raw in settling.held if raw.scope == scope]:
            raw.lost = True
            settling.forget(raw, is_running=False, lane_is_free=raw in not_taken)

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
        """Nothing to do: what was lost is told by `lost`, and the rest is the link's."""

    # -- the settler

    async def settle(self, delivery: Delivery[Any], how: Settlement, /) -> None:
        raw, settling = self._at_hand(delivery)
        settling.carry_out(raw, current(raw), settling.decide(raw, how))
        await settling.heard(raw)

    async def extend(self, delivery: Delivery[Any], by: Seconds, /) -> None:
        """A taker has all the time there is: leases are renewed until he settles."""
        at_least_zero(by, "extend(by)")
        self._at_hand(delivery)

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        raw, _ = self._at_hand(delivery)
        return await self._reply(raw.envelope, payload)

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        """Return what a transaction needs to settle the delivery itself, and how to say that it did."""
        raw, settling = self._at_hand(delivery)
        consumer, _ = self._open()
        return consumer, raw, lambda: settling.settled_elsewhere(raw)

    async def accept_all(self, deliveries: Sequence[Delivery[Any]]) -> None:
        """Accept what has not been settled."""
        _, settling = self._open()
        raws = [delivery.raw for delivery in deliveries]
        open_raws = [raw for raw in raws if isinstance(raw, RawDelivery) and raw in settling.held]
        for raw in open_raws:
            settling.carry_out(raw, current(raw), ACCEPT)
        await settling.settled()

    async def close(self) -> None:
        if self._consumer is None or self._settling is None:
            return
        consumer, self._consumer = self._consumer, None
        await consumer.drain()
        self._lanes.clear()
        await self._settling.settled()
        self._settling.stop()
        await consumer.close()

    def _open(self) -> tuple[Consumer, Settling]:
        if self._consumer is None or self._settling is None:
            msg = f"the receiver of {self._queue.name!r} is closed"
            raise Closed(msg)
        return self._consumer, self._settling

    def _at_hand(self, delivery: Delivery[Any]) -> tuple[RawDelivery, Settling]:
        _, settling = self._open()
        raw = delivery.raw
        if isinstance(raw, RawDelivery) and raw.lost:
            msg = f"message {delivery.id} was taken back by the broker"
            raise DeliveryLost(msg)
        if not isinstance(raw, RawDelivery) or raw not in settling.held:
            msg = f"message {delivery.id} is settled already; a delivery ends once"
            raise AlreadySettled(msg)
        return raw, settling


class _CreditKept:
    """A consumer whose credit is not given back as deliveries end, since only who asks gives it."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.settle = consumer.settle
        self.drain = consumer.drain
        self.close = consumer.close

    @property
    def holds(self) -> bool:
        return self._consumer.holds

    def credit(self, n: int, /) -> None:
        """Nothing: see `Receiver.take`."""
