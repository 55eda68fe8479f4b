"""The work that is the same for all: a payload of five fields, one header, and a count of what arrived."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel

__all__ = ["HEADERS", "ORDER", "Arrivals", "OrderPlaced", "Side"]


class OrderPlaced(BaseModel):
    id: str
    customer: str
    region: str
    total: int
    paid: bool


ORDER = OrderPlaced(id="4711", customer="c-17", region="eu", total=4_200, paid=True)
HEADERS = {"x-trace": "0af7651916cd43dd"}


@dataclass(frozen=True, slots=True)
class Side:
    """One of those compared: `run(n)` returns when `n` messages have been handled and settled."""

    name: str
    run: Callable[[int], Awaitable[None]]
    #: It is given so many times fewer messages, that its turn takes no longer than the others'.
    slower: int = 1


class Arrivals:
    """Counts what a handler gets, and tells when all of it is there."""

    __slots__ = ("_all_there", "_missing")

    def __init__(self) -> None:
        self._missing = 0
        self._all_there = asyncio.Event()

    def expect(self, messages: int) -> None:
        self._missing = messages
        self._all_there.clear()

    def one(self, order: OrderPlaced, *injected: object) -> None:
        """Take note of a message; one that came without what was to be injected does not count."""
        if order.paid and all(injected):
            self._missing -= 1
            if not self._missing:
                self._all_there.set()

    async def all_there(self) -> None:
        await self._all_there.wait()
