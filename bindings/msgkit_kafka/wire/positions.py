"""What is asked of a group's coordinator about how far the group has come."""

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
    "OFFSET_COMMIT",
    "OFFSET_FETCH",
    "AskOffsets",
    "AskTopic",
    "Commit",
    "CommitOf",
    "CommitPartition",
    "CommitResult",
    "CommitTopic",
    "Committed",
    "CommittedPartition",
    "CommittedTopic",
    "OffsetsOf",
]


class CommitPartition(NamedTuple):
    number: int
    offset: int
    metadata: str | None


class CommitTopic(NamedTuple):
    name: str
    partitions: Sequence[CommitPartition]


class Commit(NamedTuple):
    group: str
    #: -1 for who is no member.
    generation: int
    member: str
    #: Milliseconds for which it is kept.
    kept: int
    topics: Sequence[CommitTopic]


class CommitResult(NamedTuple):
    number: int
    error: int


class CommitOf(NamedTuple):
    name: str
    partitions: Sequence[CommitResult]


class Committed(NamedTuple):
    throttle: int
    topics: Sequence[CommitOf]


OFFSET_COMMIT = Api(
    "OffsetCommit",
    8,
    # The last that says how long. With later ones the brokers forget what nobody was in for a week, say.
    4,
    record(
        Commit,
        STRING,
        INT32,
        STRING,
        INT64,
        array(record(CommitTopic, STRING, array(record(CommitPartition, INT32, INT64, NULLABLE_STRING)))),
    ),
    record(Committed, INT32, array(record(CommitOf, STRING, array(record(CommitResult, INT32, INT16))))),
)


class AskTopic(NamedTuple):
    name: str
    partitions: Sequence[int]


class AskOffsets(NamedTuple):
    group: str
    topics: Sequence[tuple[str, Sequence[int]]]
    #: Not while a transaction may change them.
    stable: bool = True


class CommittedPartition(NamedTuple):
    number: int
    #: -1 where there is none.
    offset: int
    leader_epoch: int
    metadata: str | None
    error: int


class CommittedTopic(NamedTuple):
    name: str
    partitions: Sequence[CommittedPartition]


class OffsetsOf(NamedTuple):
    throttle: int
    topics: Sequence[CommittedTopic]
    error: int


OFFSET_FETCH = Api(
    "OffsetFetch",
    9,
    7,
    record(
        AskOffsets,
        COMPACT_STRING,
        compact(record(AskTopic, COMPACT_STRING, compact(INT32), tagged=True)),
        BOOLEAN,
        tagged=True,
    ),
    record(
        OffsetsOf,
        INT32,
        compact(
            record(
                CommittedTopic,
                COMPACT_STRING,
                compact(record(CommittedPartition, INT32, INT64, INT32, NULLABLE_COMPACT_STRING, INT16, tagged=True)),
                tagged=True,
            )
        ),
        INT16,
        tagged=True,
    ),
    flexible=True,
)
