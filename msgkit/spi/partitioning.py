"""Which partition a key belongs to: the one that Kafka's own clients choose, on every broker that has parts."""

from functools import lru_cache
from struct import unpack_from

__all__ = ["murmur2", "partition_of"]

_SEED, _FACTOR = 0x9747B28C, 0x5BD1E995
_WORD, _POSITIVE = 0xFFFFFFFF, 0x7FFFFFFF
#: Keys come again; of longer ones, many would fill the memory.
_KEPT, _LONGEST_KEPT = 10_000, 256


def murmur2(data: bytes) -> int:
    """Return the hash of some bytes, a number of 32 bits with its sign, as Java has it."""
    size = len(data)
    words = size >> 2
    hashed = _SEED ^ size
    for word in unpack_from(f"<{words}I", data):
        word = word * _FACTOR & _WORD  # noqa: PLW2901 -- a name of its own would cost a tenth of the time
        hashed = (hashed * _FACTOR ^ (word ^ word >> 24) * _FACTOR) & _WORD
    if size & 3:
        hashed = (hashed ^ int.from_bytes(data[words << 2 :], "little")) * _FACTOR & _WORD
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _WORD
    hashed ^= hashed >> 15
    return hashed if hashed <= _POSITIVE else hashed - _WORD - 1


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, of so many."""
    if len(key) <= _LONGEST_KEPT:
        return _kept(key, partitions)
    return _partition_of(key, partitions)


def _partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & _POSITIVE) % partitions


_kept = lru_cache(_KEPT)(_partition_of)
