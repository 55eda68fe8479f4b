"""Field tables: the typed headers and arguments of AMQP 0-9-1, as RabbitMQ reads and writes them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct, error
from typing import cast

__all__ = ["MalformedTable", "Table", "decode_table", "encode_table"]

Table = Mapping[str, object]

_LONG, _LONGLONG, _DOUBLE = Struct(">I"), Struct(">q"), Struct(">d")
_MOST_OF_A_NAME = 255
_DECIMAL = Struct(">Bi")
_FIXED: dict[bytes, Struct] = {
    b"t": Struct(">?"),
    b"b": Struct(">b"),
    b"B": Struct(">B"),
    b"s": Struct(">h"),
    b"u": Struct(">H"),
    b"I": Struct(">i"),
    b"i": Struct(">I"),
    b"l": Struct(">q"),
    b"L": Struct(">q"),
    b"f": Struct(">f"),
    b"d": Struct(">d"),
}


class MalformedTable(ValueError):
    """Bytes that are no table, or a value that cannot be in one."""


def encode_table(table: Table) -> bytes:
    """Return a table with its length before it."""
    parts: list[bytes] = []
    for name, value in table.items():
        parts.append(_name(name))
        parts.append(_encode(value))
    body = b"".join(parts)
    return _LONG.pack(len(body)) + body


def _name(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > _MOST_OF_A_NAME:
        raise MalformedTable(f"the name {name[:40]!r}… has more than {_MOST_OF_A_NAME} bytes")
    return bytes((len(encoded),)) + encoded


def _encode(value: object) -> bytes:  # noqa: C901, PLR0911 -- one case for each type there is
    match value:
        case str():
            encoded = value.encode()
            return b"S" + _LONG.pack(len(encoded)) + encoded
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return b"l" + _LONGLONG.pack(value)
        case float():
            return b"d" + _DOUBLE.pack(value)
        case bytes():
            return b"x" + _LONG.pack(len(value)) + value
        case datetime():
            return b"T" + _LONGLONG.pack(int(value.timestamp()))
        case None:
            return b"V"
        case Decimal():
            return b"D" + _decimal(value)
        case Mapping():
            return b"F" + encode_table(cast("Table", value))
        case Sequence():
            items = b"".join(_encode(item) for item in cast("Sequence[object]", value))
            return b"A" + _LONG.pack(len(items)) + items
        case _:
            raise MalformedTable(f"a {type(value).__name__} cannot be in a table")


def _decimal(value: Decimal) -> bytes:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or len(digits) > 9:  # noqa: PLR2004 -- what fits into 32 bits
        raise MalformedTable(f"{value} cannot be in a table")
    places = max(0, -exponent)
    return _DECIMAL.pack(places, int(value.scaleb(places)))


def decode_table(data: bytes, at: int = 0) -> tuple[dict[str, object], int]:
    """Return the table that begins at an offset, and the offset behind it.

    :raises MalformedTable: when there is none
    """
    try:
        return _table(data, at)
    except (error, IndexError, KeyError, OverflowError, RecursionError) as wrong:
        raise MalformedTable(f"these bytes are no table: {wrong!r}") from None


def _table(data: bytes, at: int) -> tuple[dict[str, object], int]:
    end = _end(data, at)
    at += 4
    table: dict[str, object] = {}
    while at < end:
        length = data[at]
        name = _text(data[at + 1 : at + 1 + length])
        table[name if isinstance(name, str) else name.decode("latin-1")], at = _value(data, at + 1 + length)
    if at != end:
        raise MalformedTable("a value reaches beyond its table")
    return table, end


def _end(data: bytes, at: int) -> int:
    """Return where something ends that has its length before it."""
    end = at + 4 + int(_LONG.unpack_from(data, at)[0])
    if end > len(data):
        raise MalformedTable("the bytes end too early")
    return end


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _value(data: bytes, at: int) -> tuple[object, int]:
    kind = data[at : at + 1]
    if kind == b"S":
        end = _end(data, at + 1)
        return _text(data[at + 5 : end]), end
    if (fixed := _FIXED.get(kind)) is not None:
        return fixed.unpack_from(data, at + 1)[0], at + 1 + fixed.size
    return _OTHERS[kind](data, at + 1)


def _bytes(data: bytes, at: int) -> tuple[object, int]:
    end = _end(data, at)
    return data[at + 4 : end], end


def _timestamp(data: bytes, at: int) -> tuple[object, int]:
    (seconds,) = _LONGLONG.unpack_from(data, at)
    try:
        return datetime.fromtimestamp(seconds, UTC), at + 8
    except (ValueError, OSError):
        # Some write milliseconds; a number says more than nothing.
        return seconds, at + 8


def _decimal_at(data: bytes, at: int) -> tuple[object, int]:
    places, number = _DECIMAL.unpack_from(data, at)
    return Decimal(number).scaleb(-places), at + _DECIMAL.size


def _array(data: bytes, at: int) -> tuple[object, int]:
    end = _end(data, at)
    at += 4
    items: list[object] = []
    while at < end:
        item, at = _value(data, at)
        items.append(item)
    if at != end:
        raise MalformedTable("a value reaches beyond its array")
    return items, end


def _nothing(_data: bytes, at: int) -> tuple[object, int]:
    return None, at


_OTHERS: dict[bytes, Callable[[bytes, int], tuple[object, int]]] = {
    b"x": _bytes,
    b"T": _timestamp,
    b"D": _decimal_at,
    b"F": _table,
    b"A": _array,
    b"V": _nothing,
}
