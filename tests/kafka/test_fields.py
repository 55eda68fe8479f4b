"""How values are written and read: each way, and whatever comes."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from msgkit_kafka.wire.errors import Garbled
from msgkit_kafka.wire.fields import (
    BOOLEAN,
    BYTES,
    COMPACT_STRING,
    INT16,
    INT32,
    INT64,
    NULLABLE_BYTES,
    NULLABLE_COMPACT_STRING,
    NULLABLE_STRING,
    OCTET,
    STRING,
    Field,
    Reader,
    array,
    compact,
    nullable,
    record,
)


class Inner(NamedTuple):
    name: str
    number: int


class Outer(NamedTuple):
    inner: Sequence[Inner]
    note: str | None


INNER = record(Inner, STRING, INT32)
OUTER = record(Outer, array(INNER), NULLABLE_STRING)
TAGGED = record(Inner, COMPACT_STRING, INT32, tagged=True)


def written(field: Field[Any], value: object) -> bytes:
    out = bytearray()
    field.write(out, value)
    return bytes(out)


@pytest.mark.parametrize(
    ("field", "value", "data"),
    [
        (OCTET, -1, b"\xff"),
        (INT16, 258, b"\x01\x02"),
        (INT32, -2, b"\xff\xff\xff\xfe"),
        (INT64, 1, b"\x00" * 7 + b"\x01"),
        (BOOLEAN, True, b"\x01"),
        (STRING, "ż", b"\x00\x02\xc5\xbc"),
        (NULLABLE_STRING, None, b"\xff\xff"),
        (NULLABLE_BYTES, None, b"\xff\xff\xff\xff"),
        (BYTES, b"ab", b"\x00\x00\x00\x02ab"),
        (COMPACT_STRING, "ab", b"\x03ab"),
        (NULLABLE_COMPACT_STRING, None, b"\x00"),
        (array(INT16), [1, 2], b"\x00\x00\x00\x02\x00\x01\x00\x02"),
        (compact(INT16), [1], b"\x02\x00\x01"),
        (OUTER, Outer([Inner("a", 1)], None), b"\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01\xff\xff"),
        (TAGGED, Inner("a", 1), b"\x02a\x00\x00\x00\x01\x00"),
    ],
)
def test_what_is_written_is_read_again(field: Field[Any], value: object, data: bytes) -> None:
    assert written(field, value) == data

    reader = Reader(data)

    assert field.read(reader) == value
    assert reader.left == 0


def test_an_array_that_is_not_there_says_so_and_reads_as_an_empty_one() -> None:
    field = nullable(array(INT16))

    data = written(field, None)

    assert data == b"\xff\xff\xff\xff"
    assert field.read(Reader(data)) == []


def test_what_newer_versions_add_is_passed_over() -> None:
    reader = Reader(b"\x02a\x00\x00\x00\x01" + b"\x02\x00\x03abc\x05\x01z" + b"rest")

    assert TAGGED.read(reader) == Inner("a", 1)
    assert reader.left == len("rest")


def test_a_long_text_has_a_long_length() -> None:
    data = written(COMPACT_STRING, "x" * 300)

    assert data[:2] == b"\xad\x02"
    assert COMPACT_STRING.read(Reader(data)) == "x" * 300


@pytest.mark.parametrize(
    ("field", "data"),
    [
        (INT32, b"\x00\x00"),
        (STRING, b"\x00\x05ab"),
        (BYTES, b"\x7f\xff\xff\xffab"),
        (array(INT16), b"\x7f\xff\xff\xff"),
        (compact(INT16), b"\xff\xff\xff\xff\x07"),
        (COMPACT_STRING, b"\x80\x80\x80\x80\x80\x80\x80\x01"),
    ],
)
def test_what_is_cut_off_or_announces_more_than_there_is_is_garbled(field: Field[Any], data: bytes) -> None:
    with pytest.raises(Garbled):
        field.read(Reader(data))


def test_no_bytes_do_more_than_be_garbled() -> None:
    luck = random.Random(7)  # noqa: S311 -- it keeps no secret
    for _ in range(3000):
        data = luck.randbytes(luck.randrange(40))
        for field in (OUTER, TAGGED, array(TAGGED), compact(OUTER)):
            try:
                field.read(Reader(data))
            except Garbled:
                continue
