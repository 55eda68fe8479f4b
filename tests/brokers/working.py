"""A service that does a bit of everything, to see whether it is let."""

from typing import Any, Literal

from msgkit import Application, Backoff, Exchange, Option, Settings, listener
from tests.waiting import until

__all__ = ["Mode", "work_through"]

Mode = Literal["create", "verify", "assume"]


async def work_through(url: str, mode: Mode, *options: Option) -> None:
    """Listen to `billing`, which takes from `orders`; ask and answer, send, delay, try again, and give up."""
    orders = Exchange("orders", str)
    billing = orders.queue("billing", options=options)

    @listener(billing, retry=Backoff(attempts=2, first=0.1, jitter=0))
    async def bill(order: str) -> str:
        if order == "bad":
            raise ValueError(order)
        return order

    async with Application([bill], settings=Settings(url=url, topology=mode)) as app:
        assert await app.template.request(billing, "asked", str, timeout=10) == "asked"
        await app.template.send(orders, "later", delay=0.1)
        await app.template.send(orders, "bad")

        async def is_done() -> bool:
            health: Any = await app.health()
            counted = health["queues"]["billing"]
            return (counted["handled"], counted["dead"]) == (2, 1)

        await until(is_done)
