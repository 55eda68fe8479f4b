"""A ledger: two kinds of messages of one customer in strict order, with dead letters that hold their successors."""

from msgkit import Application, Backoff, Queue, listener
from tests.scenarios.shop import OrderCancelled, OrderPlaced, cancels, orders

ledger = Queue(
    "ledger",
    orders.where("placed.*"),
    cancels.where(),
    ordered="strict",
    dead_letters="ledger.parked",
)


class Ledger:
    def __init__(self) -> None:
        self.entries: list[str] = []

    @listener(ledger, concurrency=32, retry=Backoff(attempts=3, first=1))
    async def placed(self, order: OrderPlaced) -> None:
        if order.total < 0:
            raise ValueError("negative total")
        self.entries.append(f"placed {order.id}")

    # What holds for all consumers of a queue is said once.
    @listener(ledger)
    async def cancelled(self, order: OrderCancelled) -> None:
        self.entries.append(f"cancelled {order.id}")


def make_app(ledger: Ledger) -> Application:
    return Application([ledger])
