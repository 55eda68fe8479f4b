"""A Django or Flask shop: views and handlers that block."""

from collections.abc import Callable

from msgkit import Application, Exchange, SyncTemplate, listener
from tests.scenarios.shop import OrderPlaced, orders

receipts = Exchange("receipts", str)

# Connects at the first send, once a process (fork-safe), and closes at exit.
template = SyncTemplate()


def on_commit(action: Callable[[], object]) -> None:
    """What `django.db.transaction.on_commit` does outside of a transaction."""
    action()


def checkout(order: OrderPlaced) -> None:
    on_commit(lambda: template.send(orders, order, timeout=2))


@listener(orders.queue("billing"), concurrency=8, timeout=30)
def bill(order: OrderPlaced, messages: SyncTemplate) -> None:
    messages.send(receipts, f"receipt of {order.id}")


app = Application([bill], topology=[receipts])
