import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from msgkit import Accept, Delivery, Exchange, Message, MessageTemplate, Queue, Retry, Sender
from msgkit.errors import (
    AlreadySettled,
    Closed,
    ConfigurationError,
    InvalidMessage,
    MessagingError,
    PayloadTypeError,
    UnsupportedCapability,
)
from msgkit.message import SendOptions
from msgkit.spi import DelayLimits, Power
from msgkit.testing import delivery
from tests.core.workshop import Order, Place, narrow

jobs = Queue("jobs", Order)
urgent = Queue("urgent", Order, priorities=5)
orders = Exchange("orders", Order)
billing = orders.queue("billing")
anything: Any = None
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 -- that it is naive is the point
OPTIONS = (
    "content_type, correlation_id, delay, deliver_at, headers, key, message_id, priority, reply_to, require_route, "
    "subject, timeout, ttl"
)

Send = Callable[[MessageTemplate], Awaitable[object]]


def untyped(method: str, *arguments: Any, **options: Any) -> Send:
    """Have a method called, as a caller without a type checker may call it."""
    return lambda template: getattr(template, method)(*arguments, **options)


def send(to: Any, payload: Any = Order(1), **options: Any) -> Send:  # noqa: B008 -- a frozen value
    return untyped("send", to, payload, **options)


# -- what cannot be sent


