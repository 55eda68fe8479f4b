"""The work on msgkit: from `template.send` to the settled handler, on the embedded broker."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from benchmarks.work import HEADERS, ORDER, Arrivals, OrderPlaced, Side
from msgkit import Application, Exchange, Header, Message, Settings, listener

__all__ = ["msgkit"]

orders = Exchange("orders", OrderPlaced)
billing = orders.queue("billing")


@asynccontextmanager
async def msgkit() -> AsyncGenerator[Side]:
    """Have a service run whose listener takes the message and a header; all settings are the defaults."""
    arrivals = Arrivals()

    @listener(billing)
    async def bill(order: Message[OrderPlaced], trace: Annotated[str, Header("x-trace")]) -> None:
        arrivals.one(order.payload, trace)

    async with Application([bill], settings=Settings(url="memory://overhead?transient=true")) as service:
        send = service.template.send

        async def run(messages: int) -> None:
            arrivals.expect(messages)
            for _ in range(messages):
                await send(orders, ORDER, headers=HEADERS)
            await arrivals.all_there()

        yield Side("msgkit", run)
