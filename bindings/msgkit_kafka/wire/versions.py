"""Whether a broker knows what is asked of it here."""

from collections.abc import Sequence
from typing import Any

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.configs import DESCRIBE_CONFIGS
from msgkit_kafka.wire.doors import Known
from msgkit_kafka.wire.groups import (
    DESCRIBE_GROUPS,
    FIND_COORDINATOR,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    SYNC_GROUP,
)
from msgkit_kafka.wire.logs import FETCH, LIST_OFFSETS, PRODUCE
from msgkit_kafka.wire.positions import OFFSET_COMMIT, OFFSET_FETCH
from msgkit_kafka.wire.producers import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TRANSACTION,
    INIT_PRODUCER,
    TRANSACTION_COMMIT,
)
from msgkit_kafka.wire.topics import CREATE_TOPICS, DELETE_RECORDS, METADATA

__all__ = ["NEEDED", "missing"]

NEEDED: Sequence[Api[Any, Any]] = (
    METADATA,
    PRODUCE,
    FETCH,
    LIST_OFFSETS,
    INIT_PRODUCER,
    ADD_PARTITIONS,
    ADD_OFFSETS,
    END_TRANSACTION,
    TRANSACTION_COMMIT,
    FIND_COORDINATOR,
    JOIN_GROUP,
    SYNC_GROUP,
    HEARTBEAT,
    LEAVE_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    DESCRIBE_GROUPS,
    CREATE_TOPICS,
    DELETE_RECORDS,
    DESCRIBE_CONFIGS,
)


def missing(known: Sequence[Known]) -> str:
    """Return what is asked here and not known there, in words; nothing when all is well."""
    versions = {each.key: range(each.lowest, each.highest + 1) for each in known}
    return ", ".join(f"{api.name} {api.version}" for api in NEEDED if api.version not in versions.get(api.key, ()))
