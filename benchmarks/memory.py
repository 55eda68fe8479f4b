"""What a service holds after so many messages: all different, one in a hundred tried again, one in hand to the end."""

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import Annotated

from benchmarks.looks import LOOKS, look, report
from benchmarks.report import Report
from benchmarks.work import ORDER, OrderPlaced
from msgkit import Application, Exchange, Header, Message, MessageTemplate, Retry, Settings, listener

__all__ = ["EMBEDDED", "measure"]

EMBEDDED = "memory://memory?transient=true"
#: What is sent at once: who sends without a pause has the broker hold what is not handled yet.
_BURST = 1_000

orders = Exchange("orders", OrderPlaced, key=lambda order: order.id, subject=lambda order: f"placed.{order.id}")
billing = orders.queue("billing", "placed.*")


class _Handled:
    """Counts what was handled. The first message is in hand until all others are sent."""

    def __init__(self) -> None:
        self.all_sent = asyncio.Event()
        self._number = 0
        self._wanted = 0
        self._there = asyncio.Event()

    async def until(self, number: int) -> None:
        self._wanted = number
        self._there.clear()
        if self._number < number:
            await self._there.wait()

    async def one(self, order: OrderPlaced) -> None:
        if not order.total:
            await self.all_sent.wait()
        self._number += 1
        if self._number == self._wanted:
            self._there.set()


async def measure(*, messages: int, url: str = EMBEDDED, held_up: int = 1) -> Report:
    """Look ten times, evenly, and once more when all is done, that which was in hand from the beginning as well.

    :param held_up: so many may wait for the first, at most
    """
    handled = _Handled()

    @listener(billing, concurrency=64)
    async def bill(order: Message[OrderPlaced], trace: Annotated[str, Header("x-trace")]) -> None:
        if order.attempt == 1 and order.payload.total % 100 == 99:  # noqa: PLR2004 -- one in a hundred
            raise Retry(after=0.001)
        if trace:
            await handled.one(order.payload)

    async with Application([bill], settings=Settings(url=url)) as shop:
        part = max(1, messages // LOOKS)
        runs: list[dict[str, float]] = []
        for first in range(0, part * LOOKS, part):
            began = perf_counter()
            for number in range(first, first + part, _BURST):
                burst = range(number, min(number + _BURST, first + part))
                await _place(shop.template, burst)
                await handled.until(burst.stop - held_up)
            runs.append(look(messages=first + part) | {"us_a_message": (perf_counter() - began) / part * 1e6})
        handled.all_sent.set()
        await handled.until(part * LOOKS)
        done = look(messages=part * LOOKS)
    note = f"{done['rss_kib']:,.0f} KiB when the first message was done as well, and all behind it"
    return report("memory", "message", runs, note)


async def _place(template: MessageTemplate, numbers: Iterable[int]) -> None:
    async with template.pipeline() as pipeline:
        for number in numbers:
            order = ORDER.model_copy(update={"id": str(number), "total": number})
            _ = await pipeline.send(orders, order, headers={"x-trace": f"trace-{number}"})
