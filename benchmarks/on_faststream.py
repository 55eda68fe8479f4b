"""The work on FastStream: its test broker for Kafka, the fastest of those that it brings."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from operator import attrgetter
from typing import Annotated, Any

from faststream import AckPolicy, Header
from faststream.kafka import KafkaBroker, TestKafkaBroker
from faststream.kafka.annotations import KafkaMessage

from benchmarks.work import HEADERS, ORDER, Arrivals, OrderPlaced, Side

__all__ = ["faststream", "faststream_consume_only", "faststream_payload_only"]

_TOPIC = "orders"
_SLOWER = 20

_Once = Callable[[], Awaitable[object]]


def faststream() -> AbstractAsyncContextManager[Side]:
    """The same work: published, and handled with the message and a header injected."""
    return _side("faststream", injecting=True, once=_publish)


def faststream_payload_only() -> AbstractAsyncContextManager[Side]:
    """Less work: nothing is injected, as each thing that is takes a turn in another thread."""
    return _side("faststream_payload_only", injecting=False, once=_publish)


def faststream_consume_only() -> AbstractAsyncContextManager[Side]:
    """Half the work: what was encoded beforehand is given to the subscriber, past publisher and test broker."""
    return _side("faststream_consume_only", injecting=True, once=_consume)


@asynccontextmanager
async def _side(name: str, *, injecting: bool, once: Callable[[KafkaBroker], Awaitable[_Once]]) -> AsyncGenerator[Side]:
    broker, arrivals = _broker(), Arrivals()
    subscriber = broker.subscriber(_TOPIC, ack_policy=AckPolicy.NACK_ON_ERROR)

    async def bill(order: OrderPlaced, message: KafkaMessage, trace: Annotated[str, Header("x-trace")]) -> None:
        arrivals.one(order, message, trace)

    async def bill_payload(order: OrderPlaced) -> None:
        arrivals.one(order)

    subscriber(bill if injecting else bill_payload)
    async with TestKafkaBroker(broker):
        handle_one = await once(broker)

        async def run(messages: int) -> None:
            arrivals.expect(messages)
            for _ in range(messages):
                await handle_one()
            await arrivals.all_there()

        yield Side(name, run, _SLOWER)


async def _publish(broker: KafkaBroker) -> _Once:
    return lambda: broker.publish(ORDER, _TOPIC, headers=HEADERS)


async def _consume(broker: KafkaBroker) -> _Once:
    record = await _record()
    (subscriber,) = broker.subscribers
    return lambda: subscriber.consume(record)


async def _record() -> Any:
    """Return what the test broker gives a subscriber for a message that is published."""
    broker = _broker()
    records: list[Any] = []

    @broker.subscriber(_TOPIC)
    async def keep(order: OrderPlaced, message: KafkaMessage) -> None:
        records.append(_raw(message) if order.paid else None)

    async with TestKafkaBroker(broker):
        await broker.publish(ORDER, _TOPIC, headers=HEADERS)
    return records[0]


def _broker() -> KafkaBroker:
    # Without a logger, or the two records for each message would be a third of the time.
    return KafkaBroker(logger=None)


_raw = attrgetter("raw_message")
