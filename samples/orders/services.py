"""The shop: each service listens to its own queue and knows none of the others."""

from typing import Annotated

from msgkit import Backoff, Header, Message, Reject, listener
from samples.orders.bank import Bank, BankUnreachable, CardDeclined
from samples.orders.journal import Journal
from samples.orders.messages import OrderPlaced, Quote, QuoteRequest
from samples.orders.topology import billing, mail, quotes, stock

__all__ = ["Billing", "Mail", "Quotes", "Stock"]

PRICES = {"lamp": 20, "desk": 150}


class Billing:
    def __init__(self, bank: Bank, journal: Journal) -> None:
        self._bank = bank
        self._journal = journal

    @listener(billing, concurrency=4, retry=Backoff(5, first=0.2, give_up_on=(CardDeclined,)))
    async def charge(self, message: Message[OrderPlaced]) -> None:
        order = message.payload
        try:
            await self._bank.charge(order.customer, order.total)
        except BankUnreachable:
            self._note(f"order {order.id}: the bank is out of reach, try {message.attempt}")
            raise
        self._note(f"order {order.id}: customer {order.customer} paid {order.total}")

    @listener(billing.dead_letters)
    async def unpaid(self, body: bytes, error: Annotated[str, Header("msgkit-dead-error")]) -> None:
        self._note(f"dead letter: {error}, {body.decode()}")

    def _note(self, what: str) -> None:
        self._journal.note("billing", what)


class Stock:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @listener(stock)
    async def reserve(self, order: OrderPlaced) -> None:
        self._journal.note("stock", f"order {order.id}: reserved")


class Mail:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @listener(mail)
    async def thank(self, order: OrderPlaced) -> None:
        self._journal.note("mail", f"order {order.id}: thanked customer {order.customer}")


class Quotes:
    @listener(quotes, concurrency=4)
    async def quote(self, request: QuoteRequest) -> Quote:
        if request.article not in PRICES:
            raise Reject(f"there is no {request.article} in the shop")
        return Quote(PRICES[request.article] * request.pieces)
