import decimal
import struct
from collections import OrderedDict, UserDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from random import Random
from typing import Any, cast

import pytest
from pamqp import decode, encode

from msgkit_rabbitmq.wire import MalformedTable, decode_table, encode_table

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)
EVERYTHING: dict[str, object] = {
    "text": "grüße",
    "empty": "",
    "yes": True,
    "no": False,
    "least": -(2**63),
    "most": 2**63 - 1,
    "float": 0.1,
    "bytes": b"\x00\xff",
    "time": NOON,
    "nothing": None,
    "decimal": Decimal("-12.345"),
    "table": {"inner": {"deep": 1}, "none": {}},
    "list": ["a", 1, [None, {"x": True}], []],
    "": "no name",
    "ключ": 1,
}


def round_trip(value: object) -> object:
    encoded = encode_table({"x": value})
    table, end = decode_table(b"before" + encoded + b"after", 6)
    assert end == 6 + len(encoded)
    return table["x"]


def test_every_value_comes_back_as_it_was() -> None:
    table, end = decode_table(encode_table(EVERYTHING))
    assert table == EVERYTHING
    assert list(table) == list(EVERYTHING)
    assert end == len(encode_table(EVERYTHING))
    assert [type(value) for value in table.values()] == [type(value) for value in EVERYTHING.values()]


def test_another_client_reads_what_is_written_here() -> None:
    _, read = decode.field_table(encode_table(EVERYTHING))
    assert {**read, "bytes": bytes(cast("bytearray", read["bytes"]))} == EVERYTHING


def test_what_another_client_writes_is_read_here() -> None:
    others = cast("dict[str, Any]", {name: value for name, value in EVERYTHING.items() if name != "bytes"})
    # It writes bytes only of this kind, and floats with half of their digits.
    others.update(bytes=bytearray(b"\x00\xff"), float=0.5)
    assert decode_table(encode.field_table(others))[0] == {**EVERYTHING, "float": 0.5}


@pytest.mark.parametrize("number", [0, -1, 127, -128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**40])
def test_a_number_of_every_size_of_another_client_is_read(number: int) -> None:
    assert decode_table(encode.field_table({"n": number}))[0] == {"n": number}


@pytest.mark.parametrize(
    ("kind", "layout", "value"),
    [
        (b"t", ">?", True),
        (b"b", ">b", -5),
        (b"B", ">B", 250),
        (b"s", ">h", -300),
        (b"u", ">H", 65000),
        (b"I", ">i", -70000),
        (b"i", ">I", 4_000_000_000),
        (b"l", ">q", -(2**40)),
        (b"L", ">q", 2**40),
        (b"f", ">f", 0.5),
        (b"d", ">d", 0.1),
    ],
)
def test_every_kind_of_number_is_read_in_tables_and_in_arrays(kind: bytes, layout: str, value: float) -> None:
    field = kind + struct.pack(layout, value)
    array = b"A" + struct.pack(">I", 2 * len(field)) + field * 2
    body = b"\x01a" + field + b"\x02bb" + array
    table, _ = decode_table(struct.pack(">I", len(body)) + body)
    assert table == {"a": value, "bb": [value, value]}
    assert type(table["a"]) is type(value)


def test_bytes_of_every_sort_are_written_as_bytes() -> None:
    assert [round_trip(each) for each in (b"ab", bytearray(b"ab"), memoryview(b"ab"))] == [b"ab"] * 3


def test_a_kind_of_a_plain_value_is_written_as_that_value() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 3

    values: list[object] = [Colour.RED, Level.HIGH, ("a", 1), UserDict({"a": 1}), OrderedDict(a=1), range(2)]
    assert [round_trip(each) for each in values] == ["red", 3, ["a", 1], {"a": 1}, {"a": 1}, [0, 1]]


def test_a_time_is_whole_seconds_and_never_later_than_it_was() -> None:
    assert round_trip(NOON + timedelta(microseconds=999_999)) == NOON
    assert round_trip(datetime(1969, 12, 31, 23, 59, 58, 500_000, UTC)) == datetime(
        1969, 12, 31, 23, 59, 58, tzinfo=UTC
    )
    assert round_trip(NOON.astimezone(timezone(timedelta(hours=5)))) == NOON


@pytest.mark.parametrize("seconds", [1_715_947_200_000_000, 2**63 - 1, -(2**63), 10**13])
def test_a_time_that_no_calendar_has_is_its_number(seconds: int) -> None:
    body = b"\x01tT" + struct.pack(">q", seconds)
    assert decode_table(struct.pack(">I", len(body)) + body)[0] == {"t": seconds}


