import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest

from msgkit import Queue
from msgkit.errors import ConfigurationError, InvalidMessage
from msgkit.values import (
    MAX_HEADERS,
    HeaderValue,
    at_least_zero,
    check_body,
    check_headers,
    check_name,
    check_text,
    check_whole,
    epoch,
    seconds,
)

EAST = timezone(timedelta(hours=5, minutes=30))

# -- names


@pytest.mark.parametrize("name", ["orders", "orders.placed", "a" * 200, "größe", "a b", "q-1_x/y:z", "注文", "🦊" * 50])
def test_a_name_may_be_any_printable_text_of_up_to_200_bytes(name: str) -> None:
    assert check_name(name, "a Queue") == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the name of a Queue is empty"),
        ("   ", "the name of a Queue is empty"),
        ("\n", "the name of a Queue is empty"),
        ("a" * 201, f"the name of a Queue is longer than 200 bytes: '{'a' * 40}'…"),
        ("ü" * 101, f"the name of a Queue is longer than 200 bytes: '{'ü' * 40}'…"),
        ("a\nb", "the name of a Queue holds a control character: 'a\\nb'"),
        ("a\x00", "the name of a Queue holds a control character: 'a\\x00'"),
        ("a\u202eb", "the name of a Queue holds a control character: 'a\\u202eb'"),
        ("a\ud800", "the name of a Queue holds a control character: 'a\\ud800'"),
        (None, "the name of a Queue must be a str, not NoneType"),
        (b"orders", "the name of a Queue must be a str, not bytes"),
        (7, "the name of a Queue must be a str, not int"),
    ],
)
def test_what_is_no_name_is_refused_with_what_is_wrong_with_it(name: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Queue(name)
    assert str(caught.value) == said


# -- keys, subjects and ids


@pytest.mark.parametrize("text", ["", "k", "k" * 1024, "🦊" * 1024, "a\nb\x00", "\u202e"])
def test_a_key_may_be_any_text_of_up_to_1024_characters(text: str) -> None:
    assert check_text(text, "key=") == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (7, "key= must be a str, not int"),
        (b"k", "key= must be a str, not bytes"),
        (None, "key= must be a str, not NoneType"),
        ("k" * 1025, f"key= is longer than 1024 characters: '{'k' * 40}'…"),
        ("a\ud800", "key= holds half a character (a lone surrogate), which no broker carries"),
    ],
)
def test_what_is_no_key_is_refused(text: object, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        check_text(text, "key=")
    assert str(caught.value) == said


# -- headers


@pytest.mark.parametrize(
    "value",
    [
        *("", "text", "🦊\n\x00", b"", b"\xff", True, False),
        *(0, -(2**63), 2**63 - 1, 1.5, -0.0, 5e-324),
        *(datetime(2026, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=EAST)),
    ],
    ids=repr,
)
def test_a_header_may_be_any_value_that_every_broker_carries(value: HeaderValue) -> None:
    assert check_headers({"x": value}) == {"x": value}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "header 'x' is None; leave it out instead"),
        ([1], "header 'x' must be str, int, float, bool, bytes or datetime, not list"),
        ({}, "header 'x' must be str, int, float, bool, bytes or datetime, not dict"),
        (1j, "header 'x' must be str, int, float, bool, bytes or datetime, not complex"),
        (bytearray(b"x"), "header 'x' must be str, int, float, bool, bytes or datetime, not bytearray"),
        (math.nan, "header 'x' must be finite, not nan"),
        (-math.inf, "header 'x' must be finite, not -inf"),
        (2**63, f"header 'x' does not fit into 64 bits: {2**63}"),
        (-(2**63) - 1, f"header 'x' does not fit into 64 bits: {-(2**63) - 1}"),
        (
            datetime(2026, 1, 1),  # noqa: DTZ001 -- that it is naive is the point
            "header 'x' has no time zone; use datetime.now(UTC) or add tzinfo",
        ),
        ("\ud800", "header 'x' holds half a character (a lone surrogate), which no broker carries"),
    ],
)
def test_a_value_that_not_every_broker_carries_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        check_headers({"x": value})
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the name of a header must have 1 to 200 printable characters: ''"),
        ("a\r\nb", "the name of a header must have 1 to 200 printable characters: 'a\\r\\nb'"),
        ("a" * 201, f"the name of a header must have 1 to 200 printable characters: '{'a' * 40}'"),
        ("\ud800", "the name of a header must have 1 to 200 printable characters: '\\ud800'"),
        (1, "the name of a header must be a str, not int"),
        (True, "the name of a header must be a str, not bool"),
    ],
)
def test_what_is_no_name_of_a_header_is_refused(name: Any, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        check_headers({name: "value"})
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ({"a": "b" * MAX_HEADERS}, MAX_HEADERS + 1),
        ({"a": "ü" * (MAX_HEADERS // 2)}, MAX_HEADERS + 1),
        ({"a": b"b" * MAX_HEADERS}, MAX_HEADERS + 1),
        ({f"n{number:04}": number for number in range(2000)}, 2000 * 13),
    ],
)
def test_headers_that_are_too_large_together_are_refused(headers: Mapping[str, HeaderValue], size: int) -> None:
    with pytest.raises(InvalidMessage) as caught:
        check_headers(headers)
    assert str(caught.value) == f"the headers have {size:,} bytes; at most 16,384 can be sent"


@pytest.mark.parametrize("headers", [{"a": "b" * (MAX_HEADERS - 1)}, {"aa": "ü" * (MAX_HEADERS // 2 - 1)}])
def test_headers_of_exactly_the_limit_are_taken(headers: Mapping[str, HeaderValue]) -> None:
    assert check_headers(headers) is headers


@pytest.mark.parametrize("headers", [[("x", "y")], "x=y", 7])
def test_headers_that_are_no_mapping_are_refused(headers: Any) -> None:
    with pytest.raises(InvalidMessage, match=r"^headers= must be a mapping of names to values, not "):
        check_headers(headers)


# -- times


@pytest.mark.parametrize(
    ("length", "said"),
    [
        ("5", "delay= must be seconds or a timedelta, not str"),
        (True, "delay= must be seconds or a timedelta, not bool"),
        (None, "delay= must be seconds or a timedelta, not NoneType"),
        (math.inf, "delay= must be finite, not inf"),
        (math.nan, "delay= must be finite, not nan"),
        (-1, "delay= must not be negative, but is -1 s"),
        (timedelta(minutes=-1), "delay= must not be negative, but is -60 s"),
    ],
)
def test_what_is_no_length_of_time_is_refused(length: Any, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        at_least_zero(length, "delay=")
    assert str(caught.value) == said


def test_a_length_of_time_is_seconds_or_a_timedelta() -> None:
    assert [seconds(each, "") for each in (2, 0.5, timedelta(minutes=1), -1)] == [2.0, 0.5, 60.0, -1.0]


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 1, 1), "deliver_at= has no time zone; use datetime.now(UTC) or add tzinfo"),  # noqa: DTZ001 -- as above
        ("2026-01-01", "deliver_at= must be a datetime, not str"),
        (1e9, "deliver_at= must be a datetime, not float"),
    ],
)
def test_what_is_no_moment_is_refused(moment: Any, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        epoch(moment, "deliver_at=")
    assert str(caught.value) == said


# -- the rest


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_what_is_no_whole_number_of_at_least_one_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_whole(value, "concurrency=")
    assert str(caught.value) == f"concurrency= must be a whole number of at least 1, not {value!r}"


def test_a_body_above_the_limit_is_refused_with_its_size_and_where_it_was_going() -> None:
    check_body(bytes(1024 * 1024), "jobs")
    with pytest.raises(InvalidMessage) as caught:
        check_body(bytes(1024 * 1024 + 1), "jobs")
    assert str(caught.value) == "the body for 'jobs' has 1,048,577 bytes; at most 1,048,576 can be sent"


def test_what_is_refused_about_a_message_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="is None"):
        check_headers(cast("Any", {"x": None}))