REFUSED: dict[str, tuple[Send, type[MessagingError], str | None]] = {
    "a destination by its name": (
        send("jobs"),
        ConfigurationError,
        "messages are sent to an Exchange or a Queue, not to 'jobs'; make one on the spot: Queue('jobs', YourType)",
    ),
    "a list of destinations": (
        send([jobs]),
        ConfigurationError,
        "messages are sent to an Exchange or a Queue, not to [Queue('jobs')]",
    ),
    "a route": (
        send(orders.where("a")),
        ConfigurationError,
        "messages are sent to an Exchange or a Queue, not to Exchange('orders').where('a')",
    ),
    "a payload of another type": (
        send(jobs, "order 1"),
        PayloadTypeError,
        "'jobs' carries Order, not str",
    ),
    "no payload": (send(jobs, None), PayloadTypeError, "'jobs' carries Order, not NoneType"),
    "the type instead of a payload": (send(jobs, Order), PayloadTypeError, "'jobs' carries Order, not type"),
    "a message of another type": (
        send(jobs, Message("order 1")),
        PayloadTypeError,
        "'jobs' carries Order, not str",
    ),
    "an option that there is not": (
        send(jobs, prority=1),
        ConfigurationError,
        f"send(Queue('jobs')) has no option 'prority'; there are {OPTIONS}",
    ),
    "a delay and a time": (
        send(jobs, delay=1, deliver_at=datetime.now(UTC)),
        InvalidMessage,
        "send(Queue('jobs')): delay= and deliver_at= exclude each other",
    ),
    "a delay below nothing": (
        send(jobs, delay=-1),
        InvalidMessage,
        "send(Queue('jobs')): delay= must not be negative, but is -1 s",
    ),
    "a delay without end": (
        send(jobs, delay=math.inf),
        InvalidMessage,
        "send(Queue('jobs')): delay= must be finite, not inf",
    ),
    "a time to live below nothing": (
        send(jobs, ttl=timedelta(seconds=-5)),
        InvalidMessage,
        "send(Queue('jobs')): ttl= must not be negative, but is -5 s",
    ),
    "a time without a zone": (
        send(jobs, deliver_at=NAIVE),
        InvalidMessage,
        "send(Queue('jobs')): deliver_at= has no time zone; use datetime.now(UTC) or add tzinfo",
    ),
    "a time that is none": (
        send(jobs, deliver_at=5),
        InvalidMessage,
        "send(Queue('jobs')): deliver_at= must be a datetime, not int",
    ),
    "a timeout below nothing": (
        send(jobs, timeout=-1),
        InvalidMessage,
        "send(Queue('jobs')): timeout= must not be negative, but is -1 s",
    ),
    "a timeout that is none": (
        send(jobs, timeout="5"),
        InvalidMessage,
        "send(Queue('jobs')): timeout= must be seconds or a timedelta, not str",
    ),
    "a priority into a queue without": (
        send(jobs, priority=1),
        InvalidMessage,
        "send(Queue('jobs')): priority=1, but the queue was declared with no priorities=",
    ),
    "a priority above the highest": (
        send(urgent, priority=6),
        InvalidMessage,
        "send(Queue('urgent')): priority=6, but the queue was declared with priorities=5",
    ),
    "a priority below the lowest": (
        send(urgent, priority=-1),
        ConfigurationError,
        "send(Queue('urgent')): priority= must be a whole number of at least 0, not -1",
    ),
    "a key that is no text": (send(jobs, key=7), InvalidMessage, "send(Queue('jobs')): key= must be a str, not int"),
    "a key that is too long": (
        send(jobs, key="k" * 1025),
        InvalidMessage,
        f"send(Queue('jobs')): key= is longer than 1024 characters: '{'k' * 40}'…",
    ),
    "a subject that is no text": (
        send(orders, subject=b"placed"),
        InvalidMessage,
        "send(Exchange('orders')): subject= must be a str, not bytes",
    ),
    "an id that is no text": (
        send(jobs, message_id=5),
        InvalidMessage,
        "send(Queue('jobs')): message_id= must be a str, not int",
    ),
    "a header without a value": (
        send(jobs, headers={"x": None}),
        InvalidMessage,
        "header 'x' is None; leave it out instead",
    ),
    "headers that are no mapping": (
        send(jobs, headers=[("x", "y")]),
        InvalidMessage,
        "headers= must be a mapping of names to values, not list",
    ),
    "a header of a message": (
        send(jobs, Message(Order(1), headers={"x": NAIVE})),
        InvalidMessage,
        "header 'x' has no time zone; use datetime.now(UTC) or add tzinfo",
    ),
    "headers that are too large": (
        send(jobs, headers={"x": "y" * 20_000}),
        InvalidMessage,
        "the headers have 20,001 bytes; at most 16,384 can be sent",
    ),
    "a body that is too large": (
        send(Queue("bytes", bytes), bytes(1024 * 1024 + 1)),
        InvalidMessage,
        "the body for 'bytes' has 1,048,577 bytes; at most 1,048,576 can be sent",
    ),
    "a key of the exchange's own that is no text": (
        send(Exchange("keyed", Order, key=lambda _: anything)),
        InvalidMessage,
        "the key for Exchange('keyed') must be a str, not NoneType",
    ),
    "a subject of the exchange's own that is no text": (
        send(Exchange("about", Order, subject=lambda _: anything)),
        InvalidMessage,
        "the subject for Exchange('about') must be a str, not NoneType",
    ),
    "one id for many": (
        lambda template: template.send_many(jobs, [Order(1)], message_id="m"),
        ConfigurationError,
        "send_many(message_id=) would give all one id; give each its own: Message(payload, message_id=...)",
    ),
    "one of many of another type": (
        lambda template: template.send_many(jobs, [Order(1), anything, Order(3)]),
        PayloadTypeError,
        "'jobs' carries Order, not NoneType",
    ),
    "an option of many that there is not": (
        untyped("send_many", jobs, [Order(1)], ky="k"),
        ConfigurationError,
        f"send(Queue('jobs')) has no option 'ky'; there are {OPTIONS}",
    ),
    "an address for the answer to a request": (
        lambda template: template.request(jobs, Order(1), Order, reply_to="me"),
        ConfigurationError,
        "request() sets reply_to= and ttl= itself: the answer comes back here, and timeout= is its time to live",
    ),
    "a time to live of a request": (
        lambda template: template.request(jobs, Order(1), Order, ttl=5),
        ConfigurationError,
        "request() sets reply_to= and ttl= itself: the answer comes back here, and timeout= is its time to live",
    ),
    "a time to live of a request's message": (
        untyped("request", jobs, Message(Order(1), ttl=5), Order),
        ConfigurationError,
        "request() sets reply_to= and ttl= itself: the answer comes back here, and timeout= is its time to live",
    ),
    "a request whose answer nothing can be read as": (
        untyped("request", jobs, Order(1), object()),
        ConfigurationError,
        None,
    ),
    "a timeout of a message": (
        send(jobs, Message(Order(1), timeout=-1)),
        InvalidMessage,
        "send(Queue('jobs')): timeout= must not be negative, but is -1 s",
    ),
    "a request of another type": (
        lambda template: template.request(jobs, anything, Order),
        PayloadTypeError,
        "'jobs' carries Order, not NoneType",
    ),
    "an option of a handle that there is not": (
        untyped("to", jobs, ky="k"),
        ConfigurationError,
        f"to(Queue('jobs')) has no option 'ky'; there are {OPTIONS}",
    ),
    "a handle for nothing": (
        lambda template: template.to(anything).send(Order(1)),
        ConfigurationError,
        "messages are sent to an Exchange or a Queue, not to None",
    ),
    "a declaration of a name": (
        untyped("declare", "jobs"),
        ConfigurationError,
        "declare() takes exchanges and queues, not 'jobs'; make one on the spot: Queue('jobs', YourType)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_sent_is_refused_in_words_and_nothing_is_sent(what: str, place: Place) -> None:
    act, kind, said = REFUSED[what]
    destinations = (
        jobs,
        urgent,
        billing,
        Queue("bytes", bytes),
        Exchange("keyed").queue("k"),
        Exchange("about").queue("a"),
    )
    async with place.template(*destinations) as template:
        before = place.broker.depths()
        with pytest.raises(kind) as caught:
            await act(template)
        assert said is None or str(caught.value) == said
        assert type(caught.value) is kind
        assert place.broker.depths() == before
        assert place.waiting == 0


async def in_a_pipeline(template: MessageTemplate, to: Any, payload: Any, options: Any) -> None:
    async with template.pipeline() as pipeline:
        _ = await pipeline.send(to, payload, **options)


async def in_a_transaction(template: MessageTemplate, to: Any, payload: Any, options: Any) -> None:
    async with template.transaction() as transaction:
        await transaction.send(to, payload, **options)


async def as_a_half_message(template: MessageTemplate, to: Any, payload: Any, options: Any) -> None:
    async with template.prepare(to, payload, check="sold", **options):
        pass


WAYS = {"a pipeline": in_a_pipeline, "a transaction": in_a_transaction, "a half message": as_a_half_message}


@pytest.mark.parametrize("what", WAYS)
@pytest.mark.parametrize("wrong", ["payload", "option", "destination"])
async def test_other_ways_of_sending_refuse_the_same(what: str, wrong: str, place: Place) -> None:
    payload: Any = "order 1" if wrong == "payload" else Order(1)
    options: Any = {"ky": "k"} if wrong == "option" else {}
    to: Any = "jobs" if wrong == "destination" else jobs
    kind = PayloadTypeError if wrong == "payload" else ConfigurationError
    async with place.template(jobs) as template:
        with pytest.raises(kind):
            await WAYS[what](template, to, payload, options)
        assert place.waiting == 0


async def all_of(messages: AsyncIterator[Message[Any]]) -> list[Message[Any]]:
    return [message async for message in messages]


TAKING: dict[str, Callable[[MessageTemplate, Any], Awaitable[object]]] = {
    "receiver": lambda template, given: _entered(template.receiver(given)),
    "receive": lambda template, given: _entered(template.receive(given)),
    "browse": lambda template, given: all_of(template.browse(given)),
}


@pytest.mark.parametrize("taking", TAKING)
@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("jobs", "make one on the spot: Queue('jobs', YourType)"),
        (orders, "an Exchange's messages are had by exchange.queue(name)"),
    ],
)
async def test_messages_are_taken_from_queues_alone(taking: str, given: Any, advice: str, place: Place) -> None:
    async with place.template(jobs) as template:
        before = place.broker.depths()
        with pytest.raises(ConfigurationError) as caught:
            await TAKING[taking](template, given)
        who = "browse()" if taking == "browse" else "receiver()" if taking == "receiver" else f"receive({given})"
        assert str(caught.value) == f"{who} takes a Queue, not {given!r}; {advice}".replace(
            f"receive({given})", "receiver()"
        )
        assert place.broker.depths() == before


