"""The work on plain aiokafka, with the guarantees of msgkit as far as a careful hand gets them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks.clients.work import BATCH, ORDER, PATIENCE, Handled, OrderPlaced, Side, one_by_one, pipelined
from benchmarks.kafka.servers import servers

__all__ = ["aiokafka"]

# It has no types.
_aiokafka: Any = import_module("aiokafka")

#: Bytes; with the default of 16 KiB, those who wait for room wake each other up for nothing.
_ROOM = 1024 * 1024
#: Milliseconds after which a consumer looks whether it is to end.
_LOOK = 200
_HEADERS = [("content-type", b"application/json"), ("type", b"OrderPlaced")]


@asynccontextmanager
async def aiokafka(url: str, topic: str, handled: Handled) -> AsyncGenerator[Side]:
    """Publish idempotently, to all replicas; commit once for each batch that was handled."""
    producer = _aiokafka.AIOKafkaProducer(
        bootstrap_servers=servers(url),
        acks="all",
        enable_idempotence=True,
        max_batch_size=_ROOM,
        request_timeout_ms=int(PATIENCE * 1000),
    )

    async def publish() -> None:
        await producer.send_and_wait(topic, ORDER.model_dump_json().encode(), headers=_HEADERS)

    async with producer:
        yield Side(
            publish=partial(one_by_one, publish),
            publish_pipelined=partial(pipelined, publish),
            consuming=partial(_consuming, url, topic, handled),
        )


@asynccontextmanager
async def _consuming(url: str, topic: str, handled: Handled) -> AsyncGenerator[None]:
    consumer = _aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers(url),
        group_id=topic,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    ending = asyncio.Event()

    async def bill(order: OrderPlaced) -> None:
        handled.one(order)

    async def consume() -> None:
        while not ending.is_set():
            found = await consumer.getmany(timeout_ms=_LOOK, max_records=BATCH)
            for records in found.values():
                for record in records:
                    await bill(OrderPlaced.model_validate_json(record.value))
            if found:
                await consumer.commit()

    async with consumer, asyncio.TaskGroup() as group:
        group.create_task(consume())
        yield
        ending.set()
