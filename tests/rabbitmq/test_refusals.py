"""What RabbitMQ does not want, or cannot be: said at once, by its name, without a password."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from msgkit import Application, Exchange, Message, Queue, Settings, listener
from msgkit.envelope import Kind, new_id
from msgkit.errors import (
    BrokerUnavailable,
    ConfigurationError,
    InvalidMessage,
    MessagingError,
    SendRefused,
    TopologyMismatch,
)
from msgkit.spi import ExchangeSpec, QueueSpec, RouteSpec
from msgkit.testing.brokers import RabbitMQ, Unavailable
from msgkit.testing.proxy import Address
from msgkit_rabbitmq import RabbitExchange, RabbitQueue
from tests.bench import Bench, message
from tests.brokers.requiring import unavailable
from tests.certificates import Certificates, made
from tests.interop.inbox import Inbox
from tests.rabbitmq.trouble import MOST_BYTES, at, free_port, said, settings

pytestmark = pytest.mark.broker

SECRET = "s3cret-and-w0rse"  # noqa: S105 -- it opens nothing
#: Seconds in which whoever cannot be helped by waiting is told.
SOON = 3.0


async def refusal(url: str, *, wait: float = 30, **options: Any) -> MessagingError:
    """Return the error with which an application does not start."""
    app = Application(
        topology=[Queue("never", str)],
        settings=Settings(url=url, wait_for_broker=wait, brokers={"default": {"options": options}}),
    )
    began = monotonic()
    with pytest.raises(MessagingError) as refused:
        async with app:
            pass
    assert monotonic() - began < SOON
    return refused.value


# -- who connects, and where


async def test_a_wrong_password_is_said_to_be_one_and_not_shown(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refusal(at(broker, user=f"guest:{SECRET}"))
    assert type(error) is ConfigurationError
    assert str(broker.addresses[0]) in str(error)
    assert "refuses user 'guest' or the password" in str(error)
    assert SECRET not in said(error, caplog.text)


async def test_a_password_that_is_an_option_is_not_shown_either(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refusal(at(broker, user="guest"), password=SECRET)
    assert "refuses user 'guest' or the password" in str(error)
    assert SECRET not in said(error, caplog.text)


async def test_a_vhost_that_is_not_there_is_named(broker: RabbitMQ) -> None:
    error = await refusal(at(broker, rest="/nowhere"))
    assert type(error) is ConfigurationError
    assert "it has no vhost 'nowhere'" in str(error)


async def test_a_vhost_without_permission_is_named_with_the_user(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    user = new_id()
    await broker.ctl("add_user", user, SECRET)
    error = await refusal(at(broker, user=f"{user}:{SECRET}"))
    assert type(error) is ConfigurationError
    assert f"user {user!r} may not use vhost '/'" in str(error)
    assert SECRET not in said(error, caplog.text)


async def test_a_host_that_nobody_knows_is_named(caplog: pytest.LogCaptureFixture) -> None:
    error = await refusal(f"amqp://guest:{SECRET}@nowhere.invalid", wait=0)
    assert type(error) is BrokerUnavailable
    assert "nowhere.invalid:5672" in str(error)
    assert "not known" in str(error)
    assert SECRET not in said(error, caplog.text)


async def test_a_port_where_nobody_listens_is_named(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    error = await refusal(f"amqp://guest:{SECRET}@127.0.0.1:{port}", wait=0)
    assert type(error) is BrokerUnavailable
    assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error)
    assert SECRET not in said(error, caplog.text)


async def test_whoever_waits_is_told_after_that_time_what_was_in_the_way() -> None:
    port = free_port()
    error = await refusal(f"amqp://127.0.0.1:{port}", wait=0.5)
    assert type(error) is BrokerUnavailable
    assert "within 0.5 s" in str(error)
    assert "refused" in str(error)


@asynccontextmanager
async def speaking(words: bytes) -> AsyncGenerator[int]:
    """Listen on a port, say something to whoever says something, and hang up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(words)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is no AMQP"),
        (b"-ERR unknown command\r\n", "this is no AMQP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is no AMQP"),
        (b"AMQP\x00\x01\x00\x00", "does not speak AMQP 0-9-1"),
    ],
    ids=["http", "redis", "ssh", "another amqp"],
)
async def test_a_port_where_something_else_is_spoken_is_told_apart(words: bytes, why: str) -> None:
    async with speaking(words) as port:
        error = await refusal(f"amqp://127.0.0.1:{port}")
    assert type(error) is ConfigurationError
    assert f"127.0.0.1:{port}" in str(error)
    assert why in str(error)