@pytest.mark.parametrize(
    ("power", "options", "what"),
    [
        (Power.DELAY, {"delay": 5}, "delay="),
        (Power.DELIVER_AT, {"deliver_at": datetime.now(UTC)}, "deliver_at="),
        (Power.REQUIRE_ROUTE, {"require_route": True}, "require_route=True"),
        (Power.PRIORITY, {"priority": 1}, "priority="),
    ],
)
async def test_an_option_that_the_broker_cannot_keep_is_refused_and_nothing_is_sent(
    power: Power, options: Any, what: str, place: Place
) -> None:
    async with place.template(billing), MessageTemplate(place.settings(url=narrow(place, power))) as template:
        with pytest.raises(UnsupportedCapability) as caught:
            await template.send(orders, Order(1), **options)
        assert str(caught.value) == (
            f"send(Exchange('orders'), {what}) asks for {power.value}, which memory cannot do: it was taken away; "
            "use a broker that has it"
        )
        assert place.waiting == 0


async def test_a_delay_beyond_the_longest_is_refused(place: Place) -> None:
    url = narrow(place, delay=DelayLimits(longest=60))
    async with place.template(jobs), MessageTemplate(place.settings(url=url)) as template:
        await template.send(jobs, Order(1), delay=60)
        late = datetime.now(UTC) + timedelta(seconds=61.5)
        for options in (SendOptions(delay=61), SendOptions(deliver_at=late)):
            with pytest.raises(InvalidMessage) as caught:
                await template.send(jobs, Order(1), **options)
            assert str(caught.value).startswith("send(Queue('jobs')): memory delays by 60 s at most, not by 61")
        assert place.waiting == 1


