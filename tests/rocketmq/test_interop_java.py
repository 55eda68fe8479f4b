"""RocketMQ's own client for Java and msgkit, each reading what the other sent."""

import zlib
from random import Random

import pytest

from msgkit import Application, Exchange, Message, MessageTemplate, Queue, Settings, listener
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq import RocketQueue, RocketTopic
from tests.interop.inbox import Inbox
from tests.interop.shop import ORDER, ORDER_JSON, OrderPlaced
from tests.interop.taking import taking
from tests.rocketmq.java import Java

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("rocketmq-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]


@pytest.fixture
def settings(interop: RocketMQ) -> Settings:
    return Settings(url=interop.url)


# -- Java's, handled by msgkit


async def test_what_java_sends_is_handled(settings: Settings, java: Java, name: str) -> None:
    work, got = taking(Queue(name, OrderPlaced))
    async with Application([work], settings=settings):
        id_ = await java.send(name, ORDER_JSON, tag="größe", keys="17 18", properties={"x-trace": "7"})
        message = await got.next()
    assert message.payload == ORDER
    assert (message.id, message.subject) == (id_, "größe")
    assert message.headers == {"x-trace": "7", "KEYS": "17 18"}


async def test_tags_of_java_are_routed_by(settings: Settings, java: Java, name: str) -> None:
    orders = Exchange(name, OrderPlaced, kind="topic")
    work, got = taking(orders.queue(f"{name}-q", "placed.*"))
    async with Application([work], settings=settings):
        for tag in ("cancelled.eu", "placed.eu", "placed", "placed.us"):
            await java.send(name, ORDER_JSON, tag=tag)
        assert {(await got.next()).subject for _ in range(2)} == {"placed.eu", "placed.us"}


async def test_topics_and_groups_that_are_there_are_used_as_they_are(
    settings: Settings, interop: RocketMQ, java: Java, name: str
) -> None:
    group = f"{name}_workers"
    await interop.admin("updateTopic", "-c", "DefaultCluster", "-t", name, "-r", "3", "-w", "3")
    await interop.admin("updateSubGroup", "-c", "DefaultCluster", "-g", group)
    theirs = Exchange(name, OrderPlaced, options=[RocketTopic(declare=False)])
    work, got = taking(theirs.queue(f"{name}-q", options=[RocketQueue(group=group, direct=False)]))
    async with Application([work], settings=settings):
        await java.send(name, ORDER_JSON)
        assert (await got.next()).payload == ORDER


async def test_what_java_ordered_is_handled_in_that_order(settings: Settings, java: Java, name: str) -> None:
    numbers = Queue(name, int, ordered=True)
    got = Inbox[int]()

    @listener(numbers)
    async def work(number: int) -> None:
        got.put(number)

    async with Application([work], settings=settings):
        for number in range(20):
            await java.send_ordered(name, b"%d" % number, by=f"key-{number % 4}")
        handled = [await got.next() for _ in range(20)]
    for key in range(4):
        assert [number for number in handled if number % 4 == key] == list(range(key, 20, 4))


@pytest.mark.parametrize("how", ["to the millisecond", "by level"])
async def test_what_java_delayed_is_handled_when_it_is_due(settings: Settings, java: Java, name: str, how: str) -> None:
    work, got = taking(Queue(name, OrderPlaced))
    async with Application([work], settings=settings) as app:
        before = app.template.clock.now()
        if how == "by level":
            await java.send_by_level(name, ORDER_JSON, level=1)
        else:
            await java.send_delayed(name, ORDER_JSON, seconds=1)
        message = await got.next()
        assert app.template.clock.now() - before >= 1
    assert (message.payload, dict(message.headers)) == (ORDER, {})


async def test_of_a_transaction_of_java_what_was_committed_is_handled(
    settings: Settings, java: Java, name: str
) -> None:
    work, got = taking(Queue(name, OrderPlaced))
    async with Application([work], settings=settings):
        await java.send_in_transaction(name, ORDER_JSON, decide="rollback")
        asked = await java.send_in_transaction(name, ORDER_JSON, decide="when asked")
        committed = await java.send_in_transaction(name, ORDER_JSON, decide="commit")
        handled = [await got.next() for _ in range(2)]
    assert {message.id for message in handled} == {asked, committed}
    assert [dict(message.headers) for message in handled] == [{}, {}]


async def test_what_java_packed_is_unpacked(settings: Settings, java: Java, name: str) -> None:
    got = Inbox[bytes]()
    many = Queue(name, bytes)

    @listener(many)
    async def work(body: bytes) -> None:
        got.put(body)

    body = b"".join(b"%d" % number for number in Random(7).choices(range(100), k=20_000))  # noqa: S311 -- the same each time
    assert len(zlib.compress(body)) < len(body) / 2
    async with Application([work], settings=settings):
        await java.send(name, body)
        assert await got.next() == body


# -- msgkit's, handled by Java


async def test_java_gets_what_msgkit_sends(settings: Settings, java: Java, name: str) -> None:
    orders = Exchange(name, OrderPlaced)
    async with MessageTemplate(settings) as template:
        await template.declare(orders)
        receipt = await template.send(
            orders, ORDER, subject="placed.eu", key="17", headers={"x-trace": "7", "n": 5, "KEYS": "1 2"}
        )
    got = await (await java.listen(name)).next()
    assert (got.body, got.id) == (ORDER_JSON, receipt.message_id)
    said = got.properties
    assert (said["TAGS"], said["KEYS"], said["__SHARDINGKEY"]) == ("placed.eu", "1 2", "17")
    assert (said["x-trace"], said["n"], said["content-type"]) == ("7", "5", "application/json")


async def test_java_filters_by_the_tags_that_subjects_are(settings: Settings, java: Java, name: str) -> None:
    orders = Exchange(name, OrderPlaced)
    async with MessageTemplate(settings) as template:
        await template.declare(orders)
        for subject in ("cancelled", "placed", "paid"):
            await template.send(orders, ORDER, subject=subject)
    inbox = await java.listen(name, tags="placed || paid")
    assert {(await inbox.next()).properties["TAGS"] for _ in range(2)} == {"placed", "paid"}


async def test_java_gets_each_key_in_order(settings: Settings, java: Java, name: str) -> None:
    numbers = Exchange(name, int)
    async with MessageTemplate(settings) as template:
        await template.declare(numbers)
        async with template.pipeline() as pipeline:
            for number in range(40):
                _ = await pipeline.send(numbers, number, key=f"key-{number % 4}")
    inbox = await java.listen_in_order(name)
    got = [int((await inbox.next()).body) for _ in range(40)]
    for key in range(4):
        assert [number for number in got if number % 4 == key] == list(range(key, 40, 4))


async def test_java_gets_what_msgkit_delayed_when_it_is_due(settings: Settings, java: Java, name: str) -> None:
    orders = Exchange(name, OrderPlaced)
    async with MessageTemplate(settings) as template:
        await template.declare(orders)
        inbox = await java.listen(name)
        before = template.clock.now()
        await template.send(orders, ORDER, delay=1)
        assert (await inbox.next()).body == ORDER_JSON
        assert template.clock.now() - before >= 1


# -- there and back


async def test_headers_keep_their_types_when_java_sends_a_message_on(settings: Settings, java: Java, name: str) -> None:
    got = Inbox[Message[OrderPlaced]]()
    queue = Queue(name, OrderPlaced)

    @listener(queue)
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)

    async with Application([work], settings=settings) as app:
        await app.template.send(queue, ORDER, headers={"n": 5, "x": b"\x00", "t": "größe"}, subject="placed", key="k")
        first = await got.next()
        told = await (await java.listen(name)).next()
        ours = {name: value for name, value in told.properties.items() if not name.isupper()}
        await java.send(name, told.body, tag=told.properties["TAGS"], properties=ours | {"again": "1"})
        second = await got.next()
    assert second.payload == first.payload
    assert dict(second.headers) == {**first.headers, "again": "1"}
