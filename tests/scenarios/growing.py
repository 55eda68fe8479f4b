"""A grown system: a module of listeners, a group with shared defaults, plugins, and messages of a Java service."""

from importlib.metadata import entry_points
from typing import Any

from msgkit import (
    Application,
    Backoff,
    Exchange,
    Json,
    Listeners,
    Message,
    MessageTemplate,
    Queue,
    listener,
)
from tests.scenarios import placing
from tests.scenarios.shop import OrderPlaced, orders

legacy = Json(types={"com.example.OrderPlaced": OrderPlaced}, type_header="__TypeId__")
erp = Exchange("ERP.ORDERS", OrderPlaced, converter=legacy)
shipping = erp.queue("shipping")


class Shipping:
    def __init__(self, carrier: str) -> None:
        self._carrier = carrier
        self.shipped: list[str] = []

    @listener(shipping, retry=Backoff(3))
    async def ship(self, message: Message[OrderPlaced], template: MessageTemplate) -> None:
        self.shipped.append(f"{message.payload.id} by {self._carrier}")
        await template.send(orders, message.payload)


def of_tenant(name: str) -> Queue[OrderPlaced]:
    return Queue(f"tenant.{name}", OrderPlaced)


@listener(orders.queue("tenants"))
async def fan_out(order: OrderPlaced, template: MessageTemplate) -> None:
    await template.send(of_tenant(order.customer), order)


def plugins() -> list[Any]:
    return [entry.load() for entry in entry_points(group="shop.listeners")]


def make_app(shipping: Shipping, *tenants: str) -> Application:
    return Application(
        [
            # A module: the listeners defined in it.
            placing,
            # A plugin's worth, with shared defaults.
            Listeners(shipping, fan_out, concurrency=4),
            *plugins(),
        ],
        topology=[of_tenant(name) for name in tenants],
    )