CANNOT_DO: list[tuple[Power, Send, str]] = [
    (Power.REQUEST, lambda template: template.request(jobs, Order(1), Order), "request(Queue('jobs'))"),
    (Power.TRANSACTION, lambda template: _entered(template.transaction()), "transaction()"),
    (
        Power.PREPARE,
        lambda template: _entered(template.prepare(jobs, Order(1), check="c")),
        "prepare(Queue('jobs'))",
    ),
    (Power.BROWSE, lambda template: all_of(template.browse(jobs)), "browse(Queue('jobs'))"),
    (Power.ORDERED, lambda template: template.declare(Queue("o", ordered=True)), "Queue('o') with ordered=True"),
    (
        Power.STRICT,
        lambda template: template.declare(Queue("o", ordered="strict")),
        "Queue('o') with ordered='strict'",
    ),
    (Power.PRIORITY, lambda template: template.declare(urgent), "Queue('urgent') with priorities=5"),
    (
        Power.START,
        lambda template: template.declare(Queue("s", start="earliest")),
        "Queue('s') with start='earliest'",
    ),
    (
        Power.HEADERS_EXCHANGE,
        lambda template: template.declare(Exchange("h", kind="headers")),
        "Exchange('h', kind='headers')",
    ),
]


@pytest.mark.parametrize(("power", "act", "who"), CANNOT_DO)
async def test_what_the_broker_cannot_do_is_refused_and_nothing_comes_of_it(
    power: Power, act: Send, who: str, place: Place
) -> None:
    async with place.template(jobs), MessageTemplate(place.settings(url=narrow(place, power))) as template:
        before = place.broker.depths()
        with pytest.raises(UnsupportedCapability) as caught:
            await act(template)
        assert str(caught.value) == (
            f"{who} asks for {power.value}, which memory cannot do: it was taken away; use a broker that has it"
        )
        assert place.broker.depths() == before


