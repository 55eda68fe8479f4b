"""The work on msgkit: an application with one listener; all settings but the prefetch are the defaults."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.clients.work import IN_FLIGHT, ORDER, PREFETCH, Handled, OrderPlaced, Side, one_by_one
from msgkit import Application, Queue, Settings, listener

__all__ = ["msgkit"]


@asynccontextmanager
async def msgkit(url: str, queue: str, handled: Handled) -> AsyncGenerator[Side]:
    """Publish to a queue, and have a listener take what is in it, once it is started."""
    orders = Queue(queue, OrderPlaced)

    @listener(orders, max_in_flight=PREFETCH, autostart=False)
    async def bill(order: OrderPlaced) -> None:
        handled.one(order)

    async with Application([bill], settings=Settings(url=url)) as service:
        template = service.template

        async def publish_pipelined(messages: int) -> None:
            async with template.pipeline(in_flight=IN_FLIGHT) as pipeline:
                for _ in range(messages):
                    _ = await pipeline.send(orders, ORDER)

        @asynccontextmanager
        async def consuming() -> AsyncGenerator[None]:
            await service.resume(orders)
            yield
            await service.pause(orders)

        yield Side(
            publish=partial(one_by_one, partial(template.send, orders, ORDER)),
            publish_pipelined=publish_pipelined,
            consuming=consuming,
        )
