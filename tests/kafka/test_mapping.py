import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from msgkit.dead_letters import dead_copy
from msgkit.envelope import Envelope, Kind
from msgkit.errors import InvalidMessage
from msgkit.policy import GiveUp
from msgkit.spi.addresses import address, addressed
from msgkit.values import MAX_BODY, MAX_HEADERS, Headers, check_headers
from msgkit_kafka.mapping import (
    DUE,
    ORIGIN,
    TOMBSTONE,
    WAIT,
    Source,
    encoded,
    sent_on,
    size,
    told,
    understood,
)
from msgkit_kafka.options import MAX_RECORD
from msgkit_kafka.wire.records import NewRecord, Record, decode, encode
from tests.envelopes import JOB, NOW, ORDER

ORDERS = Source(Kind.EXCHANGE, "orders", "orders", 3)
JOBS = Source(Kind.QUEUE, "jobs", "jobs", 0)

Pairs = Sequence[tuple[str, bytes | None]]


def lying(record: NewRecord) -> Record:
    """Take the way through a log."""
    batch = encode([record], producer=-1, epoch=-1, sequence=-1)
    (found,) = decode(bytes(batch), position=0, committed_only=True).records
    return found


def again(envelope: Envelope, also: dict[str, str] | None = None) -> Envelope:
    source = Source(envelope.kind, envelope.destination, envelope.destination, 3)
    return understood(lying(encoded(envelope, NOW, also=also)), source)


def changed(envelope: Envelope, field: str, value: object) -> Envelope:
    fields: dict[str, Any] = {field: value}
    return envelope._replace(**fields)


def headers(envelope: Envelope) -> Pairs:
    return encoded(envelope, NOW)[2]


def foreign(*pairs: tuple[str, bytes | None], key: bytes | None = b"k", value: bytes | None = b"v") -> Record:
    return lying((key, value, pairs, 1_715_947_200_125))


# -- there and back


def test_all_that_an_envelope_says_comes_back() -> None:
    assert again(ORDER) == ORDER
    assert again(JOB) == JOB
    to_a_queue = ORDER._replace(kind=Kind.QUEUE, destination="jobs")
    assert again(to_a_queue) == to_a_queue


@pytest.mark.parametrize(
    "field",
    sorted({*Envelope._fields} - {"body", "destination", "kind", "message_id", "delay", "deliver_at", "require_route"}),
)
def test_each_field_may_be_the_only_one_that_is_set_or_not(field: str) -> None:
    default = NOW if field == "sent_at" else Envelope._field_defaults[field]
    for kind, name in ((Kind.EXCHANGE, "orders"), (Kind.QUEUE, "jobs"), (Kind.REPLY, "replies")):
        alone = changed(Envelope(b"\x00\xff", name, kind, "m", sent_at=NOW), field, getattr(ORDER, field))
        assert again(alone) == alone
        others = changed(ORDER._replace(kind=kind, destination=name), field, default)
        assert again(others) == others


@pytest.mark.parametrize("field", ["key", "subject", "type", "content_type", "correlation_id", "reply_to"])
@pytest.mark.parametrize("text", ["", "ü" * 1024, "\x00\r\n", "订单 🜁"])
def test_any_text_is_kept_and_an_empty_one_is_not_none(field: str, text: str) -> None:
    envelope = changed(ORDER, field, text)
    assert again(envelope) == envelope


def test_times_keep_their_fractions_and_numbers_their_size() -> None:
    envelope = JOB._replace(sent_at=0.1 + 0.2, expires_at=1e10 + 1e-6, attempt=1 << 40)
    assert again(envelope) == envelope
    assert again(JOB._replace(sent_at=-1.5)).sent_at == -1.5


def test_a_record_says_when_it_was_written_so_that_a_copy_of_what_is_old_is_not_deleted_early() -> None:
    assert encoded(JOB._replace(sent_at=5.0), NOW)[3] == 1_715_947_200_250
    # Who does not say when it was sent means this.
    assert again(JOB._replace(sent_at=None)).sent_at == 1_715_947_200.25