async def _entered(manager: AbstractAsyncContextManager[Any]) -> None:
    async with manager:
        pytest.fail("this broker cannot do it")


NUMBERS: list[tuple[Send, str]] = [
    (
        lambda template: _entered(template.pipeline(in_flight=0)),
        "pipeline(in_flight=0): at least one message must be in flight",
    ),
    (
        lambda template: _entered(template.receiver(jobs, max_in_flight=0)),
        "receiver('jobs'): max_in_flight= must be a whole number of at least 1, not 0",
    ),
    (
        lambda template: _entered(template.receive(jobs, limit=0)),
        "receive(Queue('jobs')): limit= must be a whole number of at least 1, not 0",
    ),
]


@pytest.mark.parametrize(("make", "said"), NUMBERS)
async def test_numbers_that_cannot_work_are_refused(make: Send, said: str, place: Place) -> None:
    async with place.template(jobs) as template:
        with pytest.raises(ConfigurationError) as caught:
            await make(template)
        assert str(caught.value) == said


# -- use after the end


async def test_a_template_that_is_closed_says_so(place: Place) -> None:
    async with place.template(jobs) as template:
        await template.send(jobs, Order(1))
    uses: list[Send] = [
        send(jobs),
        lambda template: template.send_many(jobs, [Order(1)]),
        lambda template: template.request(jobs, Order(1), Order),
        lambda template: template.declare(jobs),
        lambda template: _entered(template.pipeline()),
        lambda template: _entered(template.transaction()),
        lambda template: _entered(template.prepare(jobs, Order(1), check="c")),
        lambda template: _entered(template.receiver(jobs)),
        lambda template: _entered(template.receive(jobs)),
        lambda template: all_of(template.browse(jobs)),
        lambda template: template.to(jobs).send(Order(1)),
    ]
    for use in uses:
        with pytest.raises(Closed) as caught:
            await use(template)
        assert str(caught.value) == (
            "the template is closed; use it inside `async with`, or inside its application's run"
        )
    assert place.waiting == 1


async def test_a_template_that_was_closed_can_be_opened_again(place: Place) -> None:
    template = MessageTemplate(place.settings())
    for _ in range(3):
        async with template:
            await template.declare(jobs)
            await template.send(jobs, Order(1))
    assert place.waiting == 3


async def test_closing_twice_and_closing_what_was_never_used_is_harmless(place: Place) -> None:
    template = MessageTemplate(place.settings())
    await template.close()
    await template.close()
    assert place.is_untouched


async def test_a_pipeline_that_was_left_takes_no_more(place: Place) -> None:
    async with place.template(jobs) as template:
        async with template.pipeline() as pipeline:
            _ = await pipeline.send(jobs, Order(1))
        with pytest.raises(Closed) as caught:
            _ = await pipeline.send(jobs, Order(2))
        assert str(caught.value) == "the pipeline was left; its messages are confirmed, and it takes no more"
        assert place.waiting == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_a_transaction_that_has_ended_takes_no_more(fails: bool, place: Place) -> None:  # noqa: FBT001 -- a parameter of a test
    kept: list[Sender] = []

    async def send_one(template: MessageTemplate) -> None:
        async with template.transaction() as transaction:
            kept.append(transaction)
            await transaction.send(jobs, Order(1))
            if fails:
                raise TimeoutError

    async with place.template(jobs) as template:
        with suppress(TimeoutError):
            await send_one(template)
        with pytest.raises(Closed) as caught:
            await kept[0].send(jobs, Order(2))
        assert str(caught.value) == "the transaction has ended; send inside its `async with`"
        assert place.waiting == (0 if fails else 1)


