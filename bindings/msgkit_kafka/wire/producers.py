"""What makes sends exact: a producer's number, and transactions."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.fields import (
    BOOLEAN,
    COMPACT_STRING,
    INT16,
    INT32,
    INT64,
    NULLABLE_COMPACT_STRING,
    NULLABLE_STRING,
    STRING,
    array,
    compact,
    record,
)

__all__ = [
    "ADD_OFFSETS",
    "ADD_PARTITIONS",
    "END_TRANSACTION",
    "INIT_PRODUCER",
    "TRANSACTION_COMMIT",
    "AddOffsets",
    "AddPartitions",
    "AddTopic",
    "Added",
    "AddedTopic",
    "AllAdded",
    "Answered",
    "End",
    "InitProducer",
    "OffsetPartition",
    "OffsetTopic",
    "Producer",
    "TransactionCommit",
]


class InitProducer(NamedTuple):
    transaction: str | None
    #: Milliseconds.
    timeout: int


class Producer(NamedTuple):
    throttle: int
    error: int
    number: int
    epoch: int


INIT_PRODUCER = Api(
    "InitProducerId",
    22,
    1,
    record(InitProducer, NULLABLE_STRING, INT32),
    record(Producer, INT32, INT16, INT64, INT16),
)


class AddTopic(NamedTuple):
    name: str
    partitions: Sequence[int]


class AddPartitions(NamedTuple):
    transaction: str
    producer: int
    epoch: int
    topics: Sequence[AddTopic]


class Added(NamedTuple):
    number: int
    error: int


class AddedTopic(NamedTuple):
    name: str
    partitions: Sequence[Added]


class AllAdded(NamedTuple):
    throttle: int
    topics: Sequence[AddedTopic]


_ADDED = record(AddedTopic, STRING, array(record(Added, INT32, INT16)))
ADD_PARTITIONS = Api(
    "AddPartitionsToTxn",
    24,
    1,
    record(AddPartitions, STRING, INT64, INT16, array(record(AddTopic, STRING, array(INT32)))),
    record(AllAdded, INT32, array(_ADDED)),
)


class AddOffsets(NamedTuple):
    transaction: str
    producer: int
    epoch: int
    group: str


class Answered(NamedTuple):
    throttle: int
    error: int


_ANSWERED = record(Answered, INT32, INT16)
ADD_OFFSETS = Api("AddOffsetsToTxn", 25, 1, record(AddOffsets, STRING, INT64, INT16, STRING), _ANSWERED)


class End(NamedTuple):
    transaction: str
    producer: int
    epoch: int
    is_commit: bool


END_TRANSACTION = Api("EndTxn", 26, 1, record(End, STRING, INT64, INT16, BOOLEAN), _ANSWERED)


class OffsetPartition(NamedTuple):
    number: int
    offset: int
    leader_epoch: int
    metadata: str | None


class OffsetTopic(NamedTuple):
    name: str
    partitions: Sequence[OffsetPartition]


class TransactionCommit(NamedTuple):
    transaction: str
    group: str
    producer: int
    epoch: int
    generation: int
    member: str
    instance: str | None
    topics: Sequence[OffsetTopic]


TRANSACTION_COMMIT = Api(
    "TxnOffsetCommit",
    28,
    3,
    record(
        TransactionCommit,
        COMPACT_STRING,
        COMPACT_STRING,
        INT64,
        INT16,
        INT32,
        COMPACT_STRING,
        NULLABLE_COMPACT_STRING,
        compact(
            record(
                OffsetTopic,
                COMPACT_STRING,
                compact(record(OffsetPartition, INT32, INT64, INT32, NULLABLE_COMPACT_STRING, tagged=True)),
                tagged=True,
            )
        ),
        tagged=True,
    ),
    record(
        AllAdded,
        INT32,
        compact(record(AddedTopic, COMPACT_STRING, compact(record(Added, INT32, INT16, tagged=True)), tagged=True)),
        tagged=True,
    ),
    flexible=True,
)
