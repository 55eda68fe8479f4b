from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from msgkit import Exchange, Option, Queue, Route
from msgkit.errors import ConfigurationError, InvalidMessage
from tests.core.workshop import Order

orders = Exchange("orders", Order)
EXCHANGE_OPTIONS = "broker, converter, key, kind, options, subject"
QUEUE_OPTIONS = "broker, converter, dead_letters, options, ordered, priorities, start"
ACROSS = "a route cannot cross brokers: send on from a listener"


class Quorum(Option):
    pass


def untyped(make: Callable[..., object], *arguments: Any, **options: Any) -> Callable[[], object]:
    """Have something called as a caller without a type checker may call it."""
    return lambda: make(*arguments, **options)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "an exchange without a name": (untyped(Exchange, ""), "the name of an Exchange is empty"),
    "a queue whose name is none": (untyped(Queue, None), "the name of a Queue must be a str, not NoneType"),
    "a broker without a name": (untyped(Queue, "q", broker=""), "the name of the broker of Queue('q') is empty"),
    "dead letters that are no name": (
        untyped(Queue, "q", dead_letters=True),
        "the name of the dead letters of Queue('q') must be a str, not bool",
    ),
    "dead letters whose name is too long": (
        untyped(Queue, "q" * 198),
        f"the name of the dead letters of Queue('{'q' * 198}') is longer than 200 bytes: '{'q' * 40}'…",
    ),
    "an unknown option of an exchange": (
        untyped(Exchange, "e", durable=True),
        f"Exchange('e') has no option 'durable'; there are {EXCHANGE_OPTIONS}",
    ),
    "an unknown option of a queue": (
        untyped(Queue, "q", orderd=True),
        f"Queue('q') has no option 'orderd'; there are {QUEUE_OPTIONS}",
    ),
    "an unknown option of a queue made from an exchange": (
        untyped(orders.queue, "q", durable=True),
        f"Queue('q') has no option 'durable'; there are {QUEUE_OPTIONS}",
    ),
    "a type by its name": (
        untyped(Exchange, "e", "Order"),
        "Exchange('e'): 'Order' is no type; give the payload's type itself",
    ),
    "a kind that there is not": (
        untyped(Exchange, "e", kind="topics"),
        "Exchange('e'): kind='topics' must be one of topic, direct, fanout, headers",
    ),
    "a key that is no function": (
        untyped(Exchange, "e", key="customer"),
        "Exchange('e'): key= takes a function of the payload; for one message use send(..., key=)",
    ),
    "a subject that is neither text nor function": (
        untyped(Exchange, "e", subject=7),
        "Exchange('e'): subject= takes a str or a function of the payload, not 7",
    ),
    "an option that is none": (
        untyped(Queue, "q", options=[{"kind": "classic"}]),
        "Queue('q'): options= takes values such as RabbitQueue(...), not dict",
    ),
    "one option instead of several": (
        untyped(Queue, "q", options=Quorum()),
        "Queue('q'): options= takes a list; write options=[Quorum(...)]",
    ),
    "an order that there is not": (
        untyped(Queue, "q", ordered="yes"),
        "Queue('q'): ordered= must be True, False or 'strict', not 'yes'",
    ),
    "strict order without dead letters": (
        untyped(Queue, "q", ordered="strict", dead_letters=False),
        "Queue('q') is strict, so its dead letters hold their successors; it needs dead_letters",
    ),
    "order and priorities": (
        untyped(Queue, "q", ordered=True, priorities=5),
        "Queue('q') cannot be ordered and have priorities",
    ),
    "no priorities": (
        untyped(Queue, "q", priorities=0),
        "priorities= of Queue('q') must be a whole number of at least 1, not 0",
    ),
    "too many priorities": (
        untyped(Queue, "q", priorities=256),
        "Queue('q'): priorities= must be at most 255, not 256",
    ),
    "a start that there is not": (
        untyped(Queue, "q", start="first"),
        "Queue('q'): start= must be 'earliest', 'latest' or a datetime, not 'first'",
    ),
    "a route across brokers": (
        untyped(orders.queue, "q", broker="audit"),
        f"Queue('q') is on broker 'audit', but Exchange('orders') is on 'default'; {ACROSS}",
    ),
    "routes from two brokers": (
        untyped(Queue, "q", orders.where("a"), Exchange("other", broker="audit").where("b")),
        f"Queue('q') is on broker 'default', but Exchange('other') is on 'audit'; {ACROSS}",
    ),
    "a pattern with a wildcard in a word": (
        untyped(orders.where, "placed.e*"),
        "the pattern 'placed.e*' mixes a wildcard with letters in 'e*'; a wildcard is a whole word",
    ),
    "a queue with such a pattern": (
        untyped(orders.queue, "q", "##"),
        "the pattern '##' mixes a wildcard with letters in '##'; a wildcard is a whole word",
    ),
    "a route of a direct exchange without a subject": (
        untyped(Exchange("e", kind="direct").where),
        "Exchange('e') is of kind 'direct': a route from it takes an exact subject",
    ),
    "a queue of a direct exchange without a subject": (
        untyped(Exchange("e", kind="direct").queue, "q"),
        "Exchange('e') is of kind 'direct': a route from it takes an exact subject",
    ),
    "a route of a fanout exchange with a subject": (
        untyped(Exchange("e", kind="fanout").where, "placed"),
        "Exchange('e') is of kind 'fanout': a route from it takes no subject",
    ),
    "a route of a headers exchange with a subject": (
        untyped(Exchange("e", kind="headers").where, "placed", headers={"x": 1}),
        "Exchange('e') is of kind 'headers': a route from it takes no subject",
    ),
    "headers on a topic exchange": (
        untyped(orders.where, headers={"x": 1}),
        "Exchange('orders') is of kind 'topic': only kind='headers' routes by headers",
    ),
    "dead letters of a queue without them": (
        lambda: Queue("q", dead_letters=False).dead_letters,
        "Queue('q') has no dead letters: it was declared with dead_letters=False",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_declared_is_refused_where_it_is_written(what: str) -> None:
    make, said = REFUSED[what]
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            untyped(Queue, "q", start=datetime(2026, 1, 1)),  # noqa: DTZ001 -- that it is naive is the point
            "start= of Queue('q') has no time zone; use datetime.now(UTC) or add tzinfo",
        ),
        (untyped(orders.where, 7), "the pattern of a route from Exchange('orders') must be a str, not int"),
        (untyped(Exchange("e", kind="headers").where, headers={"x": None}), "header 'x' is None; leave it out instead"),
    ],
)
def test_a_value_that_cannot_travel_is_refused_in_a_declaration_too(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        make()
    assert str(caught.value) == said


def test_an_anonymous_queue_has_no_dead_letters_and_says_so() -> None:
    queue = Queue.anonymous(orders.where("placed"))
    with pytest.raises(ConfigurationError) as caught:
        _ = queue.dead_letters
    assert str(caught.value) == f"{queue} has no dead letters: it is anonymous, and goes with its process"


def test_an_exchange_whose_name_is_as_long_as_it_may_be_has_anonymous_queues() -> None:
    queue = Queue.anonymous(Exchange("🦊" * 50).where())
    assert len(queue.name.encode()) <= 200


def test_anonymous_queues_of_one_route_are_different_queues() -> None:
    assert Queue.anonymous(orders.where()) != Queue.anonymous(orders.where())


@pytest.mark.parametrize(
    "value", [orders, orders.queue("q", "placed"), orders.where("placed"), Queue("q", Order, ordered=True)]
)
def test_what_is_declared_does_not_change(value: Exchange[Any] | Queue[Any] | Route[Any]) -> None:
    for name in ("name", "subject", "kind", "ordered", "other"):
        with pytest.raises(AttributeError):
            setattr(value, name, "new")


def test_declarations_are_values() -> None:
    assert Queue("q", Order) == Queue("q", Order)
    assert len({orders.where("a"), orders.where("a"), orders.where("b")}) == 2
    different = [Queue("q", Order), Queue("q"), Queue("q", Order, ordered=True), Queue("q", Order, broker="b")]
    assert len(set(different)) == len(different)
    assert len({Exchange("x"), Queue("x")}) == 2


def test_a_queue_takes_what_its_routes_carry() -> None:
    texts = Exchange("texts", str, int)
    assert Queue("q", orders.where(), texts.where()).types == (Order, str, int)
    assert Queue("q", orders.where(), Exchange("any").where()).types == ()
    assert Queue("q", orders.where(), Order).types == (Order,)


def test_a_queue_made_from_an_exchange_is_on_its_broker() -> None:
    queue = Exchange("e", broker="audit").queue("q")
    assert (queue.broker, queue.dead_letters.broker, queue.dead_letters.dead_letters_of) == ("audit", "audit", "q")
