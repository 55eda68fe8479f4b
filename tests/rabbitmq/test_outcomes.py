import asyncio
from asyncio import Future

import pytest

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import SendFailed, SendRefused, SendUnknown, Unroutable
from msgkit.spi.absent import absent
from msgkit_rabbitmq.mapping import encoded
from msgkit_rabbitmq.outcomes import (
    Fate,
    Send,
    fates,
    is_alike,
    is_equal,
    nobody_takes,
    not_stored,
    refusal,
    unconfirmed,
)
from msgkit_rabbitmq.wire import (
    ChannelClosed,
    ConnectionLost,
    Returned,
    WireError,
    decode_properties,
    encode_properties,
)

ABSENT = ChannelClosed(404, "NOT_FOUND - no exchange 'orders' in vhost '/'")
DENIED = ChannelClosed(403, "ACCESS_REFUSED - write access to exchange 'orders' in vhost '/' refused for user 'app'")
TOO_LARGE = ChannelClosed(406, "PRECONDITION_FAILED - message size 11 is larger than configured max size 10")
LOST = ConnectionLost("reset by the peer")


def send(size: int = 3, message_id: str = "m", kind: Kind = Kind.EXCHANGE, subject: str | None = "placed") -> Send:
    envelope = Envelope(b"x" * size, "orders", kind, message_id, subject=subject)
    future: Future[Receipt] = asyncio.get_running_loop().create_future()
    is_routed = kind is Kind.EXCHANGE
    key = (subject or "") if is_routed else "orders"
    return Send(envelope, future, "orders" if is_routed else "", key.encode(), encoded(envelope))


def told(fate: Fate, sends: list[Send]) -> list[type[SendFailed] | None]:
    """Return how each ends, of which no two ends may be told; None: it is written again."""
    ends: dict[int, type[SendFailed] | None] = {}
    for each, error in fate.failed:
        assert isinstance(error, SendFailed)
        assert ends.setdefault(id(each), type(error)) is type(error)
    for each in fate.again:
        assert id(each) not in ends
        ends[id(each)] = None
    assert len(fate.failed) + len(fate.again) == len(sends)
    return [ends[id(each)] for each in sends]


# -- when a channel is closed


@pytest.mark.parametrize("error", [ABSENT, DENIED, TOO_LARGE, LOST])
async def test_nothing_becomes_of_nothing(error: WireError) -> None:
    assert fates([], error) == Fate([])


@pytest.mark.parametrize(
    ("error", "last"), [(ABSENT, Unroutable), (DENIED, SendRefused), (LOST, SendUnknown)], ids=["404", "403", "lost"]
)
@pytest.mark.parametrize("count", [1, 2, 5])
async def test_of_those_to_an_exchange_that_takes_none_the_last_is_known_to_be_refused(
    error: WireError, last: type[SendFailed], count: int
) -> None:
    sends = [send() for _ in range(count)]
    assert told(fates(sends, error), sends) == [*[SendUnknown] * (count - 1), last]


async def test_the_end_says_what_the_broker_said() -> None:
    for error, text in (
        (ABSENT, "exchange 'orders' does not exist"),
        (DENIED, "exchange 'orders': ACCESS_REFUSED - write access to exchange"),
        (LOST, "there was no confirm before the connection was lost: reset by the peer"),
        (TOO_LARGE, "the broker takes no message of 1,234 bytes, at most 10"),
    ):
        ((_, found),) = fates([send(1234)], error).failed
        assert str(found).startswith(text)


@pytest.mark.parametrize(
    ("sizes", "ends"),
    [
        ([11], [SendRefused]),
        ([10, 11], [SendUnknown, SendRefused]),
        ([11, 3], [SendRefused, None]),
        ([3, 10, 11, 3, 3], [SendUnknown, SendUnknown, SendRefused, None, None]),
        # The second of these has to be refused for itself.
        ([3, 11, 12], [SendUnknown, SendRefused, None]),
        # Not one of ours was it, as far as we can tell.
        ([10, 3], [SendUnknown, SendUnknown]),
    ],
)
async def test_one_that_is_too_large_is_refused_and_those_behind_it_are_written_again(
    sizes: list[int], ends: list[type[SendFailed] | None]
) -> None:
    sends = [send(size) for size in sizes]
    fate = fates(sends, TOO_LARGE)
    assert told(fate, sends) == ends
    assert list(fate.again) == [each for each, end in zip(sends, ends, strict=True) if end is None]


