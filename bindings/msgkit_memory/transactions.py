"""All or none: transactions and half messages, seen from a client."""

from collections.abc import Sequence
from functools import partial

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import AlreadySettled, Closed, ConfigurationError, DeliveryLost, SendRefused
from msgkit.spi import Consumer, RawDelivery
from msgkit_memory.consumer import MemoryConsumer
from msgkit_memory.faults import Fate
from msgkit_memory.halves import Half
from msgkit_memory.publisher import Publisher, confirm_lost
from msgkit_memory.session import Session
from msgkit_memory.stored import Stored

__all__ = ["MemoryHalf", "MemoryTransaction", "prepare"]


class MemoryTransaction:
    """Messages that are kept here until they are stored together, under one lock."""

    def __init__(self, session: Session, publisher: Publisher) -> None:
        self._session = session
        self._publisher = publisher
        self._envelopes: list[Envelope] = []
        self._over = False

    async def send(self, envelope: Envelope, /) -> Receipt:
        self._refuse_when_over()
        await self._session.wire.request(partial(self._session.broker.content.check, envelope))
        self._envelopes.append(envelope)
        return self._publisher.receipt(envelope)

    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        self._refuse_when_over()
        deliveries = [_ours(self._session, *pair) for pair in settle]
        self._over = True
        commit = partial(self._commit, deliveries)
        await self._session.wire.request(commit, confirm_lost)

    async def abort(self) -> None:
        self._over = True
        self._envelopes.clear()

    def _refuse_when_over(self) -> None:
        if self._over:
            raise Closed("the transaction is over")

    def _commit(self, deliveries: list[tuple[MemoryConsumer, Stored]]) -> None:
        broker = self._session.broker
        for consumer, delivery in deliveries:
            if delivery not in consumer.taker.unsettled:
                raise DeliveryLost(f"message {delivery.envelope.message_id} was taken back by the broker")
        if broker.troubled and deliveries:
            broker.faults.refuse_to_settle()
        for envelope in self._envelopes:
            if broker.troubled:
                broker.faults.refuse_to_store(envelope)
            broker.content.check(envelope)
        fate = broker.faults.fate() if broker.troubled else Fate.STORED
        # Nothing below can fail, and nobody sees any of it before the lock is free.
        if fate is not Fate.LOST:
            for envelope in self._envelopes:
                broker.content.store(envelope)
            for consumer, delivery in deliveries:
                consumer.taker.let_go(delivery)
                consumer.taker.queue.gone(delivery)
        if fate is not Fate.STORED:
            broker.lose(self._session.client)


def _ours(session: Session, consumer: Consumer, delivery: RawDelivery) -> tuple[MemoryConsumer, Stored]:
    if isinstance(consumer, MemoryConsumer) and isinstance(delivery, Stored) and consumer.broker is session.broker:
        return consumer, delivery
    raise ConfigurationError("a transaction cannot settle a delivery of another broker")


class MemoryHalf:
    """A half message, as its sender sees it."""

    def __init__(self, session: Session, publisher: Publisher, half: Half) -> None:
        self._session = session
        self._publisher = publisher
        self._half = half

    async def commit(self) -> Receipt:
        """Make it a message.

        :raises SendRefused: when it was rolled back, by its sender or by its check
        """
        await self._session.wire.request(self._commit, confirm_lost)
        return self._publisher.receipt(self._half.envelope)

    async def roll_back(self) -> None:
        """Make it nothing.

        :raises AlreadySettled: when it was committed, by its sender or by its check
        """
        await self._session.wire.request(self._roll_back)

    def _commit(self) -> None:
        broker = self._session.broker
        if broker.troubled and self._half.outcome is None:
            broker.faults.refuse_to_store(self._half.envelope)
        fate = broker.faults.fate() if broker.troubled else Fate.STORED
        if fate is not Fate.LOST:
            broker.halves.conclude(self._half, commit=True)
        if fate is not Fate.STORED:
            broker.lose(self._session.client)
        if not self._half.outcome:
            raise SendRefused(f"half message {self._half.envelope.message_id} was rolled back")

    def _roll_back(self) -> None:
        self._session.broker.halves.conclude(self._half, commit=False)
        if self._half.outcome:
            raise AlreadySettled(f"half message {self._half.envelope.message_id} was committed")


async def prepare(session: Session, publisher: Publisher, envelope: Envelope, check: str) -> MemoryHalf:
    """Store a half message.

    :raises SendRefused: when its destination could not take it
    """

    def store() -> Half:
        broker = session.broker
        if broker.troubled:
            broker.faults.refuse_to_store(envelope)
        broker.content.check(envelope)
        return broker.halves.prepare(envelope, check, session.client)

    return MemoryHalf(session, publisher, await session.wire.request(store, confirm_lost))
