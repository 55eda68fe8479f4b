"""What is asked of a group's coordinator: to be a member, and how far the group has come."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.fields import (
    BOOLEAN,
    BYTES,
    INT16,
    INT32,
    NULLABLE_STRING,
    OCTET,
    STRING,
    array,
    record,
)

__all__ = [
    "DESCRIBE_GROUPS",
    "FIND_COORDINATOR",
    "GROUP",
    "HEARTBEAT",
    "JOIN_GROUP",
    "LEAVE_GROUP",
    "SYNC_GROUP",
    "TRANSACTION",
    "AllLeft",
    "Answered",
    "Assigned",
    "Beat",
    "Coordinator",
    "DescribeGroups",
    "FindCoordinator",
    "GroupState",
    "GroupStates",
    "Join",
    "Joined",
    "Leave",
    "Leaver",
    "Left",
    "Member",
    "MemberState",
    "Protocol",
    "Sync",
    "Synced",
]

#: What is coordinated.
GROUP, TRANSACTION = 0, 1


class FindCoordinator(NamedTuple):
    name: str
    kind: int


class Coordinator(NamedTuple):
    throttle: int
    error: int
    text: str | None
    node: int
    host: str
    port: int


FIND_COORDINATOR = Api(
    "FindCoordinator",
    10,
    2,
    record(FindCoordinator, STRING, OCTET),
    record(Coordinator, INT32, INT16, NULLABLE_STRING, INT32, STRING, INT32),
)


# -- membership


class Protocol(NamedTuple):
    name: str
    metadata: bytes | memoryview


class Join(NamedTuple):
    group: str
    #: Milliseconds, likewise the next.
    session_timeout: int
    rebalance_timeout: int
    member: str
    instance: str | None
    kind: str
    protocols: Sequence[Protocol]


class Member(NamedTuple):
    member: str
    instance: str | None
    metadata: bytes | memoryview


class Joined(NamedTuple):
    throttle: int
    error: int
    generation: int
    protocol: str
    leader: str
    member: str
    #: Told to the leader only.
    members: Sequence[Member]


JOIN_GROUP = Api(
    "JoinGroup",
    11,
    5,
    record(Join, STRING, INT32, INT32, STRING, NULLABLE_STRING, STRING, array(record(Protocol, STRING, BYTES))),
    record(
        Joined,
        INT32,
        INT16,
        INT32,
        STRING,
        STRING,
        STRING,
        array(record(Member, STRING, NULLABLE_STRING, BYTES)),
    ),
)


class Assigned(NamedTuple):
    member: str
    assignment: bytes | memoryview


class Sync(NamedTuple):
    group: str
    generation: int
    member: str
    instance: str | None
    assignments: Sequence[Assigned]


class Synced(NamedTuple):
    throttle: int
    error: int
    assignment: bytes | memoryview


SYNC_GROUP = Api(
    "SyncGroup",
    14,
    3,
    record(Sync, STRING, INT32, STRING, NULLABLE_STRING, array(record(Assigned, STRING, BYTES))),
    record(Synced, INT32, INT16, BYTES),
)


class Beat(NamedTuple):
    group: str
    generation: int
    member: str
    instance: str | None


class Answered(NamedTuple):
    throttle: int
    error: int


HEARTBEAT = Api(
    "Heartbeat", 12, 3, record(Beat, STRING, INT32, STRING, NULLABLE_STRING), record(Answered, INT32, INT16)
)


class Leaver(NamedTuple):
    member: str
    instance: str | None


class Leave(NamedTuple):
    group: str
    members: Sequence[Leaver]


class Left(NamedTuple):
    member: str
    instance: str | None
    error: int


class AllLeft(NamedTuple):
    throttle: int
    error: int
    members: Sequence[Left]


LEAVE_GROUP = Api(
    "LeaveGroup",
    13,
    3,
    record(Leave, STRING, array(record(Leaver, STRING, NULLABLE_STRING))),
    record(AllLeft, INT32, INT16, array(record(Left, STRING, NULLABLE_STRING, INT16))),
)


# -- looking


class DescribeGroups(NamedTuple):
    groups: Sequence[str]
    with_permissions: bool = False


class MemberState(NamedTuple):
    member: str
    instance: str | None
    client: str
    host: str
    metadata: bytes | memoryview
    assignment: bytes | memoryview


class GroupState(NamedTuple):
    error: int
    name: str
    #: Such as Stable, Empty, Dead.
    state: str
    kind: str
    protocol: str
    members: Sequence[MemberState]
    permissions: int


class GroupStates(NamedTuple):
    throttle: int
    groups: Sequence[GroupState]


DESCRIBE_GROUPS = Api(
    "DescribeGroups",
    15,
    4,
    record(DescribeGroups, array(STRING), BOOLEAN),
    record(
        GroupStates,
        INT32,
        array(
            record(
                GroupState,
                INT16,
                STRING,
                STRING,
                STRING,
                STRING,
                array(record(MemberState, STRING, NULLABLE_STRING, STRING, STRING, BYTES, BYTES)),
                INT32,
            )
        ),
    ),
)
