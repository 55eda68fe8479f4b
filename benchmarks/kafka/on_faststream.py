"""The work on FastStream, with each of its promises, and without its two log records a message."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from benchmarks.clients.work import ORDER, PATIENCE, Handled, OrderPlaced, Side, one_by_one, pipelined
from benchmarks.kafka.servers import servers

__all__ = ["at_least_once", "at_most_once"]


def at_least_once(url: str, topic: str, handled: Handled) -> AbstractAsyncContextManager[Side]:
    """Commit when the handler has returned, each by itself: it knows no other way."""
    return _side(url, topic, handled, AckPolicy.NACK_ON_ERROR)


def at_most_once(url: str, topic: str, handled: Handled) -> AbstractAsyncContextManager[Side]:
    """Commit what was fetched, now and then, handled or not: as it is set."""
    return _side(url, topic, handled, AckPolicy.ACK_FIRST)


@asynccontextmanager
async def _side(url: str, topic: str, handled: Handled, policy: AckPolicy) -> AsyncGenerator[Side]:
    broker = KafkaBroker(
        servers(url), acks="all", enable_idempotence=True, request_timeout_ms=int(PATIENCE * 1000), logger=None
    )

    @broker.subscriber(topic, group_id=topic, auto_offset_reset="earliest", ack_policy=policy)
    async def bill(order: OrderPlaced) -> None:
        handled.one(order)

    async def publish() -> None:
        await broker.publish(ORDER, topic)

    @asynccontextmanager
    async def consuming() -> AsyncGenerator[None]:
        await broker.start()
        yield
        await broker.stop()

    await broker.connect()
    try:
        yield Side(
            publish=partial(one_by_one, publish), publish_pipelined=partial(pipelined, publish), consuming=consuming
        )
    finally:
        await broker.stop()
