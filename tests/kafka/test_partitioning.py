from importlib import import_module
from random import Random
from typing import Any

import pytest

from msgkit.spi.partitioning import murmur2, partition_of

THEIRS: Any = import_module("aiokafka.partitioner")


# Those of Kafka's own UtilsTest.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_is_hashed_as_in_java(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed
    assert partition_of(key, 7) == (hashed & 0x7FFFFFFF) % 7


def test_a_key_is_hashed_as_by_another_client() -> None:
    random = Random(1)  # noqa: S311 -- the same each time
    for size in [*range(64), *(random.randrange(5_000) for _ in range(50))]:
        key = random.randbytes(size)
        assert murmur2(key) % 2**32 == THEIRS.murmur2(key)


def test_a_key_stands_in_the_partition_that_another_client_chooses() -> None:
    random = Random(2)  # noqa: S311 -- the same each time
    choose = THEIRS.DefaultPartitioner()
    for _ in range(500):
        key, partitions = random.randbytes(random.randrange(300)), random.randrange(1, 200)
        for _ in range(2):
            assert partition_of(key, partitions) == choose(key, list(range(partitions)), [])