@pytest.mark.parametrize("text", ["0", "-0.001", "2147483647", "-2147483648", "1E+5", "1E-255", "21474836.47"])
def test_a_decimal_comes_back_whatever_the_context_says(text: str) -> None:
    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact])):
        assert round_trip(Decimal(text)) == Decimal(text)


def test_text_that_is_none_is_its_bytes_and_a_name_that_is_none_is_read_letter_by_letter() -> None:
    body = b"\x02\xff\xfeS\x00\x00\x00\x02\xff\x00"
    assert decode_table(struct.pack(">I", len(body)) + body)[0] == {"ÿþ": b"\xff\x00"}


def test_a_name_has_at_most_255_bytes() -> None:
    assert decode_table(encode_table({"n" * 255: 1}))[0] == {"n" * 255: 1}
    for name in ("n" * 256, "ü" * 128):
        with pytest.raises(MalformedTable, match="more than 255 bytes"):
            encode_table({name: 1})


def nested(depth: int) -> dict[str, object]:
    value: object = 1
    for level in range(depth):
        value = {"t": value} if level % 2 else [value]
    return {"x": value}


def looped() -> dict[str, object]:
    table: dict[str, object] = {}
    table["again"] = [table]
    return table


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        2**200,
        "\ud800",
        object(),
        {1, 2},
        datetime(2024, 5, 17),  # noqa: DTZ001 -- it is to be refused
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+300000"),
        Decimal("1E-256"),
        Decimal(2147483648),
        Decimal(12345678901),
        {"ok": {"not": 2**63}},
        [object()],
        {1: "x"},
        nested(2000),
        looped(),
    ],
    ids=[
        *("above", "below", "far above", "surrogate", "object", "set", "no zone", "nan", "infinity", "huge", "tiny"),
        *("33 bits", "11 digits", "inner", "in a list", "no text", "deep", "looped"),
    ],
)
def test_what_cannot_be_in_a_table_is_refused(value: object) -> None:
    with pytest.raises(MalformedTable):
        encode_table({"x": value})


def test_a_number_has_at_most_64_bits_and_is_shown() -> None:
    with pytest.raises(MalformedTable, match=r"^the number 9223372036854775808 has more than 64 bits$"):
        encode_table({"x": 2**63})


def test_tables_and_lists_may_be_nested_and_not_without_end() -> None:
    assert decode_table(encode_table(nested(63)))[0] == nested(63)
    for table in (nested(70), {"x": {"y": nested(66)}}):
        with pytest.raises(MalformedTable, match="64 deep"):
            encode_table(table)
    field = b""
    for _ in range(20_000):
        field = b"\x00F" + struct.pack(">I", len(field)) + field
    with pytest.raises(MalformedTable, match="64 deep"):
        decode_table(struct.pack(">I", len(field)) + field)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00\x00",
        b"\x00\x00\x00\x01",
        b"\x00\x00\x00\x01a",
        b"\x00\x00\x00\x02\x01a",
        b"\x00\x00\x00\x03\x01a?",
        b"\x00\x00\x00\x03\x01at",
        b"\x00\x00\x00\x03\x05aV",
        b"\xff\xff\xff\xff\x01aV",
        b"\x00\x00\x00\x07\x01aS\x00\x00\x00\x09",
        b"\x00\x00\x00\x07\x01aS\x00\x00\x00\x01z",
        b"\x00\x00\x00\x07\x01aA\x00\x00\x00\x01V",
        b"\x00\x00\x00\x08\x01aA\x00\x00\x00\x01t\x01",
        b"\x00\x00\x00\x07\x01aF\x00\x00\x00\x03\x01bV",
    ],
)
def test_bytes_that_are_no_table_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedTable):
        decode_table(data)


def test_whatever_becomes_of_the_bytes_they_are_a_table_or_malformed() -> None:
    random = Random(7)  # noqa: S311 -- the same each time
    good = encode_table(EVERYTHING)
    refused = 0
    for _ in range(4_000):
        bad = bytearray(good)
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(bad))
            match random.randrange(3):
                case 0:
                    bad[at] = random.randrange(256)
                case 1:
                    del bad[at : at + random.randint(1, 5)]
                case _:
                    bad[at:at] = random.randbytes(random.randint(1, 5))
        try:
            table, end = decode_table(bytes(bad))
        except MalformedTable:
            refused += 1
        else:
            assert isinstance(table, Mapping)
            assert end <= len(bad)
    assert 1_000 < refused < 4_000
