from random import Random
from typing import Any, cast

import pytest
from pamqp import commands, frame
from pamqp.base import Frame

from msgkit_rabbitmq.wire import MalformedTable, methods
from msgkit_rabbitmq.wire.methods import Method

ARGUMENTS: dict[str, Any] = {"x-queue-type": "quorum", "n": 70_000}
NAME = "q_1.a:b"
#: Each method that is spoken here, its values, and the same as another client has it.
SPOKEN: list[tuple[Method, tuple[object, ...], Frame]] = [
    (
        methods.CONNECTION_START,
        (0, 9, {"product": "RabbitMQ"}, b"PLAIN EXTERNAL", b"en_US"),
        commands.Connection.Start(0, 9, {"product": "RabbitMQ"}, "PLAIN EXTERNAL", "en_US"),
    ),
    (
        methods.CONNECTION_START_OK,
        ({"capabilities": {"basic.nack": True}}, "PLAIN", b"\0app\0pw", "en_US"),
        commands.Connection.StartOk({"capabilities": {"basic.nack": True}}, "PLAIN", "\0app\0pw", "en_US"),
    ),
    (methods.CONNECTION_TUNE, (2047, 131072, 60), commands.Connection.Tune(2047, 131072, 60)),
    (methods.CONNECTION_TUNE_OK, (2047, 131072, 5), commands.Connection.TuneOk(2047, 131072, 5)),
    (methods.CONNECTION_OPEN, ("shop", "", False), commands.Connection.Open("shop")),
    (methods.CONNECTION_OPEN_OK, ("",), commands.Connection.OpenOk()),
    (methods.CONNECTION_CLOSE, (320, "bye", 0, 0), commands.Connection.Close(320, "bye", 0, 0)),
    (methods.CONNECTION_CLOSE_OK, (), commands.Connection.CloseOk()),
    (methods.CONNECTION_BLOCKED, ("low on memory",), commands.Connection.Blocked("low on memory")),
    (methods.CONNECTION_UNBLOCKED, (), commands.Connection.Unblocked()),
    (methods.CHANNEL_OPEN, ("0",), commands.Channel.Open()),
    (methods.CHANNEL_OPEN_OK, (b"0",), commands.Channel.OpenOk()),
    (methods.CHANNEL_CLOSE, (404, "gone", 60, 40), commands.Channel.Close(404, "gone", 60, 40)),
    (methods.CHANNEL_CLOSE_OK, (), commands.Channel.CloseOk()),
    (
        methods.EXCHANGE_DECLARE,
        (0, NAME, "topic", False, True, False, True, False, ARGUMENTS),
        commands.Exchange.Declare(0, NAME, "topic", durable=True, internal=True, arguments=ARGUMENTS),
    ),
    (methods.EXCHANGE_DECLARE_OK, (), commands.Exchange.DeclareOk()),
    (
        methods.EXCHANGE_BIND,
        (0, "to", "from", "key.#", False, ARGUMENTS),
        commands.Exchange.Bind(0, "to", "from", "key.#", arguments=ARGUMENTS),
    ),
    (methods.EXCHANGE_BIND_OK, (), commands.Exchange.BindOk()),
    (
        methods.QUEUE_DECLARE,
        (0, NAME, True, False, True, False, False, ARGUMENTS),
        commands.Queue.Declare(0, NAME, passive=True, exclusive=True, arguments=ARGUMENTS),
    ),
    (methods.QUEUE_DECLARE_OK, (NAME, 2**32 - 1, 3), commands.Queue.DeclareOk(NAME, 2**32 - 1, 3)),
    (
        methods.QUEUE_BIND,
        (0, NAME, "orders", "placed.*", False, ARGUMENTS),
        commands.Queue.Bind(0, NAME, "orders", "placed.*", arguments=ARGUMENTS),
    ),
    (methods.QUEUE_BIND_OK, (), commands.Queue.BindOk()),
    (methods.QUEUE_DELETE, (0, NAME, False, True, False), commands.Queue.Delete(0, NAME, if_empty=True)),
    (methods.QUEUE_DELETE_OK, (7,), commands.Queue.DeleteOk(7)),
    (methods.QUEUE_PURGE, (0, NAME, False), commands.Queue.Purge(0, NAME)),
    (methods.QUEUE_PURGE_OK, (7,), commands.Queue.PurgeOk(7)),
    (
        methods.QUEUE_UNBIND,
        (0, NAME, "orders", "placed.*", ARGUMENTS),
        commands.Queue.Unbind(0, NAME, "orders", "placed.*", ARGUMENTS),
    ),
    (methods.QUEUE_UNBIND_OK, (), commands.Queue.UnbindOk()),
    (methods.BASIC_QOS, (0, 65535, True), commands.Basic.Qos(0, 65535, global_=True)),
    (methods.BASIC_QOS_OK, (), commands.Basic.QosOk()),
    (
        methods.BASIC_CONSUME,
        (0, NAME, "tag", False, True, False, True, {}),
        commands.Basic.Consume(0, NAME, "tag", no_ack=True, nowait=True),
    ),
    (methods.BASIC_CONSUME_OK, ("tag",), commands.Basic.ConsumeOk("tag")),
    (methods.BASIC_CANCEL, ("tag", True), commands.Basic.Cancel("tag", nowait=True)),
    (methods.BASIC_CANCEL_OK, ("tag",), commands.Basic.CancelOk("tag")),
    (methods.BASIC_RETURN, (312, "NO_ROUTE", "orders", "a.b"), commands.Basic.Return(312, "NO_ROUTE", "orders", "a.b")),
    (methods.CONFIRM_SELECT, (False,), commands.Confirm.Select()),
    (methods.CONFIRM_SELECT_OK, (), commands.Confirm.SelectOk()),
]
each_method = pytest.mark.parametrize(
    ("method", "values", "theirs"), SPOKEN, ids=[method.name for method, _, _ in SPOKEN]
)


