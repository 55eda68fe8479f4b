"""Services made by a dependency-injector container."""

from dependency_injector import containers, providers

from msgkit import Application, Exchange, MessageTemplate, Sender, Settings, listener
from tests.scenarios.shop import OrderPlaced, orders

# Of another service, which declares it and listens to it.
invoices = Exchange("invoices", str)


class Billing:
    def __init__(self, messages: Sender, rate: int) -> None:
        self._messages = messages
        self._rate = rate

    @listener(orders.queue("billing"), concurrency=8)
    async def bill(self, order: OrderPlaced) -> None:
        await self._messages.send(invoices, f"{order.id}: {order.total * self._rate}")


class Container(containers.DeclarativeContainer):
    settings = providers.Singleton(Settings.load)
    template = providers.Singleton(MessageTemplate, settings=settings)
    billing = providers.Singleton(Billing, messages=template, rate=2)
    app = providers.Singleton(Application, listeners=providers.List(billing), template=template)


# `msgkit run injecting:app` calls a factory.
app = Container().app
