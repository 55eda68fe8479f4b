"""A service on Spring for Apache Kafka and msgkit, each reading what the other sent."""

from typing import Any

import pytest

from msgkit import Application, Backoff, Message, MessageTemplate, Queue, Settings, listener
from tests.interop.inbox import Inbox
from tests.interop.shop import BY_TYPE_ID, ORDER, ORDER_JSON, OrderCancelled, OrderPlaced, Quote, QuoteRequest
from tests.interop.taking import taking
from tests.kafka.plain import Plain
from tests.kafka.spring import Spring

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("kafka-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]

THEIRS = {"id": "1", "customer": "17", "total": 30}


# -- Spring's, handled by msgkit


async def test_what_a_kafka_template_sends_is_handled(settings: Settings, spring: Spring, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        await spring.send(name, THEIRS, key="größe", headers={"x-trace": "7", "pieces": 5})
        message = await got.next()
    assert message.payload == ORDER
    assert message.key == "größe"
    assert message.headers["__TypeId__"] == b"shop.OrderPlaced"
    assert (message.headers["x-trace"], message.headers["pieces"]) == (b"7", b"5")


async def test_the_type_that_spring_names_chooses_the_listener(settings: Settings, spring: Spring, name: str) -> None:
    events = Queue(name, OrderPlaced, OrderCancelled, converter=BY_TYPE_ID)
    placed, cancelled = Inbox[OrderPlaced](), Inbox[OrderCancelled]()

    @listener(events)
    async def place(order: OrderPlaced) -> None:
        placed.put(order)

    @listener(events)
    async def cancel(order: OrderCancelled) -> None:
        cancelled.put(order)

    async with Application([place, cancel], settings=settings):
        await spring.send(name, {"id": "2", "reason": "late"}, kind="shop.OrderCancelled")
        await spring.send(name, THEIRS)
        assert await cancelled.next() == OrderCancelled(id="2", reason="late")
        assert await placed.next() == ORDER


async def test_the_type_that_spring_names_is_known_at_each_try_and_to_spring_in_the_dead_letters(
    settings: Settings, spring: Spring, name: str
) -> None:
    events = Queue(name, OrderPlaced, OrderCancelled, converter=BY_TYPE_ID)
    got = Inbox[int]()

    @listener(events)
    async def place(order: OrderPlaced) -> None:
        raise AssertionError(order)

    @listener(events, retry=Backoff(3, first=0.01, factor=1))
    async def cancel(message: Message[OrderCancelled]) -> None:
        got.put(message.attempt)
        raise RuntimeError(f"{message.payload.id} is on its way")

    async with Application([place, cancel], settings=settings):
        await spring.send(name, {"id": "2", "reason": "late"}, kind="shop.OrderCancelled", headers={"x-trace": "7"})
        assert [await got.next() for _ in range(3)] == [1, 2, 3]
        dead = await (await spring.listen_by_type(f"{name}.dlq")).next()
    assert (dead.kind, dead.value) == ("shop.OrderCancelled", {"id": "2", "reason": "late"})
    assert dead.said("x-trace") == "7"
    assert dead.said("msgkit-dead-attempts") == "3"
    assert dead.said("msgkit-dead-text") == "2 is on its way"


async def test_a_map_of_spring_is_a_dict(settings: Settings, spring: Spring, name: str) -> None:
    jobs = Queue(name, dict[str, Any])
    got = Inbox[dict[str, Any]]()

    @listener(jobs)
    async def work(job: dict[str, Any]) -> None:
        got.put(job)

    async with Application([work], settings=settings):
        await spring.send(name, {"a": [1, 2.5, None]}, kind="java.util.LinkedHashMap")
        assert await got.next() == {"a": [1, 2.5, None]}


# -- msgkit's, handled by Spring


async def test_a_kafka_listener_gets_what_msgkit_sends_as_its_own_type(
    settings: Settings, spring: Spring, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    async with MessageTemplate(settings) as template:
        await template.declare(jobs)
        receipt = await template.send(jobs, ORDER, key="17", correlation_id="c-1", headers={"x-trace": "7", "n": 5})
    got = await (await spring.listen_typed(name)).next()
    assert (got.kind, got.value) == ("shop.OrderPlaced", THEIRS)
    assert got.key == b"17"
    assert got.said("content-type") == "application/json"
    assert got.said("msgkit-id") == receipt.message_id
    assert got.said("msgkit-correlation") == "c-1"
    assert (got.said("x-trace"), got.said("n")) == ("7", "5")


async def test_msgkit_names_types_where_spring_looks_for_them(settings: Settings, spring: Spring, name: str) -> None:
    events = Queue(name, OrderPlaced, OrderCancelled, converter=BY_TYPE_ID)
    async with MessageTemplate(settings) as template:
        await template.declare(events)
        await template.send(events, OrderCancelled(id="2", reason="late"), key="1")
        await template.send(events, ORDER, key="1")
    inbox = await spring.listen_by_type(name)
    got = [await inbox.next(), await inbox.next()]
    assert [each.kind for each in got] == ["shop.OrderCancelled", "shop.OrderPlaced"]
    assert [each.value for each in got] == [{"id": "2", "reason": "late"}, THEIRS]


async def test_a_dead_letter_of_msgkit_says_why_to_spring(settings: Settings, spring: Spring, name: str) -> None:
    jobs = Queue(name, OrderPlaced)

    @listener(jobs, retry=Backoff(2, first=0.01))
    async def work(order: OrderPlaced) -> None:
        raise RuntimeError(f"no stock for {order.id}. " * 100)

    async with Application([work], settings=settings) as app:
        await app.template.send(jobs, ORDER)
        got = await (await spring.listen(f"{name}.dlq")).next()
    assert got.value == ORDER_JSON
    assert got.said("msgkit-dead-queue") == name
    assert got.said("msgkit-dead-attempts") == "2"
    assert got.said("msgkit-dead-error") == "RuntimeError"
    assert got.said("msgkit-dead-text").startswith("no stock for 1.")


# -- requests and answers


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
async def test_spring_asks_and_msgkit_answers_at_whichever_try(
    settings: Settings, plain: Plain, spring: Spring, name: str, *, binary: bool
) -> None:
    quotes = Queue(name, QuoteRequest)
    await plain.create_topic(f"{name}.answers", 3)

    @listener(quotes, retry=Backoff(3, first=0.01))
    async def quote(message: Message[QuoteRequest]) -> Quote:
        if message.attempt < 2:
            raise RuntimeError("not yet")
        return Quote(price=20 * message.payload.pieces)

    async with Application([quote], settings=settings):
        lamps = {"article": "lamp", "pieces": 2}
        for partitions in ([0, 1, 2], [1]):
            answer, headers = await spring.request(
                name, lamps, answers=f"{name}.answers", partitions=partitions, binary=binary
            )
            assert answer == {"price": 40}
            assert headers["content-type"] == "application/json"
