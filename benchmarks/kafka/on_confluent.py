"""The work on confluent-kafka, librdkafka's own face, which blocks: what a client can come to at most."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from benchmarks.clients.work import BATCH, IN_FLIGHT, ORDER, PATIENCE, Handled, OrderPlaced, Side
from benchmarks.kafka.servers import servers

__all__ = ["confluent"]

#: Seconds after which a consumer looks whether it is to end.
_LOOK = 0.2
_HEADERS: list[tuple[str, str | bytes | None]] = [("content-type", b"application/json"), ("type", b"OrderPlaced")]


@asynccontextmanager
async def confluent(url: str, topic: str, handled: Handled) -> AsyncGenerator[Side]:
    """Publish idempotently, to all replicas; commit once for each batch that was handled."""
    producer = Producer(
        {
            "bootstrap.servers": servers(url),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "delivery.timeout.ms": int(PATIENCE * 1000),
        }
    )
    publish = partial(_publish, producer, topic)
    yield Side(
        publish=partial(publish, in_flight=1),
        publish_pipelined=partial(publish, in_flight=IN_FLIGHT),
        consuming=partial(_consuming, url, topic, handled),
    )


async def _publish(producer: Producer, topic: str, messages: int, *, in_flight: int) -> None:
    def came(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            raise KafkaException(error)

    for _ in range(messages):
        producer.produce(topic, ORDER.model_dump_json().encode(), headers=_HEADERS, on_delivery=came)
        while len(producer) >= in_flight:
            producer.poll(PATIENCE)
    producer.flush(PATIENCE)


@asynccontextmanager
async def _consuming(url: str, topic: str, handled: Handled) -> AsyncGenerator[None]:
    consumer = Consumer(
        {
            "bootstrap.servers": servers(url),
            "group.id": topic,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    ending = asyncio.Event()

    async def bill(order: OrderPlaced) -> None:
        handled.one(order)

    async def consume() -> None:
        while not ending.is_set():
            found = consumer.consume(BATCH, _LOOK)
            for message in found:
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                await bill(OrderPlaced.model_validate_json(message.value() or b""))
            if found:
                consumer.commit(asynchronous=False)
            await asyncio.sleep(0)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            yield
            ending.set()
    finally:
        consumer.close()
