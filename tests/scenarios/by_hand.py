"""Handlers that settle by hand, and interceptors that carry a trace and keep repeats away."""

import contextvars
from collections.abc import Awaitable, Callable

from msgkit import (
    Accept,
    Application,
    Delivery,
    Envelope,
    Headers,
    Receipt,
    Retry,
    Settlement,
    listener,
)
from tests.scenarios.shop import OrderPlaced, orders

trace_id = contextvars.ContextVar("trace", default="-")


async def stamp(envelope: Envelope, proceed: Callable[[Envelope], Awaitable[Receipt]]) -> Receipt:
    return await proceed(envelope.with_headers({"x-trace": trace_id.get()}))


async def traced(envelope: Envelope, proceed: Callable[[Envelope], Awaitable[Settlement]]) -> Settlement:
    token = trace_id.set(str(envelope.headers.get("x-trace", "-")))
    try:
        return await proceed(envelope)
    finally:
        trace_id.reset(token)


seen: set[str] = set()


async def once(envelope: Envelope, proceed: Callable[[Envelope], Awaitable[Settlement]]) -> Settlement:
    if envelope.message_id in seen:
        return Accept()
    settlement = await proceed(envelope)
    if isinstance(settlement, Accept):
        seen.add(envelope.message_id)
    return settlement


work: list[str] = []
traces: list[object] = []
unready: set[str] = set()


async def ready(order: OrderPlaced) -> bool:
    return order.id not in unready


@listener(orders.queue("render"), concurrency=2, timeout=3600, interceptors=[once])
async def render(delivery: Delivery[OrderPlaced], headers: Headers) -> None:
    if not await ready(delivery.payload):
        await delivery.settle(Retry(after=30))
        return
    work.append(f"render {delivery.payload.id} {trace_id.get()}")
    traces.append(headers["x-trace"])
    # A return with nothing settled accepts; raising retries.
    await delivery.settle(Accept())


@listener(orders.queue("video"))
async def video(order: OrderPlaced) -> Retry | None:
    if not await ready(order):
        return Retry(after=30)
    work.append(f"video {order.id} {trace_id.get()}")
    return None


app = Application([render, video], sending=[stamp], handling=[traced])
