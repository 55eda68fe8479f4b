"""Programs on pika and msgkit, each reading what the other sent."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from msgkit import Application, Backoff, Exchange, Message, MessageTemplate, Queue, Reject, Settings, listener
from msgkit.errors import RemoteError
from msgkit.values import check_headers
from tests.interop.inbox import Inbox
from tests.interop.shop import ORDER, ORDER_JSON, OrderPlaced, Quote, QuoteRequest
from tests.interop.taking import taking
from tests.rabbitmq.plain import Plain

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("rabbitmq-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAIN_HEADERS = {"text": "Grüße", "whole": -5, "long": 1 << 40, "truth": True, "bytes": b"\x00\xff", "moment": MOMENT}
OTHER_HEADERS = {
    "decimal": Decimal("12.34"),
    "longest decimal": Decimal("-21474836.47"),
    "nothing": None,
    "array": [1, "two", [(3.5).hex(), None]],
    "table": {"inner": {"deep": [MOMENT, Decimal("0.1")]}, "flag": False},
}


def died_in(queue: str) -> dict[str, Any]:
    """Return the headers that RabbitMQ gives to what expired in a queue and went to its dead letters."""
    death = {
        "count": 1,
        "reason": "expired",
        "queue": queue,
        "time": MOMENT,
        "exchange": "",
        "routing-keys": [queue],
        "original-expiration": "5000",
    }
    first = {"exchange": "", "queue": queue, "reason": "expired"}
    return {"x-death": [death], **{f"x-first-death-{what}": said for what, said in first.items()}}


# -- theirs, handled here


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "application/json; charset=utf-8", "application/vnd.shop.order+json"]
)
async def test_json_of_a_program_that_has_never_heard_of_msgkit_is_handled(
    settings: Settings, plain: Plain, name: str, content_type: str | None
) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        await plain.publish("", name, ORDER_JSON, content_type=content_type)
        message = await got.next()
    assert message.payload == ORDER
    assert message.content_type == content_type
    assert message.attempt == 1
    assert dict(message.headers) == {}


async def test_messages_without_any_properties_are_told_apart(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        await plain.publish("", name, ORDER_JSON)
        await plain.publish("", name, ORDER_JSON)
        first, second = await got.next(), await got.next()
    assert first.payload == second.payload == ORDER
    assert first.id
    assert second.id
    assert first.id != second.id
    assert (first.type, first.correlation_id, first.reply_to, first.sent_at) == (None, None, None, None)


async def test_what_others_say_in_properties_is_read(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        await plain.publish(
            "",
            name,
            ORDER_JSON,
            message_id="m-1",
            correlation_id="c-1",
            reply_to="nobody",
            timestamp=int(MOMENT.timestamp()),
            type="orders.v7",
            app_id="legacy",
            user_id="guest",
            expiration="600000",
            priority=3,
            delivery_mode=1,
            content_type="application/json",
            content_encoding="utf-8",
        )
        message = await got.next()
    assert (message.id, message.correlation_id, message.type) == ("m-1", "c-1", "orders.v7")
    assert message.sent_at == MOMENT
    assert message.payload == ORDER


async def test_a_time_that_is_none_stops_nobody(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[datetime | None]()

    @listener(jobs)
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message.sent_at)

    async with Application([work], settings=settings):
        # AMQP counts seconds, and some write milliseconds.
        await plain.publish("", name, ORDER_JSON, timestamp=int(MOMENT.timestamp() * 1000))
        assert await got.next() in (None, MOMENT)


async def test_headers_of_every_type_of_amqp_stop_nobody(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        await plain.publish("", name, ORDER_JSON, headers={**PLAIN_HEADERS, **OTHER_HEADERS})
        message = await got.next()
    assert {header: message.headers[header] for header in PLAIN_HEADERS} == PLAIN_HEADERS
    # Whatever the others became can be sent on.
    check_headers(message.headers)


async def test_what_others_sent_is_tried_again_with_what_it_had(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[Message[OrderPlaced]]()

    @listener(jobs, retry=Backoff(4, first=0.05, factor=1))
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)
        if message.attempt < 3:
            raise RuntimeError("not yet")

    async with Application([work], settings=settings):
        # What has died in a queue already and comes there from a delay, RabbitMQ drops, and says nothing.
        headers = {**PLAIN_HEADERS, **OTHER_HEADERS, **died_in(name)}
        await plain.publish("", name, ORDER_JSON, headers=headers)
        tries = [await got.next() for _ in range(3)]
    assert [each.attempt for each in tries] == [1, 2, 3]
    for each in tries:
        assert each.payload == ORDER
        assert {header: each.headers[header] for header in PLAIN_HEADERS} == PLAIN_HEADERS
    assert len({each.id for each in tries}) == 1


async def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_headers(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[OrderPlaced]()

    @listener(jobs)
    async def work(order: OrderPlaced) -> None:
        got.put(order)

    async with Application([work], settings=settings):
        headers = {**PLAIN_HEADERS, **OTHER_HEADERS}
        await plain.publish("", name, b"\xff no JSON", content_type="application/json", app_id="erp", headers=headers)
        await plain.publish("", name, ORDER_JSON)
        assert await got.next() == ORDER
        dead = await plain.take(jobs.dead_letters.name)
    assert dead.body == b"\xff no JSON"
    assert dead.properties["content_type"] == "application/json"
    assert dead.headers["msgkit-dead-reason"] == "poison"
    assert dead.headers["msgkit-dead-queue"] == name
    assert dead.properties["app_id"] == "erp"
    # A moment is text as msgkit writes it; all else is what it was, whether msgkit has a word for it or not.
    kept = headers.keys() - {"moment"}
    assert {header: dead.headers[header] for header in kept} == {header: headers[header] for header in kept}


async def test_headers_that_only_look_like_those_of_msgkit_stop_nobody(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    odd: dict[str, Any] = {
        "msgkit-attempt": "two",
        "msgkit-due": "nowhere",
        "msgkit-expires": "soon",
        "msgkit-key": [1],
        "msgkit-sent": {"at": "noon"},
        "msgkit-subject": 7,
        "msgkit-times": '["when", {"a": 1}]',
        "when": "noon",
    }
    async with Application([work], settings=settings):
        for header, value in odd.items():
            await plain.publish("", name, ORDER_JSON, headers={header: value, "odd": header})
        await plain.publish("", name, ORDER_JSON, headers={**odd, "odd": "all"})
        await plain.publish("", name, ORDER_JSON, headers={"odd": "nothing"})
        while (await got.next()).headers["odd"] != "nothing":
            pass


async def test_a_task_as_celery_sends_it_is_handled(settings: Settings, plain: Plain, name: str) -> None:
    tasks = Queue(name, list[Any])
    got = Inbox[Message[list[Any]]]()

    @listener(tasks)
    async def work(task: Message[list[Any]]) -> None:
        got.put(task)

    body = json.dumps([[2, 3], {"carry": True}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    async with Application([work], settings=settings):
        await plain.publish(
            "",
            name,
            body.encode(),
            headers={
                "lang": "py",
                "task": "calculator.add",
                "id": "2b7b6b2e-0000-4000-8000-000000000001",
                "shadow": None,
                "eta": None,
                "expires": None,
                "group": None,
                "retries": 0,
                "timelimit": [None, None],
                "root_id": "2b7b6b2e-0000-4000-8000-000000000001",
                "parent_id": None,
                "argsrepr": "(2, 3)",
                "kwargsrepr": "{'carry': True}",
                "origin": "gen1@host",
                "ignore_result": False,
                "stamps": {},
            },
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id="2b7b6b2e-0000-4000-8000-000000000001",
            reply_to="6f8e1a52-0000-3000-8000-000000000002",
            delivery_mode=2,
            priority=0,
        )
        task = await got.next()
    assert task.payload[:2] == [[2, 3], {"carry": True}]
    assert task.headers["task"] == "calculator.add"
    assert task.headers["retries"] == 0
    assert task.headers["ignore_result"] is False


async def test_routing_keys_of_others_are_subjects_however_often_a_message_is_tried(
    settings: Settings, plain: Plain, name: str
) -> None:
    orders = Exchange(name, OrderPlaced)
    europe = orders.queue(f"{name}.europe", "placed.eu.#")
    got = Inbox[Message[OrderPlaced]]()

    @listener(europe, retry=Backoff(2, first=0.05))
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)
        if message.attempt == 1:
            raise RuntimeError("not yet")

    async with Application([work], settings=settings):
        await plain.publish(name, "placed.eu.fr", ORDER_JSON)
        tries = [await got.next(), await got.next()]
    assert [each.attempt for each in tries] == [1, 2]
    assert [each.subject for each in tries] == ["placed.eu.fr", "placed.eu.fr"]


# -- ours, read by others


async def test_what_msgkit_sends_is_plain_json_with_plain_properties(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with MessageTemplate(settings) as template:
        await template.declare(jobs)
        receipt = await template.send(jobs, ORDER, correlation_id="c-1", headers={"x-trace": "7", "n": 1, "yes": True})
    got = await plain.take(name)
    assert got.body == ORDER_JSON
    assert got.properties["content_type"] == "application/json"
    assert got.properties["message_id"] == receipt.message_id
    assert got.properties["correlation_id"] == "c-1"
    assert got.properties["type"] == "OrderPlaced"
    assert got.properties["delivery_mode"] == 2
    # Whole seconds, as in AMQP.
    assert before.timestamp() <= got.properties["timestamp"] <= datetime.now(UTC).timestamp()
    assert (got.headers["x-trace"], got.headers["n"], got.headers["yes"]) == ("7", 1, True)
    assert all(header.startswith("msgkit-") for header in got.headers.keys() - {"x-trace", "n", "yes"})


async def test_a_subject_is_the_routing_key(settings: Settings, plain: Plain, name: str) -> None:
    orders = Exchange(name, OrderPlaced, key=lambda order: order.customer, subject=lambda order: f"placed.{order.id}")
    copies = orders.queue(f"{name}.copies", "placed.*")
    async with MessageTemplate(settings) as template:
        await template.declare(copies)
        await template.send(orders, ORDER)
    got = await plain.take(copies.name)
    assert (got.exchange, got.routing_key) == (name, "placed.1")
    assert got.body == ORDER_JSON


async def test_a_moment_in_a_header_can_be_read_by_others(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)
    async with MessageTemplate(settings) as template:
        await template.declare(jobs)
        await template.send(jobs, ORDER, headers={"moment": MOMENT, "bytes": b"\x00\xff"})
    got = await plain.take(name)
    moment = got.headers["moment"]
    assert moment == MOMENT or MOMENT.isoformat()[:19] in moment
    assert got.headers["bytes"] == b"\x00\xff"


async def test_a_dead_letter_of_msgkit_says_why_to_others(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)

    @listener(jobs, retry=Backoff(2, first=0.01))
    async def work(order: OrderPlaced) -> None:
        raise RuntimeError(f"no stock for {order.id}")

    async with Application([work], settings=settings):
        await plain.publish("", name, ORDER_JSON, headers={"x-trace": "7", **died_in(name)}, message_id="m-1")
        dead = await plain.take(f"{name}.dlq")
    assert dead.body == ORDER_JSON
    assert dead.properties["message_id"] == "m-1"
    assert dead.headers["x-trace"] == "7"
    assert dead.headers["msgkit-dead-attempts"] == 2
    assert dead.headers["msgkit-dead-error"] == "RuntimeError"
    assert dead.headers["msgkit-dead-text"] == "no stock for 1"


# -- requests and answers


async def test_others_ask_and_msgkit_answers(
    settings: Settings, plain: Plain, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    quotes = Queue(name, QuoteRequest)

    @listener(quotes)
    async def quote(request: QuoteRequest) -> Quote:
        if request.article == "piano":
            raise Reject("there is no piano")
        return Quote(price=20 * request.pieces)

    async with Application([quote], settings=settings):
        answer = await plain.ask(name, b'{"article":"lamp","pieces":2}', correlation_id="c-1")
        assert answer.body == b'{"price":40}'
        assert answer.properties["content_type"] == "application/json"
        assert answer.properties["correlation_id"] == "c-1"
        refused = await plain.ask(name, b'{"article":"piano","pieces":1}', correlation_id="c-2")
        assert refused.properties["correlation_id"] == "c-2"
        assert refused.headers["msgkit-error-reason"] == "there is no piano"
    # Both answers have arrived, and nothing says that they had not.
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


async def test_msgkit_answers_to_a_queue_that_others_made_for_it(settings: Settings, plain: Plain, name: str) -> None:
    quotes = Queue(name, QuoteRequest)
    answers = f"{name}.answers"

    @listener(quotes)
    async def quote(request: QuoteRequest) -> Quote:
        return Quote(price=20 * request.pieces)

    async with Application([quote], settings=settings):
        await plain.declare_queue(answers)
        await plain.publish("", name, b'{"article":"lamp","pieces":2}', reply_to=answers, correlation_id="c-1")
        answer = await plain.take(answers)
    assert (answer.body, answer.properties["correlation_id"]) == (b'{"price":40}', "c-1")


async def test_msgkit_asks_and_others_answer(settings: Settings, plain: Plain, name: str) -> None:
    quotes = Queue(name, QuoteRequest)
    async with MessageTemplate(settings) as template:
        await template.declare(quotes)
        async with plain.answering(name, b'{"price":40}') as request:
            answer = await template.request(quotes, QuoteRequest(article="lamp", pieces=2), Quote, timeout=10)
        assert answer == Quote(price=40)
        assert (await request).body == b'{"article":"lamp","pieces":2}'
        async with plain.answering(name, b"", headers={"msgkit-error": "Reject", "msgkit-error-reason": "sold"}):
            with pytest.raises(RemoteError, match="sold"):
                await template.request(quotes, QuoteRequest(article="lamp", pieces=2), Quote, timeout=10)
