"""What is asked about what stands in partitions: to add to it, to read it, and where it begins and ends."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.fields import (
    INT16,
    INT32,
    INT64,
    NULLABLE_BYTES,
    NULLABLE_STRING,
    OCTET,
    STRING,
    array,
    record,
)

__all__ = [
    "EARLIEST",
    "FETCH",
    "LATEST",
    "LIST_OFFSETS",
    "PRODUCE",
    "Aborted",
    "AllSought",
    "Fetch",
    "FetchPartition",
    "FetchTopic",
    "Fetched",
    "FetchedPartition",
    "FetchedTopic",
    "Forgotten",
    "ListOffsets",
    "Produce",
    "ProducePartition",
    "ProduceTopic",
    "Produced",
    "ProducedPartition",
    "ProducedTopic",
    "Seek",
    "SeekTopic",
    "Sought",
    "SoughtTopic",
    "WrongRecord",
]

#: Instead of a time: the end, and the beginning.
LATEST, EARLIEST = -1, -2


class ProducePartition(NamedTuple):
    number: int
    records: bytes | memoryview


class ProduceTopic(NamedTuple):
    name: str
    partitions: Sequence[ProducePartition]


class Produce(NamedTuple):
    transaction: str | None
    #: -1: by all replicas that are in step.
    acks: int
    #: Milliseconds for the replicas.
    timeout: int
    topics: Sequence[ProduceTopic]


class WrongRecord(NamedTuple):
    number: int
    text: str | None


class ProducedPartition(NamedTuple):
    number: int
    error: int
    offset: int
    #: Milliseconds since 1970, where the broker keeps the time; else -1.
    appended: int
    begin: int
    wrong: Sequence[WrongRecord]
    text: str | None


class ProducedTopic(NamedTuple):
    name: str
    partitions: Sequence[ProducedPartition]


class Produced(NamedTuple):
    topics: Sequence[ProducedTopic]
    throttle: int


PRODUCE = Api(
    "Produce",
    0,
    8,
    record(
        Produce,
        NULLABLE_STRING,
        INT16,
        INT32,
        array(record(ProduceTopic, STRING, array(record(ProducePartition, INT32, NULLABLE_BYTES)))),
    ),
    record(
        Produced,
        array(
            record(
                ProducedTopic,
                STRING,
                array(
                    record(
                        ProducedPartition,
                        INT32,
                        INT16,
                        INT64,
                        INT64,
                        INT64,
                        array(record(WrongRecord, INT32, NULLABLE_STRING)),
                        NULLABLE_STRING,
                    )
                ),
            )
        ),
        INT32,
    ),
)


class FetchPartition(NamedTuple):
    number: int
    leader_epoch: int
    offset: int
    begin: int
    most_bytes: int


class FetchTopic(NamedTuple):
    name: str
    partitions: Sequence[FetchPartition]


class Forgotten(NamedTuple):
    name: str
    partitions: Sequence[int]


class Fetch(NamedTuple):
    """A question that the broker may think about for a while."""

    replica: int
    #: Milliseconds.
    most_wait: int
    least_bytes: int
    most_bytes: int
    #: 1: only what was committed.
    isolation: int
    session: int
    session_epoch: int
    topics: Sequence[FetchTopic]
    forgotten: Sequence[Forgotten]
    rack: str


class Aborted(NamedTuple):
    producer: int
    first: int


class FetchedPartition(NamedTuple):
    number: int
    error: int
    end: int
    #: Up to where no transaction is open.
    stable_end: int
    begin: int
    aborted: Sequence[Aborted]
    preferred: int
    records: memoryview | None


class FetchedTopic(NamedTuple):
    name: str
    partitions: Sequence[FetchedPartition]


class Fetched(NamedTuple):
    throttle: int
    error: int
    session: int
    topics: Sequence[FetchedTopic]


FETCH = Api(
    "Fetch",
    1,
    11,
    record(
        Fetch,
        INT32,
        INT32,
        INT32,
        INT32,
        OCTET,
        INT32,
        INT32,
        array(record(FetchTopic, STRING, array(record(FetchPartition, INT32, INT32, INT64, INT64, INT32)))),
        array(record(Forgotten, STRING, array(INT32))),
        STRING,
    ),
    record(
        Fetched,
        INT32,
        INT16,
        INT32,
        array(
            record(
                FetchedTopic,
                STRING,
                array(
                    record(
                        FetchedPartition,
                        INT32,
                        INT16,
                        INT64,
                        INT64,
                        INT64,
                        array(record(Aborted, INT64, INT64)),
                        INT32,
                        NULLABLE_BYTES,
                    )
                ),
            )
        ),
    ),
)


class Seek(NamedTuple):
    number: int
    leader_epoch: int
    #: Milliseconds since 1970: the first that is not older.
    time: int


class SeekTopic(NamedTuple):
    name: str
    partitions: Sequence[Seek]


class ListOffsets(NamedTuple):
    replica: int
    isolation: int
    topics: Sequence[SeekTopic]


class Sought(NamedTuple):
    number: int
    error: int
    time: int
    #: -1 where there is none.
    offset: int
    leader_epoch: int


class SoughtTopic(NamedTuple):
    name: str
    partitions: Sequence[Sought]


class AllSought(NamedTuple):
    throttle: int
    topics: Sequence[SoughtTopic]


LIST_OFFSETS = Api(
    "ListOffsets",
    2,
    5,
    record(ListOffsets, INT32, OCTET, array(record(SeekTopic, STRING, array(record(Seek, INT32, INT32, INT64))))),
    record(
        AllSought,
        INT32,
        array(record(SoughtTopic, STRING, array(record(Sought, INT32, INT16, INT64, INT64, INT32)))),
    ),
)
