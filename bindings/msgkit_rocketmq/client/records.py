"""Messages as a broker hands them out, one behind the other, and as it takes several at once."""

from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import NamedTuple

from msgkit_rocketmq.client import properties
from msgkit_rocketmq.client.compression import packed_way, unpacked
from msgkit_rocketmq.client.errors import Unreadable

__all__ = ["Record", "decode", "encode_batch"]

#: Of these, the later one is of brokers that allow topics longer names.
_SHORT_TOPIC, _LONG_TOPIC = -0x255CDF59, -0x255CDF55
#: Size, kind, checksum, queue, the application's flag, offset, position, the system's flags, and when it was born.
_BEGIN = Struct(">iiiiiqqiq")
_STORED = Struct(">q")
#: How often it came back, and where a half message was prepared.
_MIDDLE = Struct(">iq")
_SIZE, _OCTET, _SHORT = Struct(">i"), Struct(">B"), Struct(">h")
_HOST, _LONGER_HOST = 8, 20

# What the system's flags say.
_BORN_BY_IPV6, _STORED_BY_IPV6, _TO_UNWRAP, _INNER = 0x10, 0x20, 0x40, 0x80

#: Of one in a batch: size, kind, checksum and flag, of which only the size says anything, and the size of the body.
_IN_BATCH = Struct(">iiiii")


class Record(NamedTuple):
    """A message in a queue of a broker."""

    topic: str
    queue: int
    offset: int
    #: Where in the broker's log.
    position: int
    flags: int
    #: By the clock of who sent it, in milliseconds since 1970.
    born: int
    #: By the broker's.
    stored: int
    #: How often it came back.
    returned: int
    prepared_at: int
    body: bytes
    properties: dict[str, str]
    #: What it is called where no client has named it.
    stored_as: str
    #: Why the body is still packed; nothing is wrong with any other message.
    trouble: str | None = None

    @property
    def id(self) -> str:
        return self.properties.get("UNIQ_KEY") or self.stored_as


def decode(data: bytes) -> list[Record]:
    """Return the messages that were handed out together.

    :raises Unreadable: when it is not messages what came
    """
    reader = _Reader(data)
    found: list[Record] = []
    while reader.left:
        found += _record(reader)
    return found


def _record(reader: "_Reader") -> Iterable[Record]:
    begin = reader.at
    size, kind, _, queue, _, offset, position, flags, born = reader.values(_BEGIN)
    if kind not in {_SHORT_TOPIC, _LONG_TOPIC}:
        raise Unreadable(f"what came at {begin} is no message: it is of kind {kind & 0xFFFFFFFF:#x}")
    reader.take(_LONGER_HOST if flags & _BORN_BY_IPV6 else _HOST)
    (stored,) = reader.values(_STORED)
    host = reader.take(_LONGER_HOST if flags & _STORED_BY_IPV6 else _HOST)
    returned, prepared_at = reader.values(_MIDDLE)
    body = reader.sized(_SIZE)
    topic = reader.text(_SHORT if kind == _LONG_TOPIC else _OCTET)
    named = properties.decode(reader.text(_SHORT))
    if reader.at - begin != size:
        raise Unreadable(f"the message at {offset} of {topic} is not as long as it says")
    stored_as = (host + _STORED.pack(position)).hex().upper()
    trouble: str | None = None
    if (way := packed_way(flags)) is not None:
        try:
            body = unpacked(way, body)
        except Unreadable as wrong:
            trouble = str(wrong)
    record = Record(
        topic, queue, offset, position, flags, born, stored, returned, prepared_at, body, named, stored_as, trouble
    )
    return _unwrapped(record) if _holds_others(record) else (record,)


def _holds_others(record: Record) -> bool:
    return bool(record.flags & _INNER and record.flags & _TO_UNWRAP) and record.trouble is None


def _unwrapped(record: Record) -> Iterator[Record]:
    """Return what was put into a queue of batches as one."""
    reader = _Reader(record.body)
    place = 0
    while reader.left:
        begin = reader.at
        size, _, _, _, length = reader.values(_IN_BATCH)
        body = reader.take(length)
        named = properties.decode(reader.text(_SHORT))
        if reader.at - begin != size:
            raise Unreadable(f"a message in the batch at {record.offset} of {record.topic} is not as long as it says")
        yield record._replace(offset=record.offset + place, body=body, properties=named)
        place += 1


class _Reader:
    """A place in bytes that came."""

    __slots__ = ("_data", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def values(self, packed: Struct) -> tuple[int, ...]:
        at = self.at
        if packed.size > len(self._data) - at:
            raise Unreadable(f"messages end after {len(self._data):,} bytes, in the middle of one")
        self.at = at + packed.size
        return packed.unpack_from(self._data, at)

    def take(self, size: int) -> bytes:
        at = self.at
        if size < 0 or size > len(self._data) - at:
            raise Unreadable(f"{size:,} bytes are announced where {len(self._data) - at:,} are left")
        self.at = at + size
        return self._data[at : at + size]

    def sized(self, packed: Struct) -> bytes:
        (size,) = self.values(packed)
        return self.take(size)

    def text(self, packed: Struct) -> str:
        # As Java reads what is no text, so that who sends such stops nobody.
        return self.sized(packed).decode(errors="replace")


def encode_batch(messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> bytes:
    """Return several bodies and their properties as a broker takes them at once."""
    return b"".join(_batched(body, properties.encode(named).encode()) for body, named in messages)


def _batched(body: bytes, named: bytes) -> bytes:
    size = _IN_BATCH.size + len(body) + _SHORT.size + len(named)
    return _IN_BATCH.pack(size, 0, 0, 0, len(body)) + body + _SHORT.pack(len(named)) + named
