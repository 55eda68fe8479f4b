"""Records as a log holds them, in batches. Whatever aiokafka lends, it lends here."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from struct import Struct
from sys import maxsize
from typing import Any, Literal, NamedTuple, Protocol, cast

from msgkit_kafka.wire.errors import Garbled
from msgkit_kafka.wire.lenient import read_leniently

__all__ = [
    "HEAD",
    "Compression",
    "Decoded",
    "Headers",
    "NewRecord",
    "Record",
    "decode",
    "encode",
    "is_available",
    "size_of",
]

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
Headers = Sequence[tuple[str, bytes | None]]
#: Key, value, headers, and milliseconds since 1970.
NewRecord = tuple[bytes | None, bytes | None, Headers, int]


class Record(Protocol):
    """What was read. It is aiokafka's own, made in C: to make others of it would cost more than to read it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""
        ...

    @property
    def timestamp_type(self) -> int:
        """0: as the sender said; 1: as the broker appended it."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Decoded(NamedTuple):
    records: Sequence[Record]
    #: What to fetch next: behind all that was whole, whether or not there were records to hand on in it.
    next_offset: int


# -- what is lent


class _Builder(Protocol):
    def append(
        self, offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers, /
    ) -> object: ...
    def build(self) -> bytearray: ...


class _Batch(Protocol):
    @property
    def attributes(self) -> int: ...
    @property
    def producer_id(self) -> int: ...
    @property
    def is_transactional(self) -> bool: ...
    @property
    def is_control_batch(self) -> bool: ...
    @property
    def next_offset(self) -> int: ...
    def validate_crc(self) -> bool: ...
    def __iter__(self) -> Iterator[Record]: ...


# It has types, and does not say so.
_lent: Any = import_module("aiokafka.record.default_records")
_codec: Any = import_module("aiokafka.codec")
_builder = cast("Callable[[int, int, int, int, int, int, int], _Builder]", _lent.DefaultRecordBatchBuilder)
_size_of = cast("Callable[[bytes | None, bytes | None, Headers], int]", _lent.DefaultRecordBatchBuilder.size_of)
_batch = cast("Callable[[memoryview], _Batch]", _lent.DefaultRecordBatch)
_crc = cast("Callable[[memoryview], int]", import_module("aiokafka.record.util").calc_crc32c)


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    is_here: Callable[[], bool]
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


# As fast as Java's client packs: aiokafka's own levels take five and twenty times as long for a few per cent.
_CODECS = {
    1: _Codec("gzip", _codec.has_gzip, lambda data: _codec.gzip_encode(data, 6), _codec.gzip_decode),
    2: _Codec("snappy", _codec.has_snappy, _codec.snappy_encode, _codec.snappy_decode),
    3: _Codec("lz4", _codec.has_lz4, lambda data: _codec.lz4_encode(data, level=1), _codec.lz4_decode),
    4: _Codec("zstd", _codec.has_zstd, _codec.zstd_encode, _codec.zstd_decode),
}
_NUMBERS = {each.name: number for number, each in _CODECS.items()}
_MISSING = "takes cramjam to {}: pip install cramjam"

_MAGIC = 2
#: Where a batch begins, how long the rest of it is, the epoch of its leader, and its kind.
_START = Struct(">qiib")
_BEFORE_LENGTH, _LENGTH = 8, Struct(">i")
_BEHIND_LENGTH = _BEFORE_LENGTH + _LENGTH.size
_CRC_AT, _CRC = 17, Struct(">I")
_ATTRIBUTES_AT, _ATTRIBUTES = 21, Struct(">h")
_CODEC_BITS = 0b111
#: The bytes of a batch before its records.
HEAD = 61
#: The most bytes of a record beside key, value and headers.
_RECORD_HEAD = 21


# -- writing


def is_available(compression: Compression) -> bool:
    """Is there a library for it?"""
    return compression == "none" or _CODECS[_NUMBERS[compression]].is_here()


def size_of(record: NewRecord) -> int:
    """Return the most bytes that a record may take, unpacked, in a batch that has `HEAD` bytes before them."""
    key, value, headers, _ = record
    return _RECORD_HEAD + _size_of(key, value, list(headers))


def encode(
    records: Sequence[NewRecord],
    *,
    producer: int,
    epoch: int,
    sequence: int,
    compression: Compression = "none",
    transactional: bool = False,
) -> bytes:
    """Return a batch of at least one record, as it is produced; -1 each for no producer, epoch and sequence.

    :raises ValueError: when the library for the compression is not there
    """
    builder = _builder(_MAGIC, 0, transactional, producer, epoch, sequence, maxsize)
    for place, (key, value, headers, timestamp) in enumerate(records):
        builder.append(place, timestamp, key, value, list(headers))
    batch = bytes(builder.build())
    return batch if compression == "none" else _packed(batch, _NUMBERS[compression])


def _packed(batch: bytes, number: int) -> bytes:
    """Return a batch with its records packed; as it is, if that made it no smaller."""
    kind = _CODECS[number]
    if not kind.is_here():
        raise ValueError(f"{kind.name} {_MISSING.format('pack')}")
    packed = kind.pack(batch[HEAD:])
    if HEAD + len(packed) >= len(batch):
        return batch
    small = bytearray(batch[:HEAD] + packed)
    _LENGTH.pack_into(small, _BEFORE_LENGTH, len(small) - _BEHIND_LENGTH)
    (attributes,) = _ATTRIBUTES.unpack_from(small, _ATTRIBUTES_AT)
    _ATTRIBUTES.pack_into(small, _ATTRIBUTES_AT, attributes | number)
    _CRC.pack_into(small, _CRC_AT, _crc(memoryview(small)[_ATTRIBUTES_AT:]))
    return bytes(small)


# -- reading


def decode(
    data: bytes | memoryview,
    *,
    position: int,
    aborted: Sequence[tuple[int, int]] = (),
    committed_only: bool,
) -> Decoded:
    """Return the records from a position on; what is cut off at the end is fetched again.

    :param aborted: the producer and the first offset of each transaction that came to nothing
    :raises Garbled: when what begins at the position is not whole; what is met behind it ends what is returned
    """
    records: list[Record] = []
    next_offset = position
    left_out = _LeftOut(aborted if committed_only else ())
    view = memoryview(data)
    try:
        for base, whole in _batches(view):
            batch = _checked(whole)
            behind = batch.next_offset
            if not left_out.takes(batch, whole):
                read = _within(base, behind, _records(batch, whole))
                records += read if base >= position else [each for each in read if each.offset >= position]
            next_offset = max(next_offset, behind)
    except Garbled:
        if next_offset == position:
            raise
    if next_offset == position and view:
        raise Garbled(f"of {len(view):,} bytes of records, none are a whole batch at {position}")
    return Decoded(records, next_offset)


def _batches(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Return where each batch begins, and the whole of it."""
    at, end = 0, len(view)
    while end - at >= _START.size:
        base, length, _, magic = _START.unpack_from(view, at)
        if magic != _MAGIC:
            older = " from before Kafka 0.11, which are too old" if magic in {0, 1} else ""
            raise Garbled(f"at {base} stand records of magic {magic}{older}: only those of magic 2 can be read")
        if length < HEAD - _BEHIND_LENGTH:
            raise Garbled(f"a batch at {base} announces {length} bytes")
        at, begin = at + _BEHIND_LENGTH + length, at
        if at <= end:
            yield base, view[begin:at]


