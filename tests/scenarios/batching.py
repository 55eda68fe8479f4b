"""Orders written to a warehouse in batches: as a whole, or each with an end of its own."""

from collections.abc import Sequence

from msgkit import Accept, Application, Batch, Message, Reject, Retry, Settlement, listener
from tests.scenarios.shop import OrderPlaced, orders

warehouse = orders.queue("warehouse")
lake = orders.queue("lake")

written: list[list[str]] = []


def insert(rows: Sequence[OrderPlaced]) -> dict[int, str]:
    """Return what is wrong with which row."""
    written.append([row.id for row in rows])
    return {place: "bad row" for place, row in enumerate(rows) if row.total < 0}


@listener(warehouse, batch=Batch(500, within=0.5))
def store(rows: list[OrderPlaced]) -> None:
    # All or nothing: raising retries each of the 500.
    if insert(rows):
        raise ValueError("the warehouse takes all rows, or none")


@listener(lake, batch=Batch(500, within=0.5))
def store_some(rows: list[Message[OrderPlaced]]) -> list[Settlement]:
    failed = insert([row.payload for row in rows])
    return [
        Reject(failed[place])
        if place in failed
        else Retry(60)
        if row.payload.total == 0 and row.attempt == 1
        else Accept()
        for place, row in enumerate(rows)
    ]


app = Application([store, store_some])
