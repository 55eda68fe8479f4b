"""How Kafka writes values: numbers, text, arrays, and records of them, each way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct as Packed
from struct import error
from typing import Any, Generic, TypeVar, cast

from msgkit_kafka.wire.errors import Garbled

__all__ = [
    "BOOLEAN",
    "BYTES",
    "COMPACT_STRING",
    "INT16",
    "INT32",
    "INT64",
    "NULLABLE_BYTES",
    "NULLABLE_COMPACT_STRING",
    "NULLABLE_STRING",
    "OCTET",
    "STRING",
    "Field",
    "Reader",
    "array",
    "compact",
    "nullable",
    "record",
]

T = TypeVar("T")
R = TypeVar("R", bound=tuple[Any, ...])
_SEVEN, _MORE = 0x7F, 0x80
_MOST_OF_A_VARINT = 35


class Reader:
    """A place in bytes that came."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        """Return so many bytes.

        :raises Garbled: when there are not so many
        """
        at = self._at
        if size < 0 or size > len(self._data) - at:
            raise Garbled(f"{size:,} bytes are announced where {len(self._data) - at:,} are left")
        self._at = at + size
        return self._data[at : at + size]

    def number(self, packed: Packed) -> Any:
        try:
            (value,) = packed.unpack_from(self._data, self._at)
        except error:
            raise Garbled("an answer is too short") from None
        self._at += packed.size
        return value

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & _SEVEN) << shift
            if not byte & _MORE:
                return value
            shift += 7
            if shift > _MOST_OF_A_VARINT:
                raise Garbled("a number has no end")

    def skip_tags(self) -> None:
        """Pass over what newer versions may add."""
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """A kind of value: how it is written, and how it is read."""

    write: Callable[[bytearray, T], object]
    read: Callable[[Reader], T]


def _number(form: str) -> Field[int]:
    packed = Packed(f">{form}")
    return Field(lambda out, value: out.extend(packed.pack(value)), lambda reader: cast("int", reader.number(packed)))


OCTET, INT16, INT32, INT64 = _number("b"), _number("h"), _number("i"), _number("q")
_SHORT, _LONG, _FLAG = Packed(">h"), Packed(">i"), Packed(">?")
BOOLEAN: Field[bool] = Field(
    lambda out, value: out.extend(_FLAG.pack(value)), lambda reader: bool(reader.number(_FLAG))
)


def _put_varint(out: bytearray, value: int) -> None:
    while value > _SEVEN:
        out.append(value & _SEVEN | _MORE)
        value >>= 7
    out.append(value)


# -- text and bytes, with their length before them: -1 says that there are none


def _put_string(out: bytearray, value: str | None) -> None:
    if value is None:
        out += _SHORT.pack(-1)
    else:
        data = value.encode()
        out += _SHORT.pack(len(data))
        out += data


def _take_nullable_string(reader: Reader) -> str | None:
    size = reader.number(_SHORT)
    return None if size < 0 else str(reader.take(size), "utf-8", "replace")


def _put_bytes(out: bytearray, value: bytes | memoryview | None) -> None:
    if value is None:
        out += _LONG.pack(-1)
    else:
        out += _LONG.pack(len(value))
        out += value


def _take_nullable_bytes(reader: Reader) -> memoryview | None:
    size = reader.number(_LONG)
    return None if size < 0 else reader.take(size)


def _put_compact_string(out: bytearray, value: str | None) -> None:
    data = b"" if value is None else value.encode()
    _put_varint(out, 0 if value is None else len(data) + 1)
    out += data


def _take_nullable_compact_string(reader: Reader) -> str | None:
    size = reader.varint() - 1
    return None if size < 0 else str(reader.take(size), "utf-8", "replace")


STRING: Field[str] = Field(_put_string, lambda reader: _take_nullable_string(reader) or "")
NULLABLE_STRING: Field[str | None] = Field(_put_string, _take_nullable_string)
BYTES: Field[bytes | memoryview] = Field(_put_bytes, lambda reader: _take_nullable_bytes(reader) or b"")
NULLABLE_BYTES: Field[bytes | memoryview | None] = Field(_put_bytes, _take_nullable_bytes)
COMPACT_STRING: Field[str] = Field(_put_compact_string, lambda reader: _take_nullable_compact_string(reader) or "")
NULLABLE_COMPACT_STRING: Field[str | None] = Field(_put_compact_string, _take_nullable_compact_string)


# -- what is made of others


def array(of: Field[T]) -> Field[Sequence[T]]:
    """Return the field of several; what is not there reads as none."""

    def write(out: bytearray, values: Sequence[T]) -> None:
        out.extend(_LONG.pack(len(values)))
        for value in values:
            of.write(out, value)

    def read(reader: Reader) -> Sequence[T]:
        size = reader.number(_LONG)
        if size > reader.left:
            raise Garbled(f"{size:,} values are announced where {reader.left:,} bytes are left")
        return [of.read(reader) for _ in range(size)]

    return Field(write, read)


def compact(of: Field[T]) -> Field[Sequence[T]]:
    """Return the field of several, as flexible versions write it."""

    def write(out: bytearray, values: Sequence[T]) -> None:
        _put_varint(out, len(values) + 1)
        for value in values:
            of.write(out, value)

    def read(reader: Reader) -> Sequence[T]:
        size = reader.varint() - 1
        if size > reader.left:
            raise Garbled(f"{size:,} values are announced where {reader.left:,} bytes are left")
        return [of.read(reader) for _ in range(size)]

    return Field(write, read)


def nullable(of: Field[Sequence[T]]) -> Field[Sequence[T] | None]:
    """Return an array's field that may say that there is none, which some requests take for all."""

    def write(out: bytearray, values: Sequence[T] | None) -> None:
        if values is None:
            out.extend(_LONG.pack(-1))
        else:
            of.write(out, values)

    return Field(write, of.read)


def record(kind: type[R], *fields: Field[Any], tagged: bool = False) -> Field[R]:
    """Return the field of a named tuple, of which each part has its field; `tagged` as flexible versions write it."""
    writers = [each.write for each in fields]
    readers = [each.read for each in fields]
    make = cast("Callable[..., R]", kind)

    def write(out: bytearray, value: R) -> None:
        for put, part in zip(writers, value, strict=True):
            put(out, part)
        if tagged:
            out.append(0)

    def read(reader: Reader) -> R:
        value = make(*[take(reader) for take in readers])
        if tagged:
            reader.skip_tags()
        return value

    return Field(write, read)
