"""What the scenarios share: a user's own messages and topology."""

from dataclasses import dataclass

from msgkit import Exchange, Queue


@dataclass(frozen=True)
class OrderPlaced:
    id: str
    customer: str
    region: str
    total: int


@dataclass(frozen=True)
class OrderCancelled:
    id: str
    customer: str


@dataclass(frozen=True)
class QuoteRequest:
    sku: str
    amount: int


@dataclass(frozen=True)
class Quote:
    price: int


orders = Exchange(
    "orders",
    OrderPlaced,
    key=lambda order: order.customer,
    subject=lambda order: f"placed.{order.region}",
)
cancels = Exchange("cancels", OrderCancelled, key=lambda order: order.customer)
quotes = Queue("quotes", QuoteRequest)