async def test_a_receiver_that_was_left_takes_and_settles_nothing(place: Place) -> None:
    async with place.template(jobs) as template:
        await template.send_many(jobs, [Order(1), Order(2)])
        async with template.receiver(jobs, max_in_flight=2) as receiver:
            taken, _ = await receiver.take(2, timeout=5)
        with pytest.raises(Closed) as caught:
            await receiver.take()
        assert str(caught.value) == "the receiver of 'jobs' is closed"
        with pytest.raises(MessagingError) as late:
            await taken.settle(Accept())
        assert str(late.value) == f"message {taken.id} was taken back by the broker"
        assert place.waiting == 2


async def test_a_half_message_that_was_rolled_back_cannot_be_committed(place: Place) -> None:
    async with place.template(jobs) as template:
        async with template.prepare(jobs, Order(1), check="c") as prepared:
            await prepared.roll_back()
            with pytest.raises(Closed) as caught:
                await prepared.commit()
        assert str(caught.value) == "the message was rolled back; it cannot be committed any more"
        assert place.waiting == 0


async def test_a_delivery_that_was_taken_ends_once(place: Place) -> None:
    async with place.template(jobs) as template:
        await template.send(jobs, Order(1), message_id="m")
        async with template.receive(jobs, timeout=5) as (taken,):
            await taken.settle(Accept())
            for again in (Accept(), Retry()):
                with pytest.raises(AlreadySettled) as caught:
                    await taken.settle(again)
                assert str(caught.value) == "message m is settled already; a delivery ends once"
    assert place.waiting == 0


async def test_a_transaction_takes_no_source_that_came_from_nowhere(place: Place) -> None:
    by_hand: Delivery[Order] = delivery(Order(1))
    async with place.template(jobs) as template:
        with pytest.raises(ConfigurationError) as caught:
            async with template.transaction(source=by_hand) as transaction:
                await transaction.send(jobs, Order(1))
        assert str(caught.value) == f"transaction(source=): message {by_hand.id} did not come from a broker"
        assert place.waiting == 0


async def test_a_transaction_does_not_cross_brokers(place: Place) -> None:
    audit = Queue("audit", Order, broker="audit")
    settings = place.settings(brokers={"audit": {"url": f"{place.url}-audit?transient=true"}})

    async def send_to_both(template: MessageTemplate) -> None:
        async with template.transaction() as transaction:
            await transaction.send(jobs, Order(1))
            await transaction.send(audit, Order(1))

    async with MessageTemplate(settings) as template:
        await template.declare(jobs, audit)
        with pytest.raises(ConfigurationError) as caught:
            await send_to_both(template)
        assert str(caught.value) == "Queue('audit') is on broker 'audit', the transaction on 'default'"
        assert place.waiting == 0


async def test_an_unknown_broker_is_named_with_those_there_are(place: Place) -> None:
    async with place.template(jobs) as template:
        for act in (
            template.send(Queue("q", Order, broker="adit"), Order(1)),
            _entered(template.transaction(broker="adit")),
        ):
            with pytest.raises(ConfigurationError) as caught:
                await act
            assert str(caught.value) == (
                "there is no broker 'adit' in the settings: set MSGKIT_BROKERS__ADIT__URL; known are default"
            )


async def test_two_requests_with_one_correlation_id_are_refused(place: Place) -> None:
    async with place.template(jobs) as template:
        first = asyncio.create_task(template.request(jobs, Order(1), Order, correlation_id="c"))
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError) as caught:
            await template.request(jobs, Order(2), Order, correlation_id="c")
        assert str(caught.value) == "a request with correlation_id 'c' is waiting for its answer already"
        first.cancel()
        await asyncio.wait([first])
        assert place.waiting == 1