@pytest.mark.parametrize(
    "error",
    [
        ChannelClosed(406, "PRECONDITION_FAILED - unknown delivery tag 3"),
        ChannelClosed(541, "INTERNAL_ERROR"),
        ChannelClosed(0, "message size 11 is larger than configured max size 10"),
        LOST,
    ],
)
async def test_whatever_else_closes_a_channel_nobody_knows_what_was_stored(error: WireError) -> None:
    sends = [send(11), send(3)]
    assert told(fates(sends, error), sends) == [SendUnknown, SendUnknown]


def test_an_exchange_that_is_not_there_and_one_that_is_not_ours_are_told_apart() -> None:
    assert isinstance(refusal("orders", ABSENT), Unroutable)
    denied = refusal("orders", DENIED)
    assert not isinstance(denied, Unroutable)
    assert "ACCESS_REFUSED" in str(denied)


def test_what_was_not_confirmed_may_be_there() -> None:
    assert type(unconfirmed(LOST)) is SendUnknown


# -- when a queue refuses


@pytest.mark.parametrize(
    ("kind", "error"), [(Kind.QUEUE, SendRefused), (Kind.REPLY, SendRefused), (Kind.EXCHANGE, SendUnknown)]
)
async def test_one_queue_that_refuses_is_sure_and_one_of_several_is_not(kind: Kind, error: type[SendFailed]) -> None:
    found = not_stored(send(kind=kind))
    assert type(found) is error
    assert "'orders'" in str(found)


@pytest.mark.parametrize(
    ("kind", "subject", "text"),
    [
        (Kind.EXCHANGE, "placed", "no queue takes 'placed' from exchange 'orders'"),
        (Kind.EXCHANGE, None, "no queue takes '' from exchange 'orders'"),
        (Kind.QUEUE, None, absent("queue 'orders'")),
        (Kind.REPLY, None, "nobody waits for replies at 'orders' any more"),
    ],
)
async def test_it_is_said_who_does_not_take_a_message(kind: Kind, subject: str | None, text: str) -> None:
    assert nobody_takes(send(kind=kind, subject=subject)) == text


# -- when a message comes back


def back(sent: Send, *, key: str = "placed", body: bytes = b"xxx", properties: bytes | None = None) -> Returned:
    return Returned(312, "NO_ROUTE", "orders", key, sent.properties if properties is None else properties, body)


async def test_a_message_that_came_back_is_known_again() -> None:
    for sent, key in ((send(), "placed"), (send(subject="größe"), "größe")):
        assert is_equal(sent, back(sent, key=key))
        assert is_alike(sent, back(sent, key=key))


async def test_a_message_is_known_again_when_it_was_written_anew_or_answers_go_elsewhere() -> None:
    sent = send()
    properties = decode_properties(sent.properties)._replace(headers={"n": 1})
    sent.properties = encode_properties(properties)
    # A number of one byte, where ours has eight.
    shorter = sent.properties.replace(b"\x0b\x01nl" + bytes(7), b"\x04\x01nb")
    elsewhere = encode_properties(properties._replace(reply_to="elsewhere"))
    for written in (shorter, elsewhere):
        assert written != sent.properties
        assert is_alike(sent, back(sent, properties=written))
        assert not is_equal(sent, back(sent, properties=written))


async def test_another_message_is_another() -> None:
    sent = send()
    correlated = decode_properties(sent.properties)._replace(correlation_id="c")
    for other in (
        back(sent, key="placed.eu"),
        back(sent, body=b"yyy"),
        back(sent, properties=send(message_id="n").properties),
        back(sent, properties=encode_properties(correlated)),
        back(sent, properties=encode_properties(correlated._replace(correlation_id=None, headers={"n": 1}))),
        back(sent, properties=b"\xff"),
    ):
        assert not is_alike(sent, other)
        assert not is_equal(sent, other)


# -- one on its way


async def test_a_send_fails_once_and_not_at_all_after_it_was_given_up() -> None:
    one, other = send(), send()
    first = SendRefused("first")
    one.fail(first)
    one.fail(SendUnknown("second"))
    assert one.future.exception() is first
    other.future.cancel()
    other.fail(first)
    assert other.future.cancelled()


async def test_two_sends_of_one_message_are_two() -> None:
    one = send()
    assert one != Send(one.envelope, one.future, one.exchange, one.key, one.properties)
    assert one.is_to_one_queue is False
    assert send(kind=Kind.REPLY).is_to_one_queue


async def test_a_send_is_delayed_that_goes_to_another_exchange_than_its_own() -> None:
    assert not send().is_delayed
    assert not send(kind=Kind.QUEUE).is_delayed
    for kind in (Kind.EXCHANGE, Kind.QUEUE):
        waiting = send(kind=kind)
        waiting.exchange = "msgkit.delay.0"
        assert waiting.is_delayed
