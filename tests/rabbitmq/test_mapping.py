import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.spi.addresses import address
from msgkit_rabbitmq.mapping import DUE, END, LEVEL, ORIGIN, encoded, header_name, times_back, understood
from msgkit_rabbitmq.wire import Delivered, MalformedTable, Properties, decode_properties, encode_properties
from tests import envelopes

# RabbitMQ keeps the time of sending in milliseconds.
ORDER = envelopes.ORDER._replace(sent_at=1_715_947_200.125)
JOB = Envelope(b"", "jobs", Kind.QUEUE, "m-2")


def arrived(
    envelope: Envelope, origin: Properties | None = None, also: Mapping[str, object] | None = None, queue: str = "jobs"
) -> Delivered:
    """Take the way of the publisher, and of a broker that changes nothing."""
    is_routed = envelope.kind is Kind.EXCHANGE
    exchange, key = (envelope.destination, envelope.subject or "") if is_routed else ("", queue)
    return Delivered(1, False, exchange, key, encoded(envelope, origin, also or {}), envelope.body)  # noqa: FBT003 -- never given back


def again(
    envelope: Envelope, origin: Properties | None = None, also: Mapping[str, object] | None = None, queue: str = "jobs"
) -> Envelope:
    return understood(arrived(envelope, origin, also, queue), queue).envelope


def changed(envelope: Envelope, field: str, value: object) -> Envelope:
    fields: dict[str, Any] = {field: value}
    return envelope._replace(**fields)


def written(envelope: Envelope, origin: Properties | None = None) -> Properties:
    return decode_properties(encoded(envelope, origin))


def headers(envelope: Envelope, origin: Properties | None = None) -> Mapping[str, object]:
    return written(envelope, origin).headers or {}


def foreign(key: str = "k", exchange: str = "shop", body: bytes = b"", **properties: Any) -> Delivered:
    encoded = encode_properties(Properties(message_id="theirs")._replace(**properties))
    return Delivered(1, False, exchange, key, encoded, body)  # noqa: FBT003 -- never given back


def given_back(**properties: Any) -> Delivered:
    return replace(foreign(**properties), redelivered=True)


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
    default = Envelope._field_defaults[field]
    for kind, name in ((Kind.EXCHANGE, "orders"), (Kind.QUEUE, "jobs")):
        alone = changed(Envelope(b"\x00\xff", name, kind, "m"), field, getattr(ORDER, field))
        assert again(alone) == alone
        others = changed(ORDER._replace(kind=kind, destination=name), field, default)
        assert again(others) == others


@pytest.mark.parametrize("subject", [None, "", "placed", "a.b.größe"])
@pytest.mark.parametrize("kind", [Kind.EXCHANGE, Kind.QUEUE])
def test_an_empty_subject_is_not_none(kind: Kind, subject: str | None) -> None:
    assert again(Envelope(b"", "jobs", kind, "m", subject=subject)).subject == subject


@pytest.mark.parametrize("field", ["key", "type", "content_type", "correlation_id", "reply_to"])
def test_an_empty_text_is_not_none(field: str) -> None:
    envelope = changed(ORDER, field, "")
    assert again(envelope) == envelope


@pytest.mark.parametrize("text", ["x" * 255, "x" * 256, "ü" * 127, "ü" * 128, "x" * 1024, "ü" * 1024])
@pytest.mark.parametrize("field", ["message_id", "correlation_id", "reply_to", "type", "content_type"])
def test_ids_and_types_may_be_longer_than_a_property(field: str, text: str) -> None:
    envelope = changed(ORDER, field, text)
    assert again(envelope) == envelope
    assert getattr(written(envelope), field) == (text if len(text.encode()) <= 255 else None)


def test_times_keep_their_fractions_and_numbers_their_size() -> None:
    envelope = JOB._replace(sent_at=0.1 + 0.2, expires_at=1e10 + 1e-6, attempt=1 << 40)
    assert again(envelope) == envelope


def test_what_amqp_has_a_property_for_stands_there_so_that_others_read_it() -> None:
    found = written(ORDER)
    assert found._replace(headers=None) == Properties(
        content_type="application/json",
        delivery_mode=2,
        priority=4,
        correlation_id="c-1",
        reply_to="answers",
        message_id="m-1",
        timestamp=1_715_947_200,
        type="OrderPlaced",
    )
    assert "msgkit-subject" not in headers(ORDER)
    assert headers(JOB) == {}


def test_a_time_before_1970_is_no_timestamp() -> None:
    envelope = JOB._replace(sent_at=-1.5)
    assert written(envelope).timestamp is None


# -- headers


