"""The work on plain aio-pika, with the guarantees of msgkit as far as a careful hand gets them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from aio_pika import DeliveryMode, Message, connect_robust
from aio_pika.abc import AbstractIncomingMessage

from benchmarks.clients.work import ORDER, PATIENCE, PREFETCH, Handled, OrderPlaced, Side, one_by_one, pipelined

__all__ = ["aio_pika"]

_QUORUM = {"x-queue-type": "quorum"}
#: Seconds; the default of 60 notices a dead peer after three minutes.
_HEARTBEAT = 5


@asynccontextmanager
async def aio_pika(url: str, queue: str, handled: Handled) -> AsyncGenerator[Side]:
    """Publish persistent, mandatory and confirmed; acknowledge what was handled; a connection for each."""
    async with (
        await connect_robust(url, heartbeat=_HEARTBEAT) as connection,
        connection.channel(publisher_confirms=True, on_return_raises=True) as channel,
    ):
        await channel.declare_queue(queue, durable=True, arguments=_QUORUM)
        exchange = channel.default_exchange

        async def publish() -> None:
            message = Message(
                ORDER.model_dump_json().encode(),
                content_type="application/json",
                delivery_mode=DeliveryMode.PERSISTENT,
                timestamp=datetime.now(UTC),
                type="OrderPlaced",
            )
            await exchange.publish(message, queue, mandatory=True, timeout=PATIENCE)

        yield Side(
            publish=partial(one_by_one, publish),
            publish_pipelined=partial(pipelined, publish),
            consuming=partial(_consuming, url, queue, handled),
        )


@asynccontextmanager
async def _consuming(url: str, queue: str, handled: Handled) -> AsyncGenerator[None]:
    async def bill(order: OrderPlaced) -> None:
        handled.one(order)

    async def take(message: AbstractIncomingMessage) -> None:
        try:
            await bill(OrderPlaced.model_validate_json(message.body))
        except Exception:
            await message.reject(requeue=False)
            raise
        await message.ack()

    async with await connect_robust(url, heartbeat=_HEARTBEAT) as connection, connection.channel() as channel:
        await channel.set_qos(prefetch_count=PREFETCH)
        declared = await channel.declare_queue(queue, durable=True, arguments=_QUORUM)
        tag = await declared.consume(take)
        yield
        await declared.cancel(tag)