async def test_a_port_that_hangs_up_may_be_a_broker_that_is_starting() -> None:
    async with speaking(b"") as port:
        error = await refusal(f"amqp://127.0.0.1:{port}", wait=0.3)
    assert type(error) is BrokerUnavailable
    assert "hung up" in str(error)


# -- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[tuple[RabbitMQ, Address]]:
    """A RabbitMQ with a port for TLS, where that is."""
    port = free_port()
    config = {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.certfile": certificates.certificate,
        "ssl_options.keyfile": certificates.key,
        "ssl_options.verify": "verify_none",
        "ssl_options.fail_if_no_peer_cert": "false",
    }
    broker = RabbitMQ(provider="process", config=config)
    try:
        asyncio.run(broker.__aenter__())
    except Unavailable as error:
        unavailable(broker.name, error)
    yield broker, Address("127.0.0.1", port)
    asyncio.run(broker.__aexit__(None, None, None))


over_tls = pytest.mark.xdist_group("rabbitmq-trouble-process")


@over_tls
async def test_a_certificate_that_is_trusted_and_bears_the_name_lets_messages_through(
    secure: tuple[RabbitMQ, Address], certificates: Certificates
) -> None:
    url = f"amqps://guest:guest@{secure[1]}"
    jobs = Queue("jobs", str)
    options = {"ca_file": str(certificates.certificate), "server_hostname": "broker.test"}
    said = Settings(url=url, brokers={"default": {"options": options}})
    async with Application(topology=[jobs], settings=said) as app:
        await app.template.send(jobs, "x" * 100_000)
        async with app.template.receive(jobs, timeout=10) as got:
            assert [each.payload for each in got] == ["x" * 100_000]


@over_tls
async def test_a_certificate_of_nobody_we_trust_is_said_to_be_that(
    secure: tuple[RabbitMQ, Address], caplog: pytest.LogCaptureFixture
) -> None:
    error = await refusal(f"amqps://guest:{SECRET}@{secure[1]}", server_hostname="broker.test")
    assert type(error) is ConfigurationError
    assert str(secure[1]) in str(error)
    assert "self-signed certificate" in str(error) or "self signed" in str(error)
    assert "ca_file" in str(error)
    assert SECRET not in said(error, caplog.text)


@over_tls
async def test_a_certificate_of_another_name_is_said_to_be_that(
    secure: tuple[RabbitMQ, Address], certificates: Certificates
) -> None:
    error = await refusal(f"amqps://guest:guest@{secure[1]}", ca_file=str(certificates.certificate))
    assert type(error) is ConfigurationError
    assert "not valid for '127.0.0.1'" in str(error)
    assert "server_hostname" in str(error)


@over_tls
async def test_tls_to_a_port_without_it_is_told_so(secure: tuple[RabbitMQ, Address]) -> None:
    error = await refusal(f"amqps://guest:guest@{secure[0].addresses[0]}")
    assert type(error) is ConfigurationError
    assert "no TLS" in str(error)


@over_tls
async def test_a_port_of_tls_is_told_to_whoever_speaks_plainly(secure: tuple[RabbitMQ, Address]) -> None:
    error = await refusal(f"amqp://guest:guest@{secure[1]}")
    assert type(error) is ConfigurationError
    assert "TLS" in str(error)


# -- permissions


async def user_with(broker: RabbitMQ, configure: str, write: str, read: str) -> str:
    """Return the URL of a new user with these permissions."""
    user = new_id()
    await broker.ctl("add_user", user, SECRET)
    await broker.ctl("set_permissions", user, configure, write, read)
    return at(broker, user=f"{user}:{SECRET}")