def test_every_method_is_tried() -> None:
    assert {method.number for method, _, _ in SPOKEN} == {
        each.number for each in vars(methods).values() if isinstance(each, Method)
    }


def payload(theirs: Frame) -> bytes:
    return frame.marshal(theirs, 0)[7:-1]


@each_method
def test_a_method_is_written_as_another_client_writes_it(
    method: Method, values: tuple[object, ...], theirs: Frame
) -> None:
    encoded = method.encode(*values)
    read = cast("Frame", frame.unmarshal(b"\x01\x00\x00" + len(encoded).to_bytes(4) + encoded + b"\xce")[2])
    assert dict(read) == dict(cast("Frame", frame.unmarshal(frame.marshal(theirs, 0))[2]))
    assert method.name.replace("-", "").replace(".", "") == read.name.replace(".", "").lower()


@each_method
def test_a_method_is_read_as_another_client_writes_it(
    method: Method, values: tuple[object, ...], theirs: Frame
) -> None:
    written = payload(theirs)
    assert methods.number(written) == method.number
    assert method.decode(written) == values


@each_method
def test_a_method_comes_back_as_it_was_and_is_refused_when_it_is_cut(
    method: Method, values: tuple[object, ...], theirs: Frame
) -> None:
    del theirs
    encoded = method.encode(*values)
    assert method.decode(encoded) == values
    for end in range(4, len(encoded)):
        with pytest.raises(MalformedTable):
            method.decode(encoded[:end])


def test_bits_share_octets_and_begin_anew_behind_another_field() -> None:
    method = Method("test", (1, 2), "b" * 9 + "ob")
    values = (True, False, True, False, False, False, False, True, True, 1, True)
    assert method.encode(*values) == b"\x00\x01\x00\x02\x85\x01\x01\x01"
    assert method.decode(method.encode(*values)) == values


@pytest.mark.parametrize(
    ("method", "values"),
    [
        (methods.QUEUE_PURGE, (0, "q" * 256, False)),
        (methods.QUEUE_PURGE, (0, "ü" * 128, False)),
        (methods.QUEUE_PURGE, (0, "\ud800", False)),
        (methods.BASIC_QOS, (0, 65536, False)),
        (methods.BASIC_QOS, (-1, 1, False)),
        (methods.QUEUE_DECLARE, (0, "q", False, True, False, False, False, {"x": 2**63})),
    ],
)
def test_what_does_not_fit_is_refused(method: Method, values: tuple[object, ...]) -> None:
    with pytest.raises(MalformedTable):
        method.encode(*values)


def test_a_method_has_as_many_values_as_fields() -> None:
    with pytest.raises(ValueError, match=r"queue\.purge has 3 fields, and 1 were given"):
        methods.QUEUE_PURGE.encode(0)


def test_a_frame_without_a_method_is_refused() -> None:
    with pytest.raises(MalformedTable, match="too short"):
        methods.number(b"\x00\x0a\x00")


def test_whatever_becomes_of_the_bytes_they_are_a_method_or_malformed() -> None:
    random = Random(13)  # noqa: S311 -- the same each time
    refused = 0
    for _ in range(4_000):
        method, values, _ = cast("tuple[Method, tuple[Any, ...], Frame]", random.choice(SPOKEN))
        bad = bytearray(method.encode(*values))
        for _ in range(random.randint(1, 3)):
            bad[random.randrange(len(bad))] = random.randrange(256)
        try:
            assert len(method.decode(bytes(bad))) == len(method.fields)
        except MalformedTable:
            refused += 1
    assert 200 < refused < 4_000
