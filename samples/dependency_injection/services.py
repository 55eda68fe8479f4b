"""Services that are given what they need, and know no container."""

import asyncio
from dataclasses import dataclass

from msgkit import Exchange, Sender, listener

__all__ = ["Billing", "Ledger", "OrderPlaced", "billing", "invoices", "orders"]


@dataclass(frozen=True)
class OrderPlaced:
    id: str
    total: int


orders = Exchange("orders", OrderPlaced)
invoices = Exchange("invoices", str)
billing = orders.queue("billing")


class Billing:
    """Asks for a `Sender`, which a test can replace by anything that sends."""

    def __init__(self, messages: Sender, tax: int) -> None:
        self._messages = messages
        self._tax = tax

    @listener(billing, concurrency=4)
    async def bill(self, order: OrderPlaced) -> None:
        amount = order.total + order.total * self._tax // 100
        await self._messages.send(invoices, f"order {order.id}: {amount}")


class Ledger:
    """What was invoiced, for whoever waits for it."""

    def __init__(self) -> None:
        self._entries: asyncio.Queue[str] = asyncio.Queue()

    def enter(self, entry: str) -> None:
        self._entries.put_nowait(entry)

    async def next(self, *, within: float = 10) -> str:
        async with asyncio.timeout(within):
            return await self._entries.get()
