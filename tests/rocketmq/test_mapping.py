"""Envelopes as RocketMQ's messages, and back."""

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from msgkit.dead_letters import dead_copy
from msgkit.envelope import Envelope, Kind
from msgkit.errors import InvalidMessage
from msgkit.policy import GiveUp
from msgkit.values import MAX_HEADERS, check_headers
from msgkit_rocketmq.client import properties
from msgkit_rocketmq.client.records import Record
from msgkit_rocketmq.mapping import MAX_PROPERTIES, Addressee, client_address, client_of, encoded, understood
from tests.envelopes import JOB, NOW, ORDER

ORDERS = Addressee(Kind.EXCHANGE, "orders")
JOBS = Addressee(Kind.QUEUE, "jobs")


def stored(body: bytes, text: str) -> Record:
    """Return a message as a broker hands it out."""
    named = properties.decode(text)
    return Record("t", 3, 7, 900, 0, 1_715_947_200_125, 1_715_947_200_130, 0, 0, body, named, "7F000001")


def again(envelope: Envelope, returned: int = 0) -> Envelope:
    """Take the way through a broker."""
    body, said = encoded(envelope)
    assert body, "it has none"
    return understood(stored(body, properties.encode(said)), Addressee(envelope.kind, envelope.destination), returned)


def foreign(said: Mapping[str, str], body: bytes = b"v") -> Record:
    return stored(body, properties.encode(said))


def changed(envelope: Envelope, field: str, value: object) -> Envelope:
    fields: dict[str, Any] = {field: value}
    return envelope._replace(**fields)


# -- there and back


def test_all_that_an_envelope_says_comes_back() -> None:
    assert again(ORDER) == ORDER
    assert again(JOB) == JOB


@pytest.mark.parametrize(
    "field",
    sorted({*Envelope._fields} - {"body", "destination", "kind", "message_id", "delay", "deliver_at", "require_route"}),
)
def test_each_field_may_be_the_only_one_that_is_set_or_not(field: str) -> None:
    default = NOW if field == "sent_at" else Envelope._field_defaults[field]
    alone = changed(Envelope(b"\x00\xff", "orders", Kind.EXCHANGE, "m", sent_at=NOW), field, getattr(ORDER, field))
    assert again(alone) == alone
    others = changed(ORDER, field, default)
    assert again(others) == others


TEXTS = ["key", "subject", "type", "content_type", "correlation_id", "reply_to"]


@pytest.mark.parametrize("field", ["message_id", *TEXTS])
@pytest.mark.parametrize("text", ["ü" * 1024, "\x00\r\n\x01\x02\x03", "\x03", "\x031", "订单 🜁"])
def test_any_text_is_kept(field: str, text: str) -> None:
    envelope = changed(ORDER, field, text)
    assert again(envelope) == envelope


@pytest.mark.parametrize("field", TEXTS)
def test_an_empty_text_is_not_none(field: str) -> None:
    envelope = changed(ORDER, field, "")
    assert again(envelope) == envelope


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0", bytes(range(256))])
def test_any_body_is_kept_and_an_empty_one_is_none_to_us_only(body: bytes) -> None:
    assert again(JOB._replace(body=body)).body == body
    assert encoded(JOB._replace(body=body)).body == (body or b"\0")


def test_times_keep_their_fractions_and_numbers_their_size() -> None:
    envelope = JOB._replace(sent_at=0.1 + 0.2, expires_at=1e10 + 1e-6, attempt=1 << 40)
    assert again(envelope) == envelope
    assert again(JOB._replace(sent_at=None)).sent_at == 1_715_947_200.125


def test_what_the_broker_counts_is_added_to_the_attempts_that_a_copy_names() -> None:
    assert again(JOB, returned=4).attempt == 5
    assert again(JOB._replace(attempt=3), returned=4).attempt == 7


def test_what_other_programs_read_stands_where_they_look_for_it() -> None:
    body, said = encoded(ORDER)
    assert body == b'{"total": 3}'
    assert said == {
        "UNIQ_KEY": "m-1",
        "TAGS": "placed.eu",
        "__SHARDINGKEY": "customer-7",
        "msgkit-type": "OrderPlaced",
        "msgkit-correlation": "c-1",
        "msgkit-reply-to": "answers",
        "msgkit-sent": "1715947200.125461",
        "msgkit-attempt": "3",
        "msgkit-expires": "1715947260.5",
        "msgkit-priority": "4",
        "content-type": "application/json",
        "TTL": "60375",
        "trace": "abc",
        "größe": "zwölf",
    }
    assert encoded(Envelope(b"", "jobs", Kind.QUEUE, "m")).properties == {"UNIQ_KEY": "m", "msgkit-empty": "true"}