def test_what_other_programs_read_stands_where_they_look_for_it() -> None:
    key, value, pairs, _ = encoded(ORDER, NOW)
    assert (key, value) == (b"customer-7", b'{"total": 3}')
    assert dict(pairs) == {
        "msgkit-id": b"m-1",
        "msgkit-type": b"OrderPlaced",
        "msgkit-subject": b"placed.eu",
        "msgkit-correlation": b"c-1",
        "msgkit-reply-to": b"answers",
        "msgkit-sent": b"1715947200.125461",
        "msgkit-attempt": b"3",
        "msgkit-expires": b"1715947260.5",
        "msgkit-priority": b"4",
        "content-type": b"application/json",
        "trace": b"abc",
        "größe": "zwölf".encode(),
    }
    assert headers(Envelope(b"", "jobs", Kind.QUEUE, "m")) == [("msgkit-id", b"m")]


# -- headers


VALUES: dict[str, str | int | float | bool | bytes | datetime] = {
    "text": "zwölf",
    "empty": "",
    "like a number": "1",
    "like truth": "true",
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "least": -(1 << 63),
    "most": (1 << 63) - 1,
    "whole float": 1.0,
    "minus nothing": -0.0,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "bytes": b"\x00\xff",
    "text as bytes": b"abc",
    "no bytes": b"",
    "utc": datetime(2024, 5, 17, 12, 0, 0, 123_456, tzinfo=UTC),
    "west": datetime(2024, 5, 17, 12, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
    "odd": datetime(1883, 11, 18, 12, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
    "early": datetime.min.replace(tzinfo=UTC),
    "late": datetime.max.replace(tzinfo=UTC),
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


def test_times_keep_their_offset() -> None:
    found = again(JOB._replace(headers=VALUES)).headers
    for name, value in VALUES.items():
        if isinstance(value, datetime):
            there = found[name]
            assert isinstance(there, datetime)
            assert there.utcoffset() == value.utcoffset()


def test_values_are_written_so_that_people_can_read_them() -> None:
    at = datetime(2024, 5, 17, tzinfo=UTC)
    said: Headers = {"n": 5, "m": -6, "f": 0.5, "yes": True, "no": False, "at": at, "b": b"\xff"}
    assert dict(headers(JOB._replace(headers=said))) == {
        "msgkit-id": b"m-2",
        "msgkit-sent": b"1715947200.2509",
        "n": b"5",
        "m": b"-6",
        "f": b"0.5",
        "yes": b"true",
        "no": b"false",
        "at": b"2024-05-17T00:00:00+00:00",
        "b": b"\xff",
        "msgkit-kinds": b"int=n,m;float=f;bool=yes,no;time=at;bytes=b",
    }


USED = [
    "content-type",
    "msgkit-id",
    "msgkit-type",
    "msgkit-subject",
    "msgkit-correlation",
    "msgkit-reply-to",
    "msgkit-sent",
    "msgkit-expires",
    "msgkit-attempt",
    "msgkit-priority",
    "msgkit-kinds",
    "msgkit-user-",
    "msgkit-user-content-type",
    ORIGIN,
    DUE,
    WAIT,
]


@pytest.mark.parametrize("name", USED)
@pytest.mark.parametrize("value", ["text", 1, datetime(2024, 5, 17, tzinfo=UTC)])
def test_a_header_that_is_called_like_one_of_ours_means_nothing_to_us(name: str, value: str | int) -> None:
    envelope = ORDER._replace(headers={name: value})
    assert again(envelope) == envelope
    assert f"msgkit-user-{name}" in dict(headers(envelope))


@pytest.mark.parametrize("name", ["Content-Type", "contentType", "msgkit-dead-reason", "msgkit-ids", "__TypeId__", "%"])
def test_all_other_headers_are_called_what_they_are_called(name: str) -> None:
    envelope = JOB._replace(headers={name: "v"})
    assert dict(headers(envelope))[name] == b"v"
    assert again(envelope) == envelope


def test_a_header_and_its_disguise_are_two() -> None:
    names = ("content-type", "msgkit-user-content-type", "msgkit-user-msgkit-user-content-type")
    envelope = JOB._replace(headers={name: f"is {name}" for name in names})
    assert again(envelope) == envelope


@pytest.mark.parametrize(
    "bad", [{"x": None}, {"x": [1]}, {"x": "\ud800"}, {"\ud800": "x"}, {"\ud800": 1}, {"x": object()}]
)
def test_a_header_that_cannot_be_written_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        encoded(JOB._replace(headers=bad), NOW)


@pytest.mark.parametrize("field", ["message_id", "key", "subject", "type", "content_type", "correlation_id"])
def test_half_a_character_is_refused_and_not_shown(field: str) -> None:
    with pytest.raises(InvalidMessage, match="holds half a character") as refused:
        encoded(changed(ORDER, field, "secret\ud800"), NOW)
    assert ("secret" in str(refused.value)) == (field == "message_id")


# -- records of other programs


def test_a_bare_record_is_known_by_its_place_which_is_the_same_each_time() -> None:
    record = foreign(key=None, value=b"\xff")
    expected = Envelope(b"\xff", "orders", Kind.EXCHANGE, "orders/3/0", sent_at=1_715_947_200.125)
    assert understood(record, ORDERS) == expected
    assert understood(record, ORDERS) == expected
    assert understood(record, JOBS).message_id == "jobs/0/0"


def test_headers_of_other_programs_are_bytes() -> None:
    spring = {"__TypeId__": b"shop.OrderPlaced", "kafka_correlationId": b"\x00\x01"}
    envelope = understood(foreign(*spring.items(), ("content-type", b"application/json")), ORDERS)
    assert envelope.headers == spring
    assert envelope.content_type == "application/json"
    assert (envelope.type, envelope.correlation_id, envelope.reply_to) == (None, None, None)


def test_other_programs_may_say_what_we_say() -> None:
    envelope = understood(
        foreign(("msgkit-subject", b"placed.eu"), ("msgkit-correlation", b"c"), ("msgkit-reply-to", b"r"), ("x", b"y")),
        ORDERS,
    )
    assert (envelope.subject, envelope.correlation_id, envelope.reply_to) == ("placed.eu", "c", "r")
    assert envelope.headers == {"x": b"y"}


def test_of_headers_of_one_name_the_last_counts_and_without_a_value_there_is_none() -> None:
    assert understood(foreign(("a", b"1"), ("a", b"2"), ("b", b"3"), ("b", None)), ORDERS).headers == {"a": b"2"}


@pytest.mark.parametrize(
    ("timestamp", "moment"), [(-1, None), (0, 0.0), (1_715_947_200_125, 1_715_947_200.125), ((1 << 63) - 1, None)]
)
def test_the_time_of_a_record_is_when_it_was_sent_if_it_is_one(timestamp: int, moment: float | None) -> None:
    assert understood(lying((None, b"", [], timestamp)), ORDERS).sent_at == moment


def test_a_key_that_is_no_text_is_a_text_that_is_the_same_each_time() -> None:
    one, other = foreign(key=b"\xff\x00a"), foreign(key=b"\xfe\x00a")
    key = understood(one, ORDERS).key
    assert key == "\\xff\x00a"
    assert key.encode()
    assert understood(other, ORDERS).key != key
    assert understood(foreign(key=b""), ORDERS).key == ""


HOSTILE = [
    ("msgkit-attempt", b"two"),
    ("msgkit-attempt", b"-1"),
    ("msgkit-attempt", b"0"),
    ("msgkit-attempt", b"9" * 50),
    ("msgkit-subject", b"\xff"),
    ("msgkit-type", b"\xff"),
    ("msgkit-expires", b"soon"),
    ("msgkit-expires", b"inf"),
    ("msgkit-expires", b"1e300"),
    ("msgkit-expires", b"\xff"),
    ("msgkit-sent", b"nan"),
    ("msgkit-sent", b""),
    ("msgkit-priority", b"high"),
    ("msgkit-kinds", b"\xff"),
    ("msgkit-kinds", b""),
    ("msgkit-kinds", b";;=,,;%;int"),
    ("msgkit-kinds", b"int=%"),
    ("msgkit-id", b"\xff"),
    ("msgkit-id", b""),
    ("content-type", b"\xff"),
    (ORIGIN, b"orders"),
    (ORIGIN, b"exchange:"),
    (ORIGIN, b"elsewhere:orders"),
    (ORIGIN, b"\xff"),
    (DUE, b"\xff"),
    (WAIT, b"\xff"),
]


@pytest.mark.parametrize(("name", "raw"), [*HOSTILE, *((name, None) for name in sorted(dict(HOSTILE)))])
@pytest.mark.parametrize("is_ours", [True, False])
def test_what_is_wrong_under_our_names_is_not_said(name: str, raw: bytes | None, *, is_ours: bool) -> None:
    pairs = [("msgkit-id", b"m"), (name, raw)] if is_ours else [(name, raw)]
    is_known = is_ours and name != "msgkit-id"
    expected = Envelope(b"v", "jobs", Kind.QUEUE, "m" if is_known else "jobs/0/0", key="k", sent_at=1_715_947_200.125)
    record = foreign(*pairs)
    assert understood(record, JOBS) == expected
    copy = encoded(expected._replace(attempt=2), NOW, origin=record)
    assert understood(lying(copy), JOBS) == expected._replace(attempt=2)


@pytest.mark.parametrize("kind", ["int", "float", "bool", "time", "colour"])
@pytest.mark.parametrize("text", ["soon", "", "nan", "inf", "2024-05-17T12:00:00", "9" * 400, "TRUE", "0x10"])
def test_what_is_called_a_number_or_a_time_and_is_none_stays_text(kind: str, text: str) -> None:
    record = foreign(("msgkit-id", b"m"), ("x", text.encode()), ("msgkit-kinds", f"{kind}=x".encode()))
    assert understood(record, JOBS).headers == {"x": text}


def test_what_is_no_text_in_one_of_ours_is_bytes() -> None:
    record = foreign(("msgkit-id", b"m"), ("x", b"\xff"), ("n", b"\xfe"), ("msgkit-kinds", b"int=n"))
    assert understood(record, JOBS).headers == {"x": b"\xff", "n": b"\xfe"}


# -- tombstones


def test_a_record_without_a_value_is_told_from_an_empty_body() -> None:
    empty, nothing = foreign(value=b""), foreign(value=None)
    assert understood(empty, ORDERS).headers == {}
    envelope = understood(nothing, ORDERS)
    assert (envelope.body, envelope.headers) == (b"", {TOMBSTONE: True})


def test_a_tombstone_is_sent_by_its_header() -> None:
    tombstone = Envelope(b"", "orders", Kind.EXCHANGE, "m", {TOMBSTONE: True, "why": "gone"}, "k", sent_at=NOW)
    key, value, pairs, _ = encoded(tombstone, NOW)
    assert (key, value) == (b"k", None)
    assert [name for name, _ in pairs] == ["msgkit-id", "msgkit-sent", "why"]
    assert again(tombstone) == tombstone
    with pytest.raises(InvalidMessage, match="has no body, and this one has 4 bytes"):
        encoded(tombstone._replace(body=b"null"), NOW)


@pytest.mark.parametrize("value", [False, "yes", 1])
def test_only_true_makes_a_tombstone(value: str | int) -> None:
    envelope = JOB._replace(body=b"x", headers={TOMBSTONE: value})
    assert encoded(envelope, NOW)[1] == b"x"
    assert again(envelope) == envelope


def test_a_copy_of_a_tombstone_is_one() -> None:
    record = foreign(("x", b"y"), value=None)
    _, value, pairs, _ = encoded(understood(record, JOBS)._replace(attempt=2), NOW, origin=record)
    assert value is None
    assert TOMBSTONE not in dict(pairs)
    empty = foreign(value=b"")
    assert encoded(understood(empty, JOBS), NOW, origin=empty)[1] == b""


def test_nobody_can_call_a_tombstone_what_has_a_value() -> None:
    record = foreign(("msgkit-id", b"m"), (TOMBSTONE, b"true"), ("msgkit-kinds", f"bool={TOMBSTONE}".encode()))
    envelope = understood(record, JOBS)
    assert (envelope.body, envelope.headers) == (b"v", {})
    assert encoded(envelope, NOW, origin=record)[1] == b"v"


# -- copies


THEIRS: Pairs = [
    ("a", b"1"),
    ("content-type", b"text/plain"),
    ("a", b"\xff"),
    ("empty", b""),
    ("none", None),
    ("a", b"3"),
    ("größe", b"x"),
    ("a,b;c%", b"y"),
]


def dead(envelope: Envelope) -> Envelope:
    why = GiveUp("attempts", ValueError("no"))
    return dead_copy(envelope, queue="jobs", to="jobs.dlq", why=why, attempts=3, now=NOW)


def test_a_copy_keeps_what_another_program_wrote_byte_by_byte() -> None:
    record = foreign(*THEIRS, key=b"\xff\x00")
    envelope = understood(record, ORDERS)
    for _ in range(3):
        copy = dead(envelope)
        record = lying(encoded(copy, NOW, origin=record))
        assert record.key == b"\xff\x00"
        assert [pair for pair in record.headers if not pair[0].startswith("msgkit-")] == THEIRS
        there = understood(record, Source(Kind.QUEUE, "jobs.dlq", "jobs.dlq", 0))
        assert there == copy
        assert there.message_id == "orders/3/0"
        envelope = there


def test_what_was_changed_since_goes_before_what_it_was() -> None:
    record = foreign(("a", b"1"), ("a", b"2"), ("b", b"3"), ("none", None), ("content-type", b"text/plain"))
    envelope = understood(record, JOBS)
    changes = envelope._replace(headers={"a": b"new", "none": 5}, content_type="application/json", key="other")
    copy = lying(encoded(changes, NOW, origin=record))
    assert understood(copy, JOBS) == changes
    assert [pair for pair in copy.headers if not pair[0].startswith("msgkit-")] == [
        ("content-type", b"application/json"),
        ("a", b"new"),
        ("none", b"5"),
    ]
    assert copy.key == b"other"
    without = envelope._replace(headers={}, content_type=None, key=None)
    assert understood(lying(encoded(without, NOW, origin=record)), JOBS) == without


def test_what_looks_alike_and_is_of_another_kind_was_changed() -> None:
    record = lying(encoded(JOB._replace(headers={"n": 1}), NOW))
    for value in (True, 1.0, "1", b"1"):
        copy = JOB._replace(headers={"n": value}, attempt=2)
        found = understood(lying(encoded(copy, NOW, origin=record)), JOBS).headers["n"]
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("subject", [None, "", "placed.eu"])
@pytest.mark.parametrize(("kind", "destination"), [(Kind.EXCHANGE, "orders:eu"), (Kind.QUEUE, "jobs")])
def test_a_message_that_is_tried_again_is_still_addressed_as_it_was(
    kind: Kind, destination: str, subject: str | None
) -> None:
    original = ORDER._replace(kind=kind, destination=destination, subject=subject, attempt=1, headers=VALUES)
    record = lying(encoded(original, NOW))
    source = Source(kind, destination, destination, 0)
    for attempt in (2, 3):
        taken = understood(record, source)
        copy = taken._replace(kind=Kind.QUEUE, destination="jobs", attempt=attempt)
        also = {ORIGIN: address(taken.kind, taken.destination)}
        record, source = lying(encoded(copy, NOW, origin=record, also=also)), JOBS
        assert understood(record, source) == original._replace(attempt=attempt)


def test_a_dead_letter_is_one_of_its_own_queue() -> None:
    copy = dead(ORDER)
    first = lying(encoded(ORDER._replace(kind=Kind.QUEUE, destination="jobs"), NOW, also={ORIGIN: "exchange:orders"}))
    found = understood(lying(encoded(copy, NOW, origin=first)), Source(Kind.QUEUE, "jobs.dlq", "jobs.dlq", 0))
    assert found == copy


def test_a_delayed_message_goes_on_as_it_is() -> None:
    copy = ORDER._replace(kind=Kind.QUEUE, destination="jobs", headers=VALUES)
    way = {ORIGIN: "exchange:orders", DUE: "queue:jobs", WAIT: "5"}
    record = lying(encoded(copy, NOW, also=way))
    assert {name: told(record.headers, name) for name in (*way, "nothing")} == {**way, "nothing": None}
    assert told([*record.headers, (WAIT, b"6")], WAIT) == "6"
    for left in ("4", "0"):
        pairs = sent_on(record.headers, {DUE: "queue:jobs", WAIT: left})
        record = lying((record.key, record.value, pairs, record.timestamp))
        assert told(record.headers, WAIT) == left
    record = lying((record.key, record.value, sent_on(record.headers, {}), record.timestamp))
    assert (told(record.headers, WAIT), told(record.headers, DUE)) == (None, None)
    assert understood(record, JOBS) == ORDER._replace(headers=VALUES)


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("exchange:orders", (Kind.EXCHANGE, "orders")),
        ("queue:a:b", (Kind.QUEUE, "a:b")),
        ("reply:answers#3", (Kind.REPLY, "answers#3")),
        ("queue:", None),
        ("orders", None),
        ("", None),
        (None, None),
    ],
)
def test_a_destination_is_one_text(text: str | None, destination: tuple[Kind, str] | None) -> None:
    assert addressed(text) == destination
    if destination is not None:
        assert address(*destination) == text


# -- size


def test_a_size_is_no_less_than_what_is_written() -> None:
    for envelope in (JOB, ORDER, ORDER._replace(headers=VALUES, body=b"x" * 100_000)):
        record = encoded(envelope, NOW)
        written = len(encode([record], producer=-1, epoch=-1, sequence=-1))
        assert written <= size(record) <= written + 50


@pytest.mark.parametrize("value", ["", True, 1 << 62, b"", 0.1 + 0.2], ids=repr)
def test_the_largest_body_with_the_most_headers_fits_into_a_topic_of_ours(value: str | int) -> None:
    most = {f"{number:x}": value for number in range(MAX_HEADERS)}
    while True:
        try:
            check_headers(most)
            break
        except InvalidMessage:
            most = dict(list(most.items())[: len(most) * 9 // 10])
    envelope = ORDER._replace(body=b"x" * MAX_BODY, headers=most)
    assert size(encoded(envelope, NOW)) <= MAX_RECORD


# -- anything


def test_whatever_stands_in_a_record_it_is_read_and_a_copy_reads_the_same() -> None:
    chance = random.Random(7)  # noqa: S311 -- no secret
    names = [*USED, TOMBSTONE, "a", "b,c", "", "größe"]
    scraps = [
        b"",
        b"1",
        b"true",
        b"\xff",
        b"int=a;bool=b%2Cc,msgkit-tombstone",
        b"bytes=a;time=",
        b"queue:x",
        b"m",
        None,
    ]
    for _ in range(3000):
        pairs = [(chance.choice(names), chance.choice(scraps)) for _ in range(chance.randrange(9))]
        record = foreign(*pairs, key=chance.choice([None, b"", b"k", b"\xfe"]), value=chance.choice([None, b"", b"v"]))
        envelope = understood(record, JOBS)
        assert envelope.message_id
        also = {ORIGIN: address(envelope.kind, envelope.destination)}
        copy = lying(encoded(envelope._replace(attempt=2), NOW, origin=record, also=also))
        assert understood(copy, JOBS) == envelope._replace(attempt=2)
        assert (copy.key, copy.value) == (record.key, record.value)
