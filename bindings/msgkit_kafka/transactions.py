"""Sends and settlements that are seen together or never.

What is sent in a transaction is kept here until it is committed, so that one is open at the brokers for a moment only:
behind an open one nobody reads on, not even what has nothing to do with it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, Unroutable
from msgkit.spi import Consumer, RawDelivery
from msgkit.spi.absent import absent
from msgkit_kafka.consumer import KafkaConsumer
from msgkit_kafka.copies import taken_back
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.part import Part
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Transactions"]


class Transactions:
    """Those of one client; each has a producer for as long as it is committed."""

    def __init__(self, broker: str, producers: Producers, place: Callable[[Envelope], Awaitable[Placed]]) -> None:
        self.broker = broker
        self.producers = producers
        self.place = place

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
        async with AsyncExitStack() as stack:
            # Always in one order, so that two who settle of the same consumers do not wait for each other.
            for consumer in sorted(deliveries, key=id):
                await stack.enter_async_context(consumer.alone())

            def seen() -> None:
                for consumer, those in deliveries.items():
                    consumer.ended_elsewhere(those)

            with self._home.producers.one() as producer:
                await producer.commit(self._placed, settled, seen)

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
