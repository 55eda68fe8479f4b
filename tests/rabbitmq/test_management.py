import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers import RabbitMQ
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.management import Bound, Management
from tests.brokers.running import started
from tests.certificates import made
from tests.rabbitmq.trouble import free_port

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("rabbitmq-management")]


def page(broker: RabbitMQ, /, **options: object) -> Management:
    return Management(RabbitSettings.parse(broker.url, {"management": broker.management_url, **options}))


async def test_the_management_page_tells_what_is_bound_and_says_why_when_it_does_not(tmp_path: Path) -> None:
    certificates, secure = made(tmp_path), free_port()
    config = {
        "management.ssl.ip": "127.0.0.1",
        "management.ssl.port": secure,
        "management.ssl.certfile": certificates.certificate,
        "management.ssl.keyfile": certificates.key,
    }
    async with started(RabbitMQ(provider="process", management=True, config=config)) as broker:
        await tells_what_is_bound(broker)
        await says_who_may_not_ask(broker)
        await says_where_no_page_is(broker)
        await checks_who_answers(broker, f"https://127.0.0.1:{secure}", certificates.certificate)


async def tells_what_is_bound(broker: RabbitMQ) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        orders = await channel.declare_exchange("orders", aio_pika.ExchangeType.TOPIC)
        queue = await channel.declare_queue("bil/ling +", exclusive=True)
        await queue.bind(orders, "placed.*")
        await queue.bind(orders, "größe.#")
        await queue.bind("amq.headers", arguments={"x-match": "all", "n": 1})
        found = await page(broker).bindings_of("bil/ling +")
    assert sorted(found, key=lambda bound: (bound.source, bound.key)) == [
        Bound("amq.headers", "bil/ling +", {"n": 1, "x-match": "all"}),
        Bound("orders", "größe.#", {}),
        Bound("orders", "placed.*", {}),
    ]
    assert await page(broker).bindings_of("none") == []
    assert await page(broker, vhost="no/vhost").bindings_of("none") == []


async def says_who_may_not_ask(broker: RabbitMQ) -> None:
    with pytest.raises(ConfigurationError, match=r"refuses the user 'guest' .*right password") as refused:
        await page(broker, password="mistaken").bindings_of("none")  # noqa: S106 -- it is wrong
    assert "mistaken" not in str(refused.value)
    await broker.ctl("add_user", "nobody", "pw")
    with pytest.raises(ConfigurationError, match=r"refuses the user 'nobody' .*the tag `management`"):
        await page(broker, user="nobody", password="pw").bindings_of("none")  # noqa: S106 -- it opens nothing


async def says_where_no_page_is(broker: RabbitMQ) -> None:
    amqp = urlsplit(broker.url).port
    for url, why in (
        (f"http://127.0.0.1:{free_port()}", "is not there: is the plugin on"),
        (f"http://127.0.0.1:{amqp}", "does not speak HTTP there: is the port that of AMQP"),
        (f"https://127.0.0.1:{amqp}", "cannot be spoken to with TLS"),
        ("http://nowhere.invalid", "http://nowhere.invalid:80 has a host that nobody knows"),
        (f"http://{'x' * 70}:15672", "has a host that nobody knows"),
        (f"{broker.management_url}/elsewhere", "answers 40., as no management page"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            await page(broker, management=url).bindings_of("none")


async def checks_who_answers(broker: RabbitMQ, url: str, certificate: Path) -> None:
    known = page(broker, management=url, ca_file=certificate, server_hostname="broker.test")
    assert await known.bindings_of("none") == []
    assert await page(broker, management=url, verify=False).bindings_of("none") == []
    for options, why in (({"server_hostname": "broker.test"}, "self.signed"), ({"ca_file": certificate}, "127.0.0.1")):
        with pytest.raises(ConfigurationError, match=f"cannot be spoken to with TLS .*{why}.*ca_file"):
            await page(broker, management=url, **options).bindings_of("none")


async def test_a_page_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgkit_rabbitmq.management._TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked = Management(RabbitSettings.parse("amqp://host", {"management": url})).bindings_of("none")
        with pytest.raises(ConfigurationError, match=r"does not answer within 0\.2 seconds"):
            async with asyncio.timeout(5):
                await asked


def test_without_its_address_nothing_can_be_asked() -> None:
    with pytest.raises(ConfigurationError, match="set the option management"):
        Management(RabbitSettings.parse("amqp://host"))
