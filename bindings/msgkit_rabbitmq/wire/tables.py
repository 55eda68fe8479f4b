"""Field tables: the typed headers and arguments of AMQP 0-9-1, as RabbitMQ reads and writes them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from math import floor
from struct import Struct, error
from types import NoneType
from typing import Any

__all__ = ["SHORT", "MalformedTable", "Table", "decode_table", "encode_table", "short"]

Table = Mapping[str, object]

#: The most bytes of a name, and of a text of the short kind.
SHORT = 255
#: Tables and arrays in each other, beyond which nobody means it.
_DEEPEST = 64
_LONG, _LONGLONG, _DOUBLE = Struct(">I"), Struct(">q"), Struct(">d")
_DECIMAL = Struct(">Bi")
_MOST_DIGITS, _MOST_PLACES = 10, 255
_OCTETS = tuple(bytes((each,)) for each in range(SHORT + 1))


class MalformedTable(ValueError):
    """Bytes that are no table, or a value that cannot be in one."""


def short(text: str) -> bytes:
    """Return a text of the short kind with its length before it.

    :raises MalformedTable: when it is too long
    """
    encoded = text.encode()
    if len(encoded) > SHORT:
        raise MalformedTable(f"{text[:40]!r}… has more than {SHORT} bytes")
    return _OCTETS[len(encoded)] + encoded


# Names are few and come again.
_name = lru_cache(maxsize=1024)(short)


def encode_table(table: Table) -> bytes:
    """Return a table with its length before it.

    :raises MalformedTable: when a name or a value cannot be in one
    """
    try:
        return _encoded(table, 0)
    except (error, UnicodeEncodeError, OverflowError, AttributeError, TypeError) as wrong:
        raise MalformedTable(f"this cannot be in a table: {wrong}") from None


def _encoded(table: Table, depth: int) -> bytes:
    if depth > _DEEPEST:
        raise MalformedTable(f"tables and lists are nested more than {_DEEPEST} deep")
    parts = [b""]
    for name, value in table.items():
        parts += _name(name), (_ENCODERS.get(type(value)) or _encoder(value))(value, depth)
    body = b"".join(parts)
    return _LONG.pack(len(body)) + body


def _str(value: str, _depth: int) -> bytes:
    encoded = value.encode()
    return b"S" + _LONG.pack(len(encoded)) + encoded


def _bool(value: bool, _depth: int) -> bytes:  # noqa: FBT001 -- the value itself
    return b"t\x01" if value else b"t\x00"


def _int(value: int, _depth: int) -> bytes:
    try:
        return b"l" + _LONGLONG.pack(value)
    except error:
        raise MalformedTable(f"the number {str(value)[:40]} has more than 64 bits") from None


def _float(value: float, _depth: int) -> bytes:
    return b"d" + _DOUBLE.pack(value)


def _binary(value: bytes | bytearray | memoryview, _depth: int) -> bytes:
    value = bytes(value)
    return b"x" + _LONG.pack(len(value)) + value


def _none(_value: None, _depth: int) -> bytes:
    return b"V"


def _time(value: datetime, _depth: int) -> bytes:
    if value.tzinfo is None:
        raise MalformedTable(f"{value} has no time zone")
    return b"T" + _LONGLONG.pack(floor(value.timestamp()))


def _decimal(value: Decimal, _depth: int) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _MOST_DIGITS or not -_MOST_PLACES <= exponent < _MOST_DIGITS:
        raise MalformedTable(f"{value} cannot be in a table")
    number = int("".join(map(str, digits))) * 10 ** max(0, exponent)
    return b"D" + _DECIMAL.pack(max(0, -exponent), -number if sign else number)


def _mapping(value: Table, depth: int) -> bytes:
    return b"F" + _encoded(value, depth + 1)


def _sequence(value: Sequence[object], depth: int) -> bytes:
    if depth >= _DEEPEST:
        raise MalformedTable(f"tables and lists are nested more than {_DEEPEST} deep")
    items = b"".join([(_ENCODERS.get(type(item)) or _encoder(item))(item, depth + 1) for item in value])
    return b"A" + _LONG.pack(len(items)) + items


#: The more special before the more general.
_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    str: _str,
    bool: _bool,
    int: _int,
    float: _float,
    bytes: _binary,
    bytearray: _binary,
    memoryview: _binary,
    NoneType: _none,
    datetime: _time,
    Decimal: _decimal,
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
    Mapping: _mapping,
    Sequence: _sequence,
}


def _encoder(value: object) -> Callable[[Any, int], bytes]:
    """Return how something is encoded that is no plain value, but a kind of one."""
    for kind, encode in _ENCODERS.items():
        if isinstance(value, kind):
            return encode
    raise MalformedTable(f"a {type(value).__name__} cannot be in a table")


def decode_table(data: bytes, at: int = 0) -> tuple[dict[str, object], int]:
    """Return the table that begins at an offset, and the offset behind it.

    :raises MalformedTable: when there is none
    """
    try:
        return _table(data, at, 0)
    except (error, IndexError, KeyError) as wrong:
        raise MalformedTable(f"these bytes are no table: {wrong!r}") from None


def _table(data: bytes, at: int, depth: int) -> tuple[dict[str, object], int]:
    end = _end(data, at, depth)
    at += 4
    table: dict[str, object] = {}
    while at < end:
        behind = at + 1 + data[at]
        name = _named(data[at + 1 : behind])
        kind = data[behind]
        if (fixed := _FIXED.get(kind)) is not None:
            (table[name],) = fixed.unpack_from(data, behind + 1)
            at = behind + 1 + fixed.size
        else:
            table[name], at = _OTHERS[kind](data, behind + 1, depth)
    if at != end:
        raise MalformedTable("a value reaches beyond its table")
    return table, end


def _array(data: bytes, at: int, depth: int) -> tuple[list[object], int]:
    end = _end(data, at, depth)
    at += 4
    items: list[object] = []
    while at < end:
        kind = data[at]
        if (fixed := _FIXED.get(kind)) is not None:
            items += fixed.unpack_from(data, at + 1)
            at += 1 + fixed.size
        else:
            item, at = _OTHERS[kind](data, at + 1, depth)
            items.append(item)
    if at != end:
        raise MalformedTable("a value reaches beyond its array")
    return items, end


def _end(data: bytes, at: int, depth: int = 0) -> int:
    """Return where something ends that has its length before it."""
    if depth > _DEEPEST:
        raise MalformedTable(f"tables and arrays are nested more than {_DEEPEST} deep")
    end = at + 4 + int(_LONG.unpack_from(data, at)[0])
    if end > len(data):
        raise MalformedTable("the bytes end too early")
    return end


@lru_cache(maxsize=1024)
def _named(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _text(data: bytes, at: int, _depth: int) -> tuple[str | bytes, int]:
    end = _end(data, at)
    text = data[at + 4 : end]
    try:
        return text.decode(), end
    except UnicodeDecodeError:
        # Some write bytes as text.
        return text, end


def _bytes(data: bytes, at: int, _depth: int) -> tuple[bytes, int]:
    end = _end(data, at)
    return data[at + 4 : end], end


def _timestamp(data: bytes, at: int, _depth: int) -> tuple[datetime | int, int]:
    (seconds,) = _LONGLONG.unpack_from(data, at)
    try:
        return datetime.fromtimestamp(seconds, UTC), at + 8
    except (ValueError, OSError, OverflowError):
        # Some write milliseconds; a number says more than nothing.
        return seconds, at + 8


def _decimal_at(data: bytes, at: int, _depth: int) -> tuple[Decimal, int]:
    places, number = _DECIMAL.unpack_from(data, at)
    # Exact in every context.
    return Decimal(f"{number}E-{places}"), at + _DECIMAL.size


def _nothing(_data: bytes, at: int, _depth: int) -> tuple[None, int]:
    return None, at


_FIXED = {
    ord("t"): Struct(">?"),
    ord("b"): Struct(">b"),
    ord("B"): Struct(">B"),
    ord("s"): Struct(">h"),
    ord("u"): Struct(">H"),
    ord("I"): Struct(">i"),
    ord("i"): Struct(">I"),
    ord("l"): Struct(">q"),
    ord("L"): Struct(">q"),
    ord("f"): Struct(">f"),
    ord("d"): Struct(">d"),
}

_OTHERS: dict[int, Callable[[bytes, int, int], tuple[object, int]]] = {
    ord("S"): _text,
    ord("x"): _bytes,
    ord("T"): _timestamp,
    ord("D"): _decimal_at,
    ord("F"): lambda data, at, depth: _table(data, at, depth + 1),
    ord("A"): lambda data, at, depth: _array(data, at, depth + 1),
    ord("V"): _nothing,
}
