from msgkit import Application, Settings, listener
from msgkit.testing import probe
from tests.scenarios.injecting import Billing, Container, invoices
from tests.scenarios.shop import OrderPlaced, orders


@listener(invoices.queue("archive"))
async def archive(invoice: str) -> None: ...


async def test_the_container_puts_a_service_together_that_listens_and_sends() -> None:
    settings = Settings(url="memory://scenario-injecting")
    archiving = Application([archive])
    async with probe(archiving, settings) as archived, probe(Container().app(), settings) as probed:
        await probed.template.send(orders, OrderPlaced("1", "17", "eu", 30))
        await probed.idle()
        await archived.idle()
        assert [message.payload for message in archived.handled(archive)] == ["1: 60"]


async def test_an_exchange_that_nobody_declared_takes_nothing() -> None:
    container = Container()
    async with probe(container.app()) as probed:
        await probed.template.send(orders, OrderPlaced("1", "17", "eu", 30))
        await probed.advance(60)
        (letter,) = probed.dead(orders.queue("billing"))
        assert letter.headers["msgkit-dead-error"] == "Unroutable"
        assert probed.handled(container.billing().bill) == []


async def test_the_service_needs_no_container() -> None:
    async with probe(Application(topology=[invoices])) as probed:
        await Billing(probed.template, 3).bill(OrderPlaced("1", "17", "eu", 30))
        assert [message.payload for message in probed.sent(invoices)] == ["1: 90"]
