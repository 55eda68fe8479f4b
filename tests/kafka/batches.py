"""Batches as a broker keeps them: at their offsets, with its own marks in them."""

from importlib import import_module
from struct import pack, pack_into, unpack_from
from typing import Any

from msgkit_kafka.wire.records import NewRecord, encode

__all__ = ["ABORT", "APPENDED", "COMMIT", "CONTROL", "control", "marked", "placed", "record"]

_UTIL: Any = import_module("aiokafka.record.util")
#: Attributes: as the broker's clock says, and a mark of the broker's own.
APPENDED, CONTROL = 0x08, 0x20
ABORT, COMMIT = 0, 1


def record(number: int) -> NewRecord:
    return (b"key-%d" % number, b"value-%d" % number, [("name", b"%d" % number)], 1_700_000_000_000 + number)


def placed(batch: bytes, offset: int) -> bytes:
    return pack(">q", offset) + batch[8:]


def marked(batch: bytes, attributes: int = 0) -> bytes:
    """Return a batch with more attributes, and with the checksum that it should have."""
    changed = bytearray(batch)
    pack_into(">h", changed, 21, unpack_from(">h", changed, 21)[0] | attributes)
    pack_into(">I", changed, 17, _UTIL.calc_crc32c(bytes(changed[21:])))
    return bytes(changed)


def control(offset: int, *, producer: int, kind: int) -> bytes:
    """Return the mark that a producer's transaction ended."""
    mark = (pack(">hh", 0, kind), pack(">hi", 0, 0), (), 1_700_000_000_000)
    batch = encode([mark], producer=producer, epoch=0, sequence=-1, transactional=True)
    return placed(marked(batch, CONTROL), offset)
