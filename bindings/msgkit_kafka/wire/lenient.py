"""Records of a batch read step by step, where names of headers are not UTF-8: as Java reads them."""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from msgkit_kafka.wire.errors import Garbled

__all__ = ["LenientRecord", "read_leniently"]

#: Of a batch's head: the offset it begins at, attributes, first and highest time, and how many records there are.
_HEAD = Struct(">q13xh4xqq14xi")
_APPENDED = 0b1000
_SEVEN, _MORE, _MOST_SHIFT = 0x7F, 0x80, 63


class LenientRecord(NamedTuple):
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def read_leniently(whole: memoryview, body: bytes) -> list[LenientRecord]:
    """Return the records of a whole batch, which are in the body, unpacked.

    :raises Garbled: when they are none
    """
    base, attributes, first, highest, count = _HEAD.unpack_from(whole)
    appended = bool(attributes & _APPENDED)
    reader = _Reader(body)
    return [reader.record(base, highest if appended else first, appended=appended) for _ in range(count)]


class _Reader:
    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def record(self, base: int, time: int, *, appended: bool) -> LenientRecord:
        end = self._number() + self._at
        self._number()  # attributes, of which there are none yet
        since, offset = self._number(), base + self._number()
        timestamp = time if appended else time + since
        key, value, headers = self._bytes(), self._bytes(), list(self._headers())
        if self._at != end or end > len(self._body):
            raise Garbled(f"the record at {offset} is not as long as it says")
        return LenientRecord(offset, timestamp, int(appended), key, value, headers)

    def _headers(self) -> Iterator[tuple[str, bytes | None]]:
        for _ in range(self._number()):
            name = self._bytes() or b""
            yield name.decode(errors="replace"), self._bytes()

    def _bytes(self) -> bytes | None:
        size = self._number()
        if size < 0:
            return None
        begin = self._at
        self._at += size
        return self._body[begin : self._at]

    def _number(self) -> int:
        value = shift = 0
        while True:
            if self._at >= len(self._body) or shift > _MOST_SHIFT:
                raise Garbled("a record ends within a number")
            byte = self._body[self._at]
            self._at += 1
            value |= (byte & _SEVEN) << shift
            if not byte & _MORE:
                # The sign is the last bit.
                return value >> 1 ^ -(value & 1)
            shift += 7
