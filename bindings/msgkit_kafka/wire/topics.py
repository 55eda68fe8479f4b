"""What is asked about topics: which there are and who leads them, what they are set to, and to make them."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.fields import (
    BOOLEAN,
    INT16,
    INT32,
    INT64,
    NULLABLE_STRING,
    STRING,
    array,
    nullable,
    record,
)

__all__ = [
    "CREATE_TOPICS",
    "DELETE_RECORDS",
    "METADATA",
    "AskMetadata",
    "Config",
    "Cut",
    "CutOf",
    "CutPartition",
    "CutResult",
    "CutTopic",
    "Cuts",
    "Metadata",
    "NewTopic",
    "NewTopics",
    "Node",
    "Outcome",
    "Outcomes",
    "PartitionState",
    "Replicas",
    "TopicState",
]


class AskMetadata(NamedTuple):
    #: None for all.
    topics: Sequence[str] | None
    may_create: bool = False


class Node(NamedTuple):
    number: int
    host: str
    port: int
    rack: str | None


class PartitionState(NamedTuple):
    error: int
    number: int
    #: -1 while there is none.
    leader: int
    leader_epoch: int
    replicas: Sequence[int]
    in_step: Sequence[int]
    offline: Sequence[int]


class TopicState(NamedTuple):
    error: int
    name: str
    is_internal: bool
    partitions: Sequence[PartitionState]


class Metadata(NamedTuple):
    throttle: int
    nodes: Sequence[Node]
    cluster: str | None
    controller: int
    topics: Sequence[TopicState]


METADATA = Api(
    "Metadata",
    3,
    7,
    record(AskMetadata, nullable(array(STRING)), BOOLEAN),
    record(
        Metadata,
        INT32,
        array(record(Node, INT32, STRING, INT32, NULLABLE_STRING)),
        NULLABLE_STRING,
        INT32,
        array(
            record(
                TopicState,
                INT16,
                STRING,
                BOOLEAN,
                array(record(PartitionState, INT16, INT32, INT32, INT32, array(INT32), array(INT32), array(INT32))),
            )
        ),
    ),
)


# -- making them


class Replicas(NamedTuple):
    partition: int
    nodes: Sequence[int]


class Config(NamedTuple):
    name: str
    value: str | None


class NewTopic(NamedTuple):
    name: str
    #: -1: as the broker is set.
    partitions: int
    #: Likewise.
    replication: int
    replicas: Sequence[Replicas]
    configs: Sequence[Config]


class NewTopics(NamedTuple):
    topics: Sequence[NewTopic]
    #: Milliseconds.
    timeout: int
    only_check: bool = False


class Outcome(NamedTuple):
    name: str
    error: int
    text: str | None


class Outcomes(NamedTuple):
    throttle: int
    topics: Sequence[Outcome]


CREATE_TOPICS = Api(
    "CreateTopics",
    19,
    4,
    record(
        NewTopics,
        array(
            record(
                NewTopic,
                STRING,
                INT32,
                INT16,
                array(record(Replicas, INT32, array(INT32))),
                array(record(Config, STRING, NULLABLE_STRING)),
            )
        ),
        INT32,
        BOOLEAN,
    ),
    record(Outcomes, INT32, array(record(Outcome, STRING, INT16, NULLABLE_STRING))),
)


# -- what stands in them is taken away up to an offset


class CutPartition(NamedTuple):
    number: int
    #: -1: all of it.
    before: int


class CutTopic(NamedTuple):
    name: str
    partitions: Sequence[CutPartition]


class Cut(NamedTuple):
    topics: Sequence[CutTopic]
    timeout: int


class CutResult(NamedTuple):
    number: int
    begin: int
    error: int


class CutOf(NamedTuple):
    name: str
    partitions: Sequence[CutResult]


class Cuts(NamedTuple):
    throttle: int
    topics: Sequence[CutOf]


DELETE_RECORDS = Api(
    "DeleteRecords",
    21,
    1,
    record(Cut, array(record(CutTopic, STRING, array(record(CutPartition, INT32, INT64)))), INT32),
    record(Cuts, INT32, array(record(CutOf, STRING, array(record(CutResult, INT32, INT64, INT16))))),
)