VALUES: dict[str, str | int | float | bool | bytes | datetime] = {
    "text": "zwölf",
    "empty": "",
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "least": -(1 << 63),
    "most": (1 << 63) - 1,
    "whole float": 1.0,
    "tiny": 5e-324,
    "bytes": b"\x00\xff",
    "text as bytes": b"abc",
    "no bytes": b"",
    "utc": datetime(2024, 5, 17, 12, 0, 0, 123_456, tzinfo=UTC),
    "west": datetime(2024, 5, 17, 12, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
    "odd": datetime(1883, 11, 18, 12, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
    "early": datetime.min.replace(tzinfo=UTC),
    "late": datetime.max.replace(tzinfo=UTC),
}


def test_headers_keep_their_types() -> None:
    found = again(JOB._replace(headers=VALUES)).headers
    assert found == VALUES
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in VALUES.items()}


def test_times_keep_their_offset() -> None:
    found = again(JOB._replace(headers=VALUES)).headers
    for name, value in VALUES.items():
        if isinstance(value, datetime):
            there = found[name]
            assert isinstance(there, datetime)
            assert there.utcoffset() == value.utcoffset()


USED = [
    "CC",
    "BCC",
    "x-match",
    "x-death",
    "x-first-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
    "x-acquired-count",
    "msgkit-key",
    "msgkit-subject",
    "msgkit-attempt",
    "msgkit-expires",
    "msgkit-sent",
    "msgkit-times",
    "msgkit-bytes",
    "msgkit-user-",
    "msgkit-user-CC",
    "msgkit-long-message_id",
    f"{LEVEL}3",
    DUE,
    END,
    ORIGIN,
]


@pytest.mark.parametrize("name", USED)
@pytest.mark.parametrize("value", ["text", 1, datetime(2024, 5, 17, tzinfo=UTC)])
def test_a_header_that_is_called_like_what_others_use_means_nothing_to_them(name: str, value: str | int) -> None:
    envelope = ORDER._replace(headers={name: value})
    assert again(envelope) == envelope
    assert f"msgkit-user-{name}" in headers(envelope)
    assert headers(envelope).get(name) != value


@pytest.mark.parametrize("name", ["cc", "x-trace", "msgkit-dead-reason", "msgkit-keys", "X-Death", "x-deaf"])
def test_all_other_headers_are_called_what_they_are_called(name: str) -> None:
    envelope = JOB._replace(headers={name: "v"})
    assert headers(envelope) == {name: "v"}
    assert again(envelope) == envelope
    assert header_name(name) == name


def test_a_header_and_its_disguise_are_two() -> None:
    envelope = JOB._replace(headers={"CC": "a", "msgkit-user-CC": "b", "msgkit-user-msgkit-user-CC": "c"})
    assert again(envelope) == envelope


def test_what_does_not_fit_is_said_before_anything_is_written() -> None:
    with pytest.raises(MalformedTable, match="at most"):
        encoded(JOB._replace(headers={"x": "y" * 131_040}))
    with pytest.raises(MalformedTable):
        encoded(JOB._replace(headers={"x" * 256: "y"}))
    with pytest.raises(MalformedTable):
        encoded(JOB._replace(priority=256))


# -- messages of other programs


def test_a_bare_message_is_one_of_its_queue_with_an_id_of_its_own() -> None:
    message = Delivered(1, False, "", "jobs", encode_properties(Properties()), b"\xff")  # noqa: FBT003 -- never given back
    one, other = understood(message, "jobs").envelope, understood(message, "jobs").envelope
    assert one.message_id
    assert one.message_id != other.message_id
    assert one == Envelope(b"\xff", "jobs", Kind.QUEUE, one.message_id)


def test_a_routed_message_is_one_of_its_exchange_and_its_key_is_the_subject() -> None:
    envelope = understood(foreign("placed.eu", "shop"), "jobs").envelope
    assert (envelope.kind, envelope.destination, envelope.subject) == (Kind.EXCHANGE, "shop", "placed.eu")
    assert understood(foreign(""), "jobs").envelope.subject is None


@pytest.mark.parametrize(
    ("timestamp", "moment"),
    [
        (0, 0.0),
        (1_715_947_200, 1_715_947_200.0),
        (1_715_947_200_125, 1_715_947_200.125),
        (253_402_300_799, 253_402_300_799.0),
        (253_402_300_800, 253_402_300.8),
        ((1 << 64) - 1, None),
    ],
)
def test_a_timestamp_may_be_in_milliseconds_and_one_that_is_no_time_is_none(
    timestamp: int, moment: float | None
) -> None:
    assert understood(foreign(timestamp=timestamp), "jobs").envelope.sent_at == moment


def test_tables_lists_and_decimals_are_read_as_text_and_nothing_is_left_out() -> None:
    theirs = {
        "table": {"a": 1, "b": {"c": b"\xff"}},
        "list": [1, "zwölf", None],
        "price": Decimal("1.50"),
        "times": [datetime(2024, 5, 17, tzinfo=UTC)],
        "nothing": None,
        "time": datetime(2024, 5, 17, tzinfo=UTC),
    }
    assert understood(foreign(headers=theirs), "jobs").envelope.headers == {
        "table": '{"a": 1, "b": {"c": "ÿ"}}',
        "list": '[1, "zwölf", null]',
        "price": "1.5",
        "times": '["2024-05-17T00:00:00+00:00"]',
        "time": datetime(2024, 5, 17, tzinfo=UTC),
    }


@pytest.mark.parametrize("encoding", [None, "", "utf-8", "UTF8", "binary", "identity"])
def test_an_encoding_that_says_nothing_is_not_said(encoding: str | None) -> None:
    assert understood(foreign(content_encoding=encoding), "jobs").envelope.headers == {}


def test_an_encoding_that_has_to_be_undone_is_a_header() -> None:
    assert understood(foreign(content_encoding="gzip"), "jobs").envelope.headers == {"content-encoding": "gzip"}


@pytest.mark.parametrize(
    "theirs",
    [
        {"msgkit-attempt": "two"},
        {"msgkit-attempt": -1},
        {"msgkit-key": 7},
        {"msgkit-subject": [1]},
        {"msgkit-expires": "soon"},
        {"msgkit-sent": math.nan},
        {"msgkit-times": "x"},
        {"msgkit-times": "7"},
        {"msgkit-times": ["at"]},
        {"msgkit-times": "[" * 5000},
        {"msgkit-bytes": "[" * 5000},
        {"msgkit-bytes": '{"at": 1}'},
        {END: "far"},
        {ORIGIN: 3},
        {DUE: None},
        {"x-delivery-count": "many"},
        {"x-delivery-count": -3},
    ],
)
def test_what_others_write_under_our_names_is_no_reason_to_fail(theirs: Mapping[str, object]) -> None:
    taken = understood(replace(foreign("jobs", "", headers=theirs), redelivered=True), "jobs")
    assert taken.envelope == Envelope(b"", "jobs", Kind.QUEUE, "theirs")
    assert taken.returned == 0


@pytest.mark.parametrize("text", ["soon", "2024-05-17T12:00:00", ""])
def test_what_is_called_a_time_and_is_none_stays_text(text: str) -> None:
    theirs = {"at": text, "msgkit-times": '["at", ["x"], {"y": 1}, null]'}
    assert understood(foreign(headers=theirs), "jobs").envelope.headers == {"at": text}


@pytest.mark.parametrize("text", ["abc", "", "größe"])
def test_bytes_that_the_broker_gives_back_as_text_are_bytes(text: str) -> None:
    octets = text.encode()
    written = headers(JOB._replace(headers={"CC": octets, "octets": octets, "text": text}))
    came = {name: value.decode() if isinstance(value, bytes) else value for name, value in written.items()}
    found = understood(foreign(headers=came), "jobs").envelope.headers
    assert found == {"CC": octets, "octets": octets, "text": text}


def test_how_often_a_message_was_given_back_is_told_beside_the_envelope() -> None:
    counted = {"x-delivery-count": 3, "x-acquired-count": 4}
    taken = understood(given_back(headers=counted), "jobs")
    assert taken.returned == 3
    assert taken.envelope.headers == {}
    assert understood(foreign(headers=counted), "jobs").returned == 0


def test_headers_that_cannot_be_read_are_said_to_be_so() -> None:
    with pytest.raises(MalformedTable):
        understood(Delivered(1, False, "", "jobs", b"\x20\x00\x00\x00\x00\x09x"), "jobs")  # noqa: FBT003 -- as above


# -- copies


DIED: dict[str, object] = {
    "x-death": [{"queue": "jobs", "count": 1, "exchange": "", "routing-keys": ["jobs"]}],
    "x-first-death-queue": "jobs",
    "x-last-death-reason": "expired",
    "x-last-death-exchange": None,
    "x-delivery-count": 2,
}


def copied(message: Delivered) -> Mapping[str, object]:
    """Return the headers of a copy, as it goes to a queue of dead letters."""
    taken = understood(message, "jobs")
    copy = taken.envelope._replace(destination="jobs.dlq", kind=Kind.QUEUE)
    return headers(copy, taken.properties)


def test_a_copy_keeps_what_ours_cannot_say_and_leaves_what_was_written_down_on_the_way() -> None:
    theirs: dict[str, object] = {
        "table": {"a": [1, {"b": None}]},
        "list": [1, "x", b"\xff"],
        "price": Decimal("1.50"),
        "nothing": None,
        "plain": "p",
    }
    found = copied(foreign(headers={**theirs, **DIED, f"{LEVEL}2": True}))
    assert {name: value for name, value in found.items() if not name.startswith("msgkit-")} == theirs
    assert f"{LEVEL}2" not in found


def test_what_was_changed_since_goes_before_what_it_was() -> None:
    taken = understood(foreign(headers={"list": [1], "table": {"a": 1}}), "jobs")
    changed = taken.envelope.with_headers({"list": "[2]"})
    without = taken.envelope._replace(headers={})
    assert headers(changed, taken.properties)["list"] == "[2]"
    assert headers(changed, taken.properties)["table"] == {"a": 1}
    assert "table" not in headers(without, taken.properties)


@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_a_copy_reaches_nobody_for_whom_the_original_was_copied(name: str) -> None:
    theirs = {name: ["other.queue"]}
    found = copied(foreign(headers=theirs))
    assert name not in found
    assert found[f"msgkit-user-{name}"] == '["other.queue"]'
    assert name not in copied(foreign(headers={name: None}))


def test_a_copy_keeps_how_the_body_is_encoded_and_what_program_it_is_from() -> None:
    taken = understood(foreign(content_encoding="gzip", app_id="till", user_id="guest", expiration="5"), "jobs")
    copy = written(taken.envelope, taken.properties)
    assert (copy.content_encoding, copy.app_id) == ("gzip", "till")
    # These say something of who sends it, and of the queue that it was in.
    assert (copy.user_id, copy.expiration) == (None, None)
    assert (written(taken.envelope).content_encoding, written(taken.envelope).app_id) == (None, None)


@pytest.mark.parametrize("subject", [None, "", "placed.eu"])
@pytest.mark.parametrize(("kind", "destination"), [(Kind.EXCHANGE, "orders"), (Kind.QUEUE, "jobs")])
def test_a_message_that_is_tried_again_is_still_addressed_as_it_was(
    kind: Kind, destination: str, subject: str | None
) -> None:
    original = ORDER._replace(kind=kind, destination=destination, subject=subject, attempt=1)
    message = arrived(original)
    for attempt in (2, 3):
        taken = understood(message, "jobs")
        copy = taken.envelope._replace(kind=Kind.QUEUE, destination="jobs", attempt=attempt)
        origin = {ORIGIN: address(taken.envelope.kind, taken.envelope.destination)}
        message = arrived(copy, taken.properties, origin)
        assert understood(message, "jobs").envelope == original._replace(attempt=attempt)


@pytest.mark.parametrize("subject", [None, "", "placed.eu"])
@pytest.mark.parametrize(("kind", "destination"), [(Kind.EXCHANGE, "orders:eu"), (Kind.QUEUE, "jobs")])
def test_a_delayed_message_is_addressed_as_it_was_sent(kind: Kind, destination: str, subject: str | None) -> None:
    original = ORDER._replace(kind=kind, destination=destination, subject=subject)
    also = {DUE: address(kind, destination), f"{LEVEL}0": True, f"{LEVEL}1": False, **DIED}
    message = arrived(original, None, also)
    # It comes from where it was due.
    message.exchange = "msgkit.due"
    assert understood(message, "jobs").envelope == original


def test_a_delayed_retry_says_where_it_was_sent_and_not_where_it_waited() -> None:
    copy = ORDER._replace(kind=Kind.QUEUE, destination="jobs")
    also = {ORIGIN: address(Kind.EXCHANGE, "orders"), DUE: address(Kind.QUEUE, "jobs"), f"{LEVEL}4": True}
    message = arrived(copy, None, also)
    message.exchange = "msgkit.due"
    assert understood(message, "jobs").envelope == ORDER


# -- when it was sent


@pytest.mark.parametrize(
    ("headers", "times"),
    [
        (None, 0),
        ({"x-delivery-count": 3}, 3),
        ({"x-delivery-count": 1, "x-acquired-count": 2}, 2),
        ({"x-delivery-count": "often"}, 0),
    ],
)
def test_how_often_a_message_went_back_is_what_its_queue_counted(headers: dict[str, object] | None, times: int) -> None:
    assert times_back(given_back(headers=headers)) == times


def test_what_was_never_given_back_counts_nothing_that_another_queue_has_written() -> None:
    assert times_back(foreign(headers={"x-delivery-count": 3, "x-acquired-count": 4})) == 0


def test_what_cannot_be_read_counts_as_never_given_back() -> None:
    assert times_back(replace(given_back(), properties=b"")) == 0