def test_who_waits_for_an_answer_is_told_as_by_clients_of_java() -> None:
    asked = ORDER._replace(reply_to=client_address("DefaultCluster", "till@7#1"))
    said = encoded(asked).properties
    assert (said["REPLY_TO_CLIENT"], said["CORRELATION_ID"]) == ("till@7#1", "c-1")
    # The broker adds where it belongs to.
    found = understood(stored(b"?", properties.encode({**said, "CLUSTER": "DefaultCluster"})), ORDERS)
    assert (found.reply_to, found.correlation_id) == (asked.reply_to, "c-1")
    java = {"CORRELATION_ID": "x", "REPLY_TO_CLIENT": "10.0.0.1@9", "CLUSTER": "prod", "TTL": "3000"}
    theirs = foreign(java)
    envelope = understood(theirs, ORDERS)
    assert (envelope.correlation_id, envelope.headers) == ("x", {})
    assert client_of(envelope.reply_to or "") == ("prod", "10.0.0.1@9")


@pytest.mark.parametrize("address", ["", "answers", "rocketmq-client:", "rocketmq-client:c", "rocketmq-client:/x"])
def test_other_addresses_are_of_no_client(address: str) -> None:
    assert client_of(address) is None


# -- headers


VALUES: dict[str, str | int | float | bool | bytes | datetime] = {
    "text": "zwölf",
    "empty": "",
    "controls": "\x00\x01\x02\x03\n",
    "like a number": "1",
    "like truth": "true",
    "true": True,
    "false": False,
    "zero": 0,
    "least": -(1 << 63),
    "most": (1 << 63) - 1,
    "whole float": 1.0,
    "minus nothing": -0.0,
    "tiny": 5e-324,
    "bytes": b"\x00\x01\x02\xff",
    "no bytes": b"",
    "utc": datetime(2024, 5, 17, 12, 0, 0, 123_456, tzinfo=UTC),
    "west": datetime(2024, 5, 17, 12, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
    "early": datetime.min.replace(tzinfo=UTC),
    "a,b;c=d%2C": 7,
    "%": 8,
    "=": b"9",
    "größe": 10,
}


def test_headers_keep_their_types() -> None:
    found = again(JOB._replace(headers=VALUES)).headers
    assert found == VALUES
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in VALUES.items()}
    minus = found["minus nothing"]
    assert isinstance(minus, float)
    assert math.copysign(1, minus) == -1


def test_values_are_written_so_that_people_can_read_them() -> None:
    at = datetime(2024, 5, 17, tzinfo=UTC)
    said = encoded(JOB._replace(headers={"n": 5, "f": 0.5, "yes": True, "at": at, "b": b"\xff"}, sent_at=None))
    assert said.properties == {
        "UNIQ_KEY": "m-2",
        "n": "5",
        "f": "0.5",
        "yes": "true",
        "at": "2024-05-17T00:00:00+00:00",
        "b": "/w==",
        "msgkit-kinds": "int=n;float=f;bool=yes;time=at;bytes=b",
        "msgkit-empty": "true",
    }


OURS = ["content-type", "msgkit-kinds", "msgkit-empty", "msgkit-attempt", "msgkit-user-", "msgkit-user-content-type"]


@pytest.mark.parametrize("name", [*OURS, *sorted(properties.RESERVED), "__RMQ.TRANSIENT.x"])
@pytest.mark.parametrize("value", ["text", "", 1, b"\x02"])
def test_a_header_that_is_called_like_something_else_means_nothing_to_anybody(name: str, value: str | int) -> None:
    envelope = ORDER._replace(headers={name: value})
    assert again(envelope) == envelope
    said, before = encoded(envelope).properties, encoded(ORDER._replace(headers={})).properties
    acted_on = {each for each in said if properties.is_reserved(each)} - {*before}
    assert acted_on <= {"KEYS"}, "by which messages are only looked up"


def test_a_header_and_its_disguise_are_two() -> None:
    names = ("content-type", "msgkit-user-content-type", "msgkit-user-msgkit-user-content-type")
    envelope = JOB._replace(headers={name: f"is {name}" for name in names})
    assert again(envelope) == envelope


