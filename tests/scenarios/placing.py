"""An order, and those who react to it: billing in order, stock by region, mail, and what cannot be billed."""

from typing import Annotated

from msgkit import Application, Backoff, Header, Reject, listener
from tests.scenarios.shop import OrderPlaced, orders


class CardDeclined(Exception):
    pass


billing = orders.queue("billing", "placed.*", ordered=True)
stock = orders.queue("stock", "placed.eu")
mail = orders.queue("mail")

patient = Backoff(attempts=5, first=0.2, factor=2.0, give_up_on=(CardDeclined,))


@listener(billing, concurrency=8, retry=patient, timeout=20)
async def bill(order: OrderPlaced, trace: Annotated[str, Header("x-trace")] = "-") -> None:
    if order.total < 0:
        raise Reject("negative total")
    if order.total > 1000:
        raise CardDeclined(trace)
    if order.total == 0:
        raise ValueError("nothing to bill")


@listener(stock, concurrency=4)
async def reserve(order: OrderPlaced) -> None: ...


@listener(mail)
def notify(order: OrderPlaced) -> None: ...


@listener(billing.dead_letters)
async def unpaid(body: bytes, reason: Annotated[str, Header("msgkit-dead-reason")]) -> None: ...


app = Application([bill, reserve, notify, unpaid])
