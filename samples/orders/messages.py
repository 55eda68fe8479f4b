"""What the shop's services say to each other."""

from dataclasses import dataclass

__all__ = ["OrderPlaced", "Quote", "QuoteRequest"]


@dataclass(frozen=True)
class OrderPlaced:
    id: str
    customer: str
    region: str
    total: int


@dataclass(frozen=True)
class QuoteRequest:
    article: str
    pieces: int


@dataclass(frozen=True)
class Quote:
    price: int