@pytest.mark.parametrize("bad", [{"x": None}, {"x": [1]}, {"x": "\ud800"}, {"\ud800": "x"}, {"\ud800": 1}])
def test_a_header_that_cannot_be_written_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        encoded(JOB._replace(headers=bad))


@pytest.mark.parametrize("field", ["message_id", "key", "subject", "type", "content_type", "correlation_id"])
def test_half_a_character_is_refused_and_not_shown(field: str) -> None:
    with pytest.raises(InvalidMessage, match="holds half a character") as refused:
        encoded(changed(ORDER, field, "secret\ud800"))
    assert ("secret" in str(refused.value)) == (field == "message_id")


def test_more_than_a_message_has_room_for_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidMessage, match=r"has 40,0.. bytes of headers and keys; RocketMQ has room for 27,648"):
        encoded(JOB._replace(headers={"x": "y" * 40_000}))


def test_what_may_be_sent_may_become_a_dead_letter() -> None:
    # Each of these takes two bytes, as few others do.
    text = "y" * 8_000
    headers = {"controls": "\x01" * 8_000, "text": text}
    check_headers(headers)
    why = GiveUp("reason " * 1_000, ValueError("text " * 1_000))
    largest = ORDER._replace(headers=headers)
    while True:
        copy = dead_copy(largest, queue="jobs" * 30, to="jobs.dlq", why=why, attempts=3, now=NOW)
        assert properties.size_of(encoded(copy, is_copy=True).properties) <= MAX_PROPERTIES
        text += "y"
        larger = largest._replace(headers={**headers, "text": text})
        try:
            encoded(larger)
        except InvalidMessage:
            break
        largest = larger
    assert properties.size_of(encoded(largest).properties) > MAX_HEADERS


# -- messages of other programs


def test_a_bare_message_is_known_by_its_place() -> None:
    expected = Envelope(b"\xff", "orders", Kind.EXCHANGE, "7F000001", sent_at=1_715_947_200.125)
    assert understood(foreign({}, b"\xff"), ORDERS) == expected


def test_what_java_says_is_understood_and_what_the_broker_adds_is_not_shown() -> None:
    said = {
        "UNIQ_KEY": "AC11000100002A139A550AF6F3E60000",
        "TAGS": "placed",
        "KEYS": "order-1 order-2",
        "__SHARDINGKEY": "customer-7",
        "WAIT": "true",
        "CLUSTER": "DefaultCluster",
        "REAL_TOPIC": "orders",
        "TIMER_OUT_MS": "1",
        "POP_CK": "0 1 2",
        "contentType": "application/json",
    }
    record = foreign(said)
    envelope = understood(record, ORDERS)
    assert (envelope.subject, envelope.key, envelope.message_id) == ("placed", "customer-7", record.id)
    assert envelope.headers == {"KEYS": "order-1 order-2", "contentType": "application/json"}
    # Its copies are found by the same keys.
    assert encoded(envelope).properties["KEYS"] == "order-1 order-2"


def test_other_programs_may_say_what_we_say() -> None:
    said = {"msgkit-correlation": "c", "msgkit-reply-to": "r", "n": "5", "msgkit-kinds": "int=n"}
    envelope = understood(foreign(said), ORDERS)
    assert (envelope.correlation_id, envelope.reply_to, envelope.headers) == ("c", "r", {"n": 5})


HOSTILE = [
    ("msgkit-attempt", "two"),
    ("msgkit-attempt", "²"),
    ("msgkit-attempt", "9" * 50),
    ("msgkit-expires", "soon"),
    ("msgkit-expires", "1e300"),
    ("msgkit-sent", "nan"),
    ("msgkit-priority", "high"),
    ("msgkit-kinds", "="),
    ("msgkit-kinds", "int=x;bytes=b;time=t"),
    ("msgkit-empty", "no"),
    ("x", "one"),
    ("b", "%"),
    ("t", "\ud800"),
    ("TAGS", "\x03\x03"),
    ("\x03_", "x"),
    ("REPLY_TO_CLIENT", "x"),
]


def test_whatever_others_write_is_taken_for_what_it_is_and_nothing_is_raised() -> None:
    chance = random.Random(5)  # noqa: S311 -- the same each time
    for _ in range(2_000):
        said = dict(chance.sample(HOSTILE, chance.randint(1, 6)))
        envelope = understood(foreign(said, chance.randbytes(3)), ORDERS)
        assert envelope.attempt == 1
        assert envelope.expires_at is None
        assert envelope.sent_at == 1_715_947_200.125
