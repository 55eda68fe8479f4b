"""The work that is the same for all: a typed payload of 1 KiB, published in two ways, and handled."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter, process_time

from pydantic import BaseModel

__all__ = [
    "BATCH",
    "IN_FLIGHT",
    "ORDER",
    "PATIENCE",
    "PREFETCH",
    "Cost",
    "Handled",
    "Line",
    "Moment",
    "OrderPlaced",
    "Side",
    "one_by_one",
    "pipelined",
]

#: Publishes that are not confirmed yet, at most, where they are pipelined.
IN_FLIGHT = 256
#: Deliveries that are not acknowledged yet, at most.
PREFETCH = 100
#: Messages that are handled between two commits, at most, where a hand commits them.
BATCH = 500
#: Seconds that a publish may wait for its confirmation.
PATIENCE = 30.0


class Line(BaseModel):
    sku: str
    title: str
    quantity: int
    price: int


class OrderPlaced(BaseModel):
    id: str
    customer: str
    region: str
    placed_at: datetime
    total: int
    paid: bool
    lines: list[Line]


ORDER = OrderPlaced(
    id="order-4711",
    customer="customer-1702",
    region="eu",
    placed_at=datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC),
    total=45_150,
    paid=True,
    lines=[
        Line(sku=f"sku-{number:05}", title=f"A thing of brass and oak, size {number}", quantity=number, price=1_290)
        for number in range(1, 11)
    ],
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What messages took, once they were through."""

    rate: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on the wall, and the CPU time of this process by then."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Moment":
        return cls(perf_counter(), process_time())

    def since(self, before: "Moment", messages: int) -> Cost:
        return Cost(rate=messages / (self.wall - before.wall), cpu_us=(self.cpu - before.cpu) / messages * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of those compared: its ways to publish so many messages, and its consumer, which runs for a block."""

    publish: Callable[[int], Awaitable[None]]
    publish_pipelined: Callable[[int], Awaitable[None]]
    consuming: Callable[[], AbstractAsyncContextManager[object]]


async def one_by_one(publish: Callable[[], Awaitable[object]], messages: int) -> None:
    """Publish each when the one before it is confirmed."""
    for _ in range(messages):
        await publish()


async def pipelined(publish: Callable[[], Awaitable[object]], messages: int) -> None:
    """Publish as a careful hand does: by as many tasks as may be in flight, which is cheaper than one a message."""
    left = iter(range(messages))

    async def share() -> None:
        for _ in left:
            await publish()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(IN_FLIGHT, messages)):
            group.create_task(share())


class Handled:
    """Counts what the handler gets, and takes the time from the first that is measured to the last."""

    __slots__ = ("_all", "_began", "_first", "_last", "_number")

    def __init__(self, *, unmeasured: int, measured: int) -> None:
        self._first = unmeasured
        self._last = unmeasured + measured
        self._number = 0
        self._began = Moment.now()
        self._all = asyncio.get_running_loop().create_future()

    def one(self, order: OrderPlaced) -> None:
        """Take note of a message; one with another payload does not count."""
        if order.lines[-1].quantity != len(ORDER.lines):
            return
        self._number += 1
        if self._number == self._first:
            self._began = Moment.now()
        elif self._number == self._last:
            self._all.set_result(Moment.now().since(self._began, self._last - self._first))

    async def cost(self) -> Cost:
        cost: Cost = await self._all
        return cost
