"""Sends and settlements that are seen together or never.

What is sent in a transaction is kept here until it is committed, so that one is open at the brokers for a moment only:
behind an open one nobody reads on, not even what has nothing to do with it.
"""

import asyncio
from asyncio import Task
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, SendRefused, SendUnknown, Unroutable
from msgkit.spi import Consumer, RawDelivery
from msgkit.spi.absent import absent
from msgkit_kafka.consumer import KafkaConsumer
from msgkit_kafka.copies import taken_back
from msgkit_kafka.doubt import Doubt
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.part import Handle, Part
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Transactions"]


class Transactions:
    """Those of one client; each has a producer for as long as it is committed."""

    def __init__(
        self,
        broker: str,
        producers: Producers,
        place: Callable[[Envelope], Awaitable[Placed]],
        spawn: Callable[[Coroutine[Any, Any, bool | None]], Task[bool | None]],
    ) -> None:
        """Have transactions; what `spawn` begins goes on until the client ends."""
        self.broker = broker
        self.producers = producers
        self.place = place
        self.spawn = spawn

    def begin(self) -> "_Deal":
        return _Deal(self)


class _Deal:
    """One of them."""

    def __init__(self, home: Transactions) -> None:
        self._home = home
        self._placed: list[Placed] = []
        self._has_ended = False

    async def send(self, envelope: Envelope, /) -> Receipt:
        """Keep a message for the commit.

        :raises SendRefused: when it could not be committed
        """
        self._refuse_ended()
        placed = await self._home.place(envelope)
        with self._home.producers.one() as producer:
            if await producer.missing([placed.topic]):
                raise Unroutable(absent(f"{envelope.kind.value} {envelope.destination!r}"))
        self._placed.append(placed)
        return Receipt(envelope.message_id, envelope.destination, self._home.broker)

    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        """Make all of it visible, and end the deliveries, at once.

        :raises DeliveryLost: when one of these is another's; then nothing happened
        :raises SendRefused: when nothing happened
        :raises SendUnknown: when the broker does not say whether it did
        """
        self._refuse_ended()
        self._has_ended = True
        if not self._placed and not settle:
            return
        deliveries: dict[KafkaConsumer, list[RawDelivery]] = {}
        for consumer, delivery in settle:
            if not isinstance(consumer, KafkaConsumer):
                raise TypeError(f"{delivery!r} is not a delivery of this broker")
            deliveries.setdefault(consumer, []).append(delivery)
        settled = [
            _Settled(consumer, membership, those)
            for consumer, those in deliveries.items()
            if (membership := consumer.membership) is not None
        ]

        def seen() -> None:
            for consumer, those in deliveries.items():
                consumer.ended_elsewhere(those)

        async with AsyncExitStack() as alone:
            # Always in one order, so that two who settle of the same consumers do not wait for each other.
            for consumer in sorted(deliveries, key=id):
                await alone.enter_async_context(consumer.alone())
            await self._commit(settled, seen, alone)

    async def _commit(self, settled: Sequence["_Settled"], seen: Callable[[], None], alone: AsyncExitStack) -> None:
        try:
            with self._home.producers.one() as producer:
                await producer.commit(self._placed, settled, seen)
        except (SendUnknown, asyncio.CancelledError) as error:
            unknown = error if isinstance(error, SendUnknown) else error.__cause__
            if not settled or not isinstance(unknown, SendUnknown):
                raise
            doubted = [each.doubt() for each in settled]
            # It goes on when nobody waits for it any longer, and keeps others from committing until it is over.
            finding_out = self._home.spawn(_find_out(doubted, seen, alone.pop_all()))
            if error is not unknown:
                raise
            await asyncio.wait([finding_out])
            if finding_out.cancelled() or (is_done := finding_out.result()) is None:
                raise
            if not is_done:
                raise SendRefused(f"the brokers took the transaction back: {unknown}") from unknown

    async def abort(self) -> None:
        self._has_ended = True
        self._placed.clear()

    def _refuse_ended(self) -> None:
        if self._has_ended:
            raise Closed("the transaction has ended")


class _Settled:
    """Deliveries of one consumer that end with a transaction."""

    def __init__(self, consumer: KafkaConsumer, membership: Membership, deliveries: Sequence[RawDelivery]) -> None:
        self._consumer = consumer
        self._deliveries = deliveries
        self.membership = membership

    def points(self) -> Mapping[Partition, Point]:
        ended: dict[Part, list[int]] = {}
        for delivery in self._deliveries:
            handle = self._consumer.handle_of(delivery)
            if handle is None:
                raise taken_back(delivery)
            ended.setdefault(handle.part, []).append(handle.record.offset)
        return {part.partition: part.point_if_done(offsets) for part, offsets in ended.items()}

    def doubt(self) -> "_Doubted":
        """Have nothing be committed that could undo their end, until it is known whether they ended."""
        return _Doubted(self)

    def still_open(self) -> Sequence[Handle]:
        """Return those that are neither another's by now nor done."""
        handles = map(self._consumer.handle_of, self._deliveries)
        return [handle for handle in handles if handle is not None]


class _Doubted:
    """Deliveries of one consumer that may have ended with a transaction."""

    def __init__(self, settled: _Settled) -> None:
        self._still_open = settled.still_open
        self._doubt = Doubt(settled.membership, (handle.part.partition for handle in self._still_open()))

    async def is_done(self) -> bool | None:
        """Tell whether they ended, when it is known; None when that says nothing of the transaction any more."""
        done = await self._doubt.found_out(lambda: bool(self._still_open()))
        handles = self._still_open()
        if done is None or not handles:
            return None
        return all(done[handle.part.partition].is_done(handle.record.offset) for handle in handles)


async def _find_out(doubted: Sequence[_Doubted], seen: Callable[[], None], alone: AsyncExitStack) -> bool | None:
    """See by what the groups have done whether all of it is seen; None when none can tell, or not all say the same."""
    async with alone:
        said = {is_done for each in doubted if (is_done := await each.is_done()) is not None}
        if len(said) != 1:
            return None
        (is_done,) = said
        if is_done:
            seen()
        return is_done
