"""The work on FastStream, with its means to the same guarantees, and without its two log records a message."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from faststream import AckPolicy
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from benchmarks.clients.work import ORDER, PATIENCE, PREFETCH, Handled, OrderPlaced, Side, one_by_one, pipelined

__all__ = ["faststream"]


@asynccontextmanager
async def faststream(url: str, queue: str, handled: Handled) -> AsyncGenerator[Side]:
    """Publish persistent, mandatory and confirmed; acknowledge what was handled."""
    channel = Channel(prefetch_count=PREFETCH, publisher_confirms=True, on_return_raises=True)
    broker = RabbitBroker(url, default_channel=channel, logger=None)
    declared = RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True)

    @broker.subscriber(declared, ack_policy=AckPolicy.NACK_ON_ERROR)
    async def bill(order: OrderPlaced) -> None:
        handled.one(order)

    async def publish() -> None:
        await broker.publish(ORDER, queue, mandatory=True, persist=True, timeout=PATIENCE)

    @asynccontextmanager
    async def consuming() -> AsyncGenerator[None]:
        await broker.start()
        yield
        await broker.stop()

    await broker.connect()
    try:
        await broker.declare_queue(declared)
        yield Side(
            publish=partial(one_by_one, publish),
            publish_pipelined=partial(pipelined, publish),
            consuming=consuming,
        )
    finally:
        await broker.stop()
