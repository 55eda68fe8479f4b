"""An order service: what is in its database is what the others hear of, and nothing else."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgkit import Exchange, Message, MessageTemplate, checker, listener
from samples.half_message.database import Database

__all__ = ["OrderPlaced", "Orders", "Packing", "orders", "packing"]

#: No order takes as long to be placed: of one that is not in the database by then, nothing will come.
LONGEST = timedelta(seconds=5)


@dataclass(frozen=True)
class OrderPlaced:
    id: str
    article: str


orders = Exchange("half-orders", OrderPlaced)
packing = orders.queue("half-packing")


class Orders:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(
        self, template: MessageTemplate, order: OrderPlaced, *, then: Callable[[], None] = lambda: None
    ) -> None:
        """Write an order down, and have it packed; what happens `then` may be the end of this process."""
        async with template.prepare(orders, order, check="placed", message_id=order.id):
            self._database.place(order.id, order.article)
            then()

    @checker("placed")
    async def was_placed(self, half: Message[bytes]) -> bool | None:
        """Say what became of an order whose process has not said it itself."""
        if self._database.has(half.id):
            return True
        return False if half.sent_at is not None and datetime.now(UTC) - half.sent_at > LONGEST else None


class Packing:
    def __init__(self) -> None:
        self.packed: asyncio.Queue[str] = asyncio.Queue()

    @listener(packing)
    async def pack(self, order: OrderPlaced) -> None:
        self.packed.put_nowait(order.id)
