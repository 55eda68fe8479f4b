"""Where messages are sent, and where they wait."""

from msgkit import Exchange, Queue
from samples.orders.messages import OrderPlaced, QuoteRequest

__all__ = ["billing", "mail", "orders", "quotes", "stock"]

orders = Exchange(
    "orders",
    OrderPlaced,
    key=lambda order: order.customer,
    subject=lambda order: f"placed.{order.region}",
)

billing = orders.queue("billing", ordered=True)
stock = orders.queue("stock", "placed.eu")
mail = orders.queue("mail")
quotes = Queue("quotes", QuoteRequest)
