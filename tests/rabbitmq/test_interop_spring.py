"""A service on Spring AMQP and msgkit, each reading what the other sent."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from msgkit import Application, Backoff, Exchange, Message, MessageTemplate, Queue, Reject, Settings, listener
from msgkit.errors import TopologyMismatch
from msgkit.values import HeaderValue, check_headers
from msgkit_rabbitmq import RabbitExchange, RabbitQueue
from tests.interop.inbox import Inbox
from tests.interop.shop import BY_TYPE_ID, ORDER, ORDER_JSON, OrderCancelled, OrderPlaced, Quote, QuoteRequest
from tests.interop.taking import taking
from tests.rabbitmq.plain import Plain
from tests.rabbitmq.spring import Spring

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("rabbitmq-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]

THEIRS = {"id": "1", "customer": "17", "total": 30}
#: A queue as a company may have it for years.
COMPANYS = {"x-max-length": 1000, "x-message-ttl": 3_600_000}


# -- Spring's, handled by msgkit


async def test_what_a_rabbit_template_sends_is_handled(settings: Settings, spring: Spring, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        await spring.send("", name, THEIRS, headers={"x-trace": "7"})
        message = await got.next()
    assert message.payload == ORDER
    assert message.headers["__TypeId__"] == "shop.OrderPlaced"
    assert message.headers["x-trace"] == "7"
    assert message.content_type == "application/json"


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
        await spring.send("", name, {"id": "2", "reason": "late"}, kind="shop.OrderCancelled")
        await spring.send("", name, THEIRS)
        assert await cancelled.next() == OrderCancelled(id="2", reason="late")
        assert await placed.next() == ORDER


async def test_a_map_of_spring_is_a_dict(settings: Settings, spring: Spring, name: str) -> None:
    jobs = Queue(name, dict[str, Any])
    got = Inbox[dict[str, Any]]()

    @listener(jobs)
    async def work(job: dict[str, Any]) -> None:
        got.put(job)

    async with Application([work], settings=settings):
        await spring.send("", name, {"a": [1, 2.5, None]}, kind="java.util.LinkedHashMap")
        assert await got.next() == {"a": [1, 2.5, None]}


async def test_headers_of_the_types_of_java_come_as_those_of_python(
    settings: Settings, spring: Spring, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[Message[OrderPlaced]]()

    @listener(jobs, retry=Backoff(3, first=0.05))
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)
        if message.attempt == 1:
            raise RuntimeError("not yet")

    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    given: dict[str, tuple[str, Any, object]] = {
        "byte": ("java.lang.Byte", -5, -5),
        "short": ("java.lang.Short", -300, -300),
        "integer": ("java.lang.Integer", 70_000, 70_000),
        "long": ("java.lang.Long", 1 << 40, 1 << 40),
        "float": ("java.lang.Float", 0.5, 0.5),
        "double": ("java.lang.Double", 0.1, 0.1),
        "boolean": ("java.lang.Boolean", True, True),
        "text": ("java.lang.String", "Grüße", "Grüße"),
        "date": ("java.util.Date", int(moment.timestamp() * 1000), moment),
        "bytes": ("[B", "AP8=", b"\x00\xff"),
    }
    others = {"decimal": "12.34", "map": {"list": [1, {"deep": None}]}}
    async with Application([work], settings=settings):
        await spring.send(
            "",
            name,
            THEIRS,
            headers={**{header: value for header, (_, value, _) in given.items()}, **others},
            classes={**{header: kind for header, (kind, _, _) in given.items()}, "decimal": "java.math.BigDecimal"},
        )
        tries = [await got.next(), await got.next()]
    for message in tries:
        assert {header: message.headers[header] for header in given} == {
            header: wanted for header, (_, _, wanted) in given.items()
        }
        # Whatever the others became can be sent on.
        check_headers(message.headers)


# -- msgkit's, handled by Spring


async def test_a_rabbit_listener_gets_what_msgkit_sends_as_its_own_type(
    settings: Settings, spring: Spring, name: str
) -> None:
    orders = Exchange(name, OrderPlaced, subject="placed.eu")
    await spring.declare_exchange(name)
    await spring.declare_queue(f"{name}.spring")
    await spring.bind(f"{name}.spring", name, "placed.*")
    inbox = await spring.listen_typed(f"{name}.spring")
    async with MessageTemplate(settings) as template:
        receipt = await template.send(orders, ORDER, correlation_id="c-1", headers={"x-trace": "7", "n": 5})
    got = await inbox.next()
    assert got.payload == THEIRS
    assert got.body == ORDER_JSON
    assert got.properties["contentType"] == "application/json"
    assert got.properties["messageId"] == receipt.message_id
    assert got.properties["correlationId"] == "c-1"
    assert got.properties["receivedDeliveryMode"] == "PERSISTENT"
    assert got.properties["receivedRoutingKey"] == "placed.eu"
    sent_at = datetime.fromisoformat(got.properties["timestamp"])
    assert abs(datetime.now(UTC) - sent_at) < timedelta(minutes=1)
    assert (got.headers["x-trace"], got.headers["n"]) == ("7", 5)


async def test_headers_of_msgkit_have_the_types_that_spring_expects(
    settings: Settings, spring: Spring, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    headers: dict[str, HeaderValue] = {
        "text": "Grüße",
        "whole": 1 << 40,
        "real": 0.5,
        "truth": True,
        "bytes": b"\x00\xff",
    }
    async with MessageTemplate(settings) as template:
        await template.declare(jobs)
        inbox = await spring.listen(name)
        await template.send(jobs, ORDER, headers=headers)
    got = await inbox.next()
    assert {header: got.headers[header] for header in headers} == {**headers, "bytes": "AP8="}
    assert {header: got.classes[header] for header in headers} == {
        "text": "String",
        "whole": "Long",
        "real": "Double",
        "truth": "Boolean",
        "bytes": "byte[]",
    }


async def test_msgkit_names_types_where_spring_looks_for_them(settings: Settings, spring: Spring, name: str) -> None:
    events = Queue(name, OrderPlaced, OrderCancelled, converter=BY_TYPE_ID)
    async with MessageTemplate(settings) as template:
        await template.declare(events)
        inbox = await spring.listen(name)
        await template.send(events, OrderCancelled(id="2", reason="late"))
    got = await inbox.next()
    assert got.headers["__TypeId__"] == "shop.OrderCancelled"
    assert got.body == b'{"id":"2","reason":"late"}'


async def test_a_dead_letter_of_msgkit_says_why_to_spring(settings: Settings, spring: Spring, name: str) -> None:
    jobs = Queue(name, OrderPlaced)

    @listener(jobs, retry=Backoff(2, first=0.01))
    async def work(order: OrderPlaced) -> None:
        raise RuntimeError(f"no stock for {order.id}. " * 100)

    async with Application([work], settings=settings):
        await spring.send("", name, THEIRS, headers={"x-trace": "7"}, properties={"messageId": "m-1"})
        inbox = await spring.listen(f"{name}.dlq")
        got = await inbox.next()
    assert got.body == ORDER_JSON
    assert got.properties["messageId"] == "m-1"
    assert got.headers["x-trace"] == "7"
    assert got.headers["__TypeId__"] == "shop.OrderPlaced"
    assert got.headers["msgkit-dead-queue"] == name
    assert got.headers["msgkit-dead-attempts"] == 2
    assert got.headers["msgkit-dead-error"] == "RuntimeError"
    assert got.headers["msgkit-dead-text"].startswith("no stock for 1.")


# -- requests and answers


async def test_spring_asks_and_msgkit_answers(settings: Settings, spring: Spring, name: str) -> None:
    quotes = Queue(name, QuoteRequest)

    @listener(quotes)
    async def quote(request: QuoteRequest) -> Quote:
        if request.article == "piano":
            raise Reject("there is no piano")
        return Quote(price=20 * request.pieces)

    async with Application([quote], settings=settings):
        lamps = {"article": "lamp", "pieces": 2}
        assert await spring.request("", name, lamps, into="shop.Quote") == ("shop.Quote", {"price": 40})
        # Who asks for no type gets what JSON has.
        assert await spring.request("", name, lamps) == ("java.util.LinkedHashMap", {"price": 40})
        refused = await spring.request_plain("", name, {"article": "piano", "pieces": 1})
        assert refused.headers["msgkit-error-reason"] == "there is no piano"


async def test_msgkit_asks_and_spring_answers(settings: Settings, spring: Spring, name: str) -> None:
    quotes = Queue(name, QuoteRequest)
    async with MessageTemplate(settings) as template:
        await template.declare(quotes)
        await spring.answer(name)
        answers = [
            await template.request(quotes, QuoteRequest(article="lamp", pieces=pieces), Quote, timeout=10)
            for pieces in (2, 3)
        ]
    assert answers == [Quote(price=40), Quote(price=60)]


# -- what a company has already


async def test_an_exchange_and_a_queue_that_others_own_are_used_as_they_are(
    settings: Settings, spring: Spring, plain: Plain, name: str
) -> None:
    work_queue = f"{name}.work"
    await spring.declare_exchange(name, kind="direct")
    await spring.declare_queue(work_queue, arguments=COMPANYS)
    await spring.bind(work_queue, name, "placed")
    orders = Exchange(name, OrderPlaced, kind="direct", subject="placed", options=[RabbitExchange(declare=False)])
    theirs = Queue(work_queue, OrderPlaced, options=[RabbitQueue(declare=False)])
    got = Inbox[Message[OrderPlaced]]()

    @listener(theirs, retry=Backoff(2, first=0.05))
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)
        raise RuntimeError("no stock")

    async with Application([work], settings=settings, topology=[orders]) as app:
        await spring.send(name, "placed", THEIRS)
        tries = [await got.next(), await got.next()]
        assert [each.attempt for each in tries] == [1, 2]
        assert (await plain.take(f"{work_queue}.dlq")).body == ORDER_JSON
        await app.template.send(orders, ORDER)
        assert (await got.next()).payload == ORDER
    # Spring finds what it declared, with the same arguments, or would be refused here.
    await spring.declare_exchange(name, kind="direct")
    await spring.declare_queue(work_queue, arguments=COMPANYS)


async def test_a_queue_of_others_that_was_taken_for_ours_is_told_apart(
    settings: Settings, spring: Spring, name: str
) -> None:
    await spring.declare_queue(name, arguments=COMPANYS)
    jobs = Queue(name, OrderPlaced)

    @listener(jobs)
    async def work(order: OrderPlaced) -> None:
        raise AssertionError(order)

    with pytest.raises(TopologyMismatch, match=r"x-queue-type|x-max-length|x-message-ttl") as refused:
        async with Application([work], settings=settings):
            pass
    assert name in str(refused.value)


async def test_an_exchange_of_others_of_another_kind_is_told_apart(
    settings: Settings, spring: Spring, name: str
) -> None:
    await spring.declare_exchange(name, kind="fanout")
    orders = Exchange(name, OrderPlaced)
    with pytest.raises(TopologyMismatch, match=r"fanout") as refused:
        async with Application(topology=[orders], settings=settings):
            pass
    assert name in str(refused.value)