async def test_who_may_not_declare_is_told_what(broker: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    name = new_id()
    url = await user_with(broker, "", ".*", ".*")
    app = Application(topology=[Queue(name, str)], settings=Settings(url=url))
    with pytest.raises(TopologyMismatch, match=f"queue '{name}': it is not permitted: .*access.*refused") as refused:
        async with app:
            pass
    assert SECRET not in said(refused.value, caplog.text)


async def test_who_may_not_write_to_an_exchange_listens_to_it_all_the_same(broker: RabbitMQ) -> None:
    orders = ExchangeSpec(name=new_id())
    billing = QueueSpec(name=new_id(), routes=(RouteSpec(exchange=orders.name),))
    async with Bench.open(broker.url) as whoever_makes_the_delays:
        await whoever_makes_the_delays.declare(orders, billing)
    url = await user_with(broker, ".*", f"^({billing.name}.*|msgkit.*)$", ".*")
    async with Bench.open(url) as bench:
        await bench.declare(orders, billing)
        await bench.consume(billing)


# -- what is there otherwise


@pytest.mark.parametrize(
    ("there", "declared", "difference"),
    [
        (
            {"options": (RabbitQueue(kind="classic"),)},
            {},
            "kind='quorum' is declared, but kind='classic' is there",
        ),
        ({}, {"ordered": True}, "ordered='true' is declared, but ordered=none is there"),
        ({"ordered": True}, {}, "ordered=none is declared, but ordered='true' is there"),
        ({"priorities": 3}, {"priorities": 5}, "priorities='5' is declared, but priorities='3' is there"),
        (
            {"options": (RabbitQueue(max_length=10),)},
            {"options": (RabbitQueue(max_length=20),)},
            "x-max-length='20' is declared, but x-max-length='10' is there",
        ),
    ],
    ids=["kind", "ordered", "not ordered", "priorities", "max_length"],
)
async def test_a_queue_that_is_there_otherwise_is_told_by_argument_and_both_values(
    broker: RabbitMQ, there: dict[str, Any], declared: dict[str, Any], difference: str
) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench:
        await bench.declare(QueueSpec(name=name, **there))
        with pytest.raises(TopologyMismatch) as refused:
            await bench.declare(QueueSpec(name=name, **declared))
        assert f"queue {name!r}: {difference}; declare it as it is there, delete it" in str(refused.value)
        # The connection lives on, and the queue is as it was.
        assert (await bench.send("x", name)).destination == name


async def test_an_exchange_of_another_type_is_told_by_both_types(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench:
        await bench.declare(ExchangeSpec(name=name))
        with pytest.raises(TopologyMismatch) as refused:
            await bench.declare(ExchangeSpec(name=name, kind="fanout"))
        assert f"exchange {name!r}: kind='fanout' is declared, but kind='topic' is there" in str(refused.value)
        alternate = ExchangeSpec(name=name, options=(RabbitExchange(alternate_exchange="amq.fanout"),))
        with pytest.raises(TopologyMismatch, match=r"alternate-exchange='amq\.fanout' is declared, but .*none"):
            await bench.declare(alternate)


async def test_all_that_differs_is_told_at_once_and_nothing_is_made(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench:
        await bench.declare(QueueSpec(name=f"{name}.a"), ExchangeSpec(name=f"{name}.e"))
        with pytest.raises(TopologyMismatch) as refused:
            await bench.declare(
                QueueSpec(name=f"{name}.new"),
                QueueSpec(name=f"{name}.a", ordered=True),
                ExchangeSpec(name=f"{name}.e", kind="direct"),
            )
        assert f"{name}.a" in str(refused.value)
        assert f"{name}.e" in str(refused.value)
        with pytest.raises(SendRefused, match="does not exist"):
            await bench.send("x", f"{name}.new")


# -- names


@pytest.mark.parametrize("letter", ["x", "ü"])
async def test_names_of_more_than_255_bytes_are_refused_before_anything_is_declared(
    broker: RabbitMQ, letter: str
) -> None:
    long = letter * (300 // len(letter.encode()))
    async with Bench.open(broker.url) as bench:
        for spec in (QueueSpec(name=long), ExchangeSpec(name=long)):
            with pytest.raises(ConfigurationError, match="300 bytes, and RabbitMQ takes at most 255"):
                await bench.declare(spec)
        for kind in (Kind.QUEUE, Kind.EXCHANGE):
            with pytest.raises(SendRefused, match="at most 255"):
                await bench.send("x", long, kind=kind)
        with pytest.raises(SendRefused, match="at most 255"):
            await bench.send("x", long, kind=Kind.EXCHANGE, delay=1.0)
        name = letter * (200 // len(letter.encode()))
        await bench.declare(QueueSpec(name=name, routes=(RouteSpec(exchange=name),)))
        assert await bench.send("x", name)
        assert await bench.send("x", name, kind=Kind.EXCHANGE, require_route=True)


async def test_names_that_are_the_brokers_own_are_refused_for_queues_and_used_for_exchanges(broker: RabbitMQ) -> None:
    async with Bench.open(broker.url) as bench:
        with pytest.raises(ConfigurationError, match=r"names that begin with amq\. are RabbitMQ's own"):
            await bench.declare(QueueSpec(name="amq.mine"))
        with pytest.raises(TopologyMismatch, match=r"exchange 'amq\.mine'.* not there"):
            await bench.declare(ExchangeSpec(name="amq.mine"))
        name = new_id()
        await bench.declare(QueueSpec(name=name, routes=(RouteSpec(exchange="amq.topic", subject=name),)))
        assert await bench.send("x", "amq.topic", kind=Kind.EXCHANGE, subject=name, require_route=True)


# -- what is too large


async def test_a_message_above_the_brokers_limit_is_refused_and_others_are_unharmed(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench:
        await bench.declare(QueueSpec(name=name, routes=(RouteSpec(exchange=name),)))
        for _ in range(3):
            others = [bench.binding.send(message("good", name, kind=Kind.EXCHANGE)) for _ in range(20)]
            large = bench.binding.send(message(b"x" * (MOST_BYTES + 1), name))
            others += [bench.binding.send(message("good", name, kind=Kind.EXCHANGE)) for _ in range(20)]
            async with asyncio.timeout(20):
                with pytest.raises(SendRefused, match="takes no message of 262,145 bytes"):
                    await large
                await asyncio.gather(*others)
        assert await bench.send(b"x" * MOST_BYTES, name)
        assert bench.events.empty()


async def test_headers_of_15_kib_travel(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    headers = {f"header-{number}": "ü" * 500 for number in range(15)}
    async with Application(topology=[jobs], settings=settings(broker)) as app:
        await app.template.send(jobs, "x", headers=headers)
        async with app.template.receive(jobs, timeout=10) as got:
            assert [dict(each.headers) for each in got] == [headers]


async def test_headers_above_16_kib_are_refused_before_they_close_the_connection(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    async with Application(topology=[jobs], settings=settings(broker)) as app:
        with pytest.raises(InvalidMessage, match="headers"):
            await app.template.send(jobs, "x", headers={"large": "x" * 140_000})
        assert await app.template.send(jobs, "x")


async def test_other_peoples_large_headers_do_not_harm_the_connection_when_they_are_sent_on(broker: RabbitMQ) -> None:
    """Below the public face no limit is checked: the broker's own is met."""
    name = new_id()
    async with Bench.open(broker.url) as bench:
        await bench.declare(QueueSpec(name=name))
        with pytest.raises(SendRefused):
            await bench.send("x", name, headers={"large": "x" * 140_000})
        assert await bench.send("x", name)
        assert bench.events.empty()


async def test_a_subject_of_300_bytes_is_refused_clearly(broker: RabbitMQ) -> None:
    orders = Exchange(new_id(), str)
    async with Application(topology=[orders], settings=settings(broker)) as app:
        with pytest.raises(SendRefused, match="routing keys have at most 255 bytes: 'xxx"):
            await app.template.send(orders, "x", subject="x" * 300)
        assert await app.template.send(orders, "x", subject="ü" * 127)


async def test_texts_of_1000_characters_survive(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    got = Inbox[Message[str]]()

    @listener(jobs)
    async def work(heard: Message[str]) -> None:
        got.put(heard)

    async with Application([work], settings=settings(broker)) as app:
        for letter in "xü":
            text = letter * 999
            await app.template.send(
                jobs, "x", message_id=f"m{text}", correlation_id=f"c{text}", reply_to=f"r{text}", key=f"k{text}"
            )
            heard = await got.next()
            assert (heard.id, heard.correlation_id) == (f"m{text}", f"c{text}")
            assert (heard.reply_to, heard.key) == (f"r{text}", f"k{text}")


async def test_a_type_of_1000_characters_survives(broker: RabbitMQ) -> None:
    name, kind = new_id(), "t" * 1000
    queue = QueueSpec(name=name)
    async with Bench.open(broker.url) as bench:
        await bench.declare(queue)
        taker = await bench.consume(queue)
        await bench.send("x", name, type=kind)
        assert (await taker.take()).envelope.type == kind
