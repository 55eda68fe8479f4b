"""What type checkers must see in the face, and refuse: a marked line is an error, and nothing else is."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, assert_type

from msgkit import Delivery, Exchange, Message, MessageTemplate, Queue, listener


@dataclass
class Placed:
    id: str
    customer: str


@dataclass
class BigPlaced(Placed):
    vat: str


@dataclass
class Refunded:
    id: str


@dataclass
class Quote:
    price: int


orders = Exchange(
    "orders",
    Placed,
    key=lambda placed: placed.customer,
    subject=lambda placed: f"placed.{placed.customer}",
)
both = Exchange("both", Placed, Refunded)
loose = Exchange("loose")
refunds = Exchange("refunds", Refunded)
billing = orders.queue("billing", "placed.*", ordered=True)
audit = Queue("audit", orders.where("placed.*"), refunds.where())
jobs = Queue("jobs", Placed)
assert_type(orders, Exchange[Placed])
assert_type(both, Exchange[Placed | Refunded])
assert_type(loose, Exchange[Any])
assert_type(billing, Queue[Placed])
assert_type(audit, Queue[Placed | Refunded])
assert_type(jobs, Queue[Placed])
bad = Exchange("orders", Placed, key=lambda placed: placed.nope)  # type: ignore[attr-defined]


async def send(template: MessageTemplate) -> None:
    await template.send(orders, Placed("1", "c"))
    await template.send(orders, BigPlaced("1", "c", "v"))
    await template.send(orders, Message(Placed("1", "c"), key="x"))
    await template.send(both, Refunded("1"), delay=3)
    await template.send(loose, 17)
    await template.send(jobs, Placed("1", "c"))
    await template.send(orders, Refunded("1"))  # type: ignore[misc]
    await template.send(both, Quote(3))  # type: ignore[misc]
    await template.send(orders, {"id": "1"})  # type: ignore[misc]
    await template.send(orders, Message(Refunded("1")))  # type: ignore[arg-type]
    await template.send(orders, Placed("1", "c"), dealy=3)  # type: ignore[call-arg]
    await template.send(orders, Placed("1", "c"), ttl="3")  # type: ignore[arg-type]
    await template.send("orders", Placed("1", "c"))  # type: ignore[arg-type]
    await template.send_many(orders, [Placed("1", "c"), Refunded("2")])  # type: ignore[misc]
    await template.to(orders, subject="x").send(Refunded("1"))  # type: ignore[arg-type]
    quote = await template.request(orders, Placed("1", "c"), Quote, timeout=2)
    assert_type(quote, Quote)
    async with template.receive(billing) as deliveries:
        assert_type(deliveries, Sequence[Delivery[Placed]])


@listener(billing, concurrency=8)
async def bill(order: Placed, trace: str = "") -> int:
    return len(order.id + trace)


kept: Coroutine[Any, Any, int] = bill(order=Placed("1", "c"), trace="x")
wrong = bill(5)  # type: ignore[arg-type]


@listener(billing, concurency=8)  # type: ignore[call-arg]
async def bill_too(order: Placed) -> None: ...


class Service:
    @listener(billing)
    def method(self, order: Placed) -> str:
        return order.id

    @listener(billing)
    @staticmethod
    def static(order: Placed) -> str:
        return order.id


of_method: str = Service().method(order=Placed("1", "c"))
of_static: str = Service.static(Placed("1", "c"))
handler: Callable[[Placed], Awaitable[int]] = bill
