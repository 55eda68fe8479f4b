"""The service: it packs what is ordered, waits for what is not on the shelf, and keeps books elsewhere."""

from collections import Counter
from dataclasses import dataclass

from msgkit import Application, Backoff, Exchange, MessageTemplate, Queue, Reject, listener


@dataclass(frozen=True)
class Order:
    id: str
    article: str
    pieces: int


@dataclass(frozen=True)
class Parcel:
    order: str


orders = Exchange("orders", Order, key=lambda order: order.article)
parcels = Exchange("parcels", Parcel, key=lambda parcel: parcel.order)
to_pack = orders.queue("to-pack")
stock = Queue("stock", str)
books = Queue("books", str, broker="archive")


class OutOfStock(Exception):
    """There are not enough pieces; there may be some later."""


class Packing:
    def __init__(self, shelf: Counter[str]) -> None:
        self._shelf = shelf

    @listener(to_pack, retry=Backoff(attempts=3, first=1, factor=1, jitter=0))
    async def pack(self, order: Order, template: MessageTemplate) -> None:
        if order.pieces < 1:
            raise Reject("nothing to pack")
        if self._shelf[order.article] < order.pieces:
            raise OutOfStock(order.article)
        self._shelf[order.article] -= order.pieces
        await template.send(parcels, Parcel(order.id))
        await template.send(books, f"order {order.id}: {order.pieces} {order.article}")

    @listener(stock)
    async def count(self, article: str) -> int:
        return self._shelf[article]


def application(shelf: Counter[str]) -> Application:
    return Application([Packing(shelf)], topology=[parcels, books])