def _checked(whole: memoryview) -> _Batch:
    batch = _batch(whole)
    if not batch.validate_crc():
        raise Garbled(f"the checksum of a batch that ends before {batch.next_offset} is wrong")
    return batch


def _within(base: int, behind: int, read: Sequence[Record]) -> Sequence[Record]:
    if read and (read[0].offset < base or read[-1].offset >= behind):
        raise Garbled(f"a batch at {base} ends before {behind}, and has records beyond that")
    return read


class _LeftOut:
    """What belongs to transactions that came to nothing, and the marks that they ended."""

    __slots__ = ("_coming", "_producers")

    def __init__(self, aborted: Sequence[tuple[int, int]]) -> None:
        self._coming = deque(sorted(aborted, key=lambda each: each[1]))
        self._producers: set[int] = set()

    def takes(self, batch: _Batch, whole: memoryview) -> bool:
        """Tell of each batch, in order, whether it is left out."""
        while self._coming and self._coming[0][1] < batch.next_offset:
            self._producers.add(self._coming.popleft()[0])
        if not batch.is_control_batch:
            return batch.is_transactional and batch.producer_id in self._producers
        if batch.producer_id in self._producers and _is_abort(_records(batch, whole)):
            self._producers.remove(batch.producer_id)
        return True


_CONTROL = Struct(">hh")
_ABORT = 0


def _is_abort(marks: Sequence[Record]) -> bool:
    key = marks[0].key if marks else None
    return key is not None and len(key) >= _CONTROL.size and _CONTROL.unpack_from(key)[1] == _ABORT


def _records(batch: _Batch, whole: memoryview) -> Sequence[Record]:
    number = batch.attributes & _CODEC_BITS
    kind = _CODECS.get(number)
    if kind and not kind.is_here():
        raise Garbled(f"records are packed with {kind.name}, which {_MISSING.format('unpack')}")
    try:
        return list(batch)
    except UnicodeDecodeError:
        # Whoever names headers so must not stop all who read behind him.
        return read_leniently(whole, kind.unpack(bytes(whole[HEAD:])) if kind else bytes(whole[HEAD:]))
    except Exception as wrong:
        # Whatever a codec raises.
        raise Garbled(f"a batch that ends before {batch.next_offset} holds no records: {wrong!r}") from wrong
