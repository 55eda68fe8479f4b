from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from msgkit import Exchange, Queue
from msgkit.errors import ConfigurationError
from msgkit.values import Option
from msgkit_rabbitmq.options import RabbitExchange, RabbitQueue, check_broker_name


def test_options_are_for_rabbitmq_alone_and_stand_beside_a_destination() -> None:
    queue, exchange = RabbitQueue(kind="classic"), RabbitExchange(kind="x-consistent-hash")
    assert isinstance(queue, Option)
    assert queue.schemes == exchange.schemes == RabbitQueue.schemes == ("amqp", "amqps")
    assert Queue("jobs", int, options=[queue]).options == (RabbitQueue(kind="classic"),)
    assert Exchange("orders", int, options=[exchange]).options == (exchange,)


def test_options_are_values() -> None:
    given: dict[str, object] = {"x-queue-leader-locator": "balanced"}
    one, same = RabbitQueue(arguments=given), RabbitQueue(arguments=dict(given))
    assert one == same
    assert hash(one) == hash(same)
    assert one != RabbitQueue()
    given["x-queue-leader-locator"] = "client-local"
    assert one == same
    with pytest.raises(FrozenInstanceError):
        one.declare = False  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] -- what is tested
    with pytest.raises(TypeError):
        one.arguments["x"] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue] -- what is tested


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        (RabbitQueue(), {}),
        (RabbitQueue(max_length=5), {"x-max-length": 5, "x-overflow": "reject-publish"}),
        (RabbitQueue(max_bytes=9, overflow="drop-head"), {"x-max-length-bytes": 9, "x-overflow": "drop-head"}),
        (RabbitQueue(arguments={"x-quorum-initial-group-size": 3}), {"x-quorum-initial-group-size": 3}),
        (RabbitExchange(), {}),
        (RabbitExchange(alternate_exchange="lost"), {"alternate-exchange": "lost"}),
        (RabbitExchange(arguments={"x": [1, {"y": b"z"}]}), {"x": [1, {"y": b"z"}]}),
    ],
)
def test_what_is_said_becomes_arguments_and_a_full_queue_refuses_unless_told_to_lose(
    option: RabbitQueue | RabbitExchange, arguments: dict[str, object]
) -> None:
    assert option.declared() == arguments


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "stream"}, r"kind=\) must be 'quorum' or 'classic', not 'stream'"),
        ({"max_length": 0}, r"max_length=\) must be a whole number of at least 1, not 0"),
        ({"max_bytes": True}, r"max_bytes=\) must be a whole number"),
        ({"max_length": "5"}, r"max_length=\) must be a whole number"),
        ({"max_length": 5, "overflow": "reject-publish-dlx"}, "must be 'reject-publish' or 'drop-head'"),
        ({"overflow": "drop-head"}, "set max_length= or max_bytes= too"),
        ({"declare": None}, r"declare=\) must be True or False"),
        ({"history": 7}, r"history=\) must be a timedelta of 1 second to 36500 days, not 7"),
        ({"history": timedelta(0)}, r"history=\) must be a timedelta"),
        ({"history": timedelta.max}, r"history=\) must be a timedelta"),
        ({"history": timedelta(1), "declare": False}, "history= would do nothing"),
        ({"history": timedelta(1), "max_length": 5}, r"history=\) has a queue filled again, .*: leave out its bounds"),
        ({"history": timedelta(1), "max_bytes": 5, "overflow": "drop-head"}, "leave out its bounds"),
        ({"declare": False, "max_length": 5, "arguments": {"a": 1}}, "max_length= and arguments= would do nothing"),
        ({"arguments": ["x"]}, "takes a mapping"),
        ({"arguments": {"": 1}}, "1 to 128 printable characters"),
        ({"arguments": {"a" * 129: 1}}, "1 to 128 printable characters"),
        ({"arguments": {1: 1}}, "1 to 128 printable characters"),
        ({"arguments": {"x-a": object()}}, "'x-a' is .*, which AMQP cannot carry"),
        ({"arguments": {"x-a": [1 << 63]}}, "AMQP cannot carry"),
        ({"arguments": {"x-a": {1: 2}}}, "AMQP cannot carry"),
    ],
)
def test_what_a_queue_cannot_be_is_said_where_it_is_written(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        RabbitQueue(**said)


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ("x-queue-type", "write kind="),
        ("x-single-active-consumer", r"write Queue\(ordered=True\)"),
        ("x-max-priority", r"write Queue\(priorities="),
        ("x-expires", r"Queue\.anonymous"),
        ("x-delivery-limit", r"@listener\(retry="),
        ("x-max-length", "write max_length="),
        ("x-max-length-bytes", "write max_bytes="),
        ("x-overflow", "write overflow="),
        ("x-dead-letter-exchange", r"Queue\(dead_letters="),
        ("x-dead-letter-routing-key", r"Queue\(dead_letters="),
        ("x-dead-letter-strategy", r"Queue\(dead_letters="),
        ("x-message-ttl", r"send\(ttl="),
        ("x-consumer-timeout", "consumer_timeout"),
    ],
)
def test_an_argument_that_would_break_a_promise_is_refused_with_what_to_use_instead(
    argument: str, instead: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot set '{argument}': .*{instead}"):
        RabbitQueue(arguments={argument: 1})


def test_arguments_hold_whatever_amqp_carries() -> None:
    values = [None, True, -(1 << 63), 1.5, "text", b"bytes", datetime.now(UTC), [1, [2]], {"a": {"b": "c"}}]
    assert RabbitQueue(arguments={"x-all": values}).declared() == {"x-all": values}


def test_a_queue_of_somebody_else_may_still_be_described() -> None:
    assert RabbitQueue(declare=False, kind="classic").declared() == {}
    assert RabbitExchange(declare=False, kind="x-consistent-hash").declared() == {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "topic"}, r"write Exchange\(…, kind='topic'\)"),
        ({"kind": ""}, r"kind=\) must be a name"),
        ({"kind": 3}, r"kind=\) must be a name"),
        ({"alternate_exchange": " "}, r"alternate_exchange=\) must be a name"),
        ({"internal": 1}, r"internal=\) must be True or False"),
        ({"auto_delete": "no"}, r"auto_delete=\) must be True or False"),
        ({"arguments": {"alternate-exchange": "x"}}, "write alternate_exchange="),
        ({"declare": False, "internal": True, "auto_delete": True}, "internal= and auto_delete= would do nothing"),
    ],
)
def test_what_an_exchange_cannot_be_is_said_where_it_is_written(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        RabbitExchange(**said)


@pytest.mark.parametrize("name", ["orders", "größe", "a b/c", "x" * 255, "amqp", "AMQ.mine"])
def test_rabbitmq_takes_most_names(name: str) -> None:
    assert check_broker_name(name, "the queue", owned=True) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "must be a name"),
        (None, "must be a name"),
        ("a\nb", "cannot be printed"),
        ("a\ud800", "cannot be printed"),
        ("x" * 256, "has 256 bytes, and RabbitMQ takes at most 255"),
        ("é" * 128, "has 256 bytes"),
        ("amq.topic", "RabbitMQ's own: .* declare=False"),
    ],
)
def test_a_name_that_rabbitmq_refuses_is_refused_before_it_is_asked(name: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the queue .*{why}"):
        check_broker_name(name, "the queue", owned=True)


def test_what_is_the_brokers_own_may_be_used() -> None:
    assert check_broker_name("amq.topic", "the exchange", owned=False) == "amq.topic"
