"""What the members of a group of consumers tell its leader, and what it tells them: Kafka carries both as they are.

Versions only ever add at the end. So whoever knows an older one reads its part of a newer one, and what is written
here is the newest that Java writes: nobody is told less than he can read.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from msgkit_kafka.wire.errors import Garbled
from msgkit_kafka.wire.fields import INT16, INT32, NULLABLE_BYTES, NULLABLE_STRING, STRING, Reader, array, record

__all__ = [
    "ASSIGNOR",
    "KIND",
    "NEVER",
    "Assignment",
    "Partition",
    "Subscription",
    "decode_assignment",
    "decode_subscription",
    "encode_assignment",
    "encode_subscription",
]

#: How a group of consumers is told from other groups, and how its leader shares out: as in Java.
KIND, ASSIGNOR = "consumer", "cooperative-sticky"
#: The generation of a member that was not given anything yet.
NEVER = -1

_VERSION = 3
_WITH_OWNED, _WITH_GENERATION, _WITH_RACK = 1, 2, 3
_GENERATION = Struct(">i")


class Partition(NamedTuple):
    topic: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a member wants, and what it has."""

    topics: tuple[str, ...]
    owned: frozenset[Partition] = frozenset()
    #: The one that gave it what it owns.
    generation: int = NEVER
    rack: str | None = None
    #: What came beside it. When there is none, the generation is written, as `cooperative-sticky` does it.
    user_data: bytes | None = None
    #: What else is written behind the generation; others stop reading before it.
    also: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a member is given."""

    partitions: frozenset[Partition]
    user_data: bytes | None = None


class _OfTopic(NamedTuple):
    topic: str
    numbers: Sequence[int]


_TOPICS = array(STRING)
_PARTITIONS = array(record(_OfTopic, STRING, array(INT32)))


def encode_subscription(subscription: Subscription) -> bytes:
    generation = _GENERATION.pack(subscription.generation)
    out = bytearray()
    INT16.write(out, _VERSION)
    _TOPICS.write(out, subscription.topics)
    said = subscription.user_data
    NULLABLE_BYTES.write(out, generation + subscription.also if said is None else said)
    _PARTITIONS.write(out, _by_topic(subscription.owned))
    out += generation
    NULLABLE_STRING.write(out, subscription.rack)
    return bytes(out)


def decode_subscription(data: bytes | memoryview) -> Subscription:
    """Read any version; of one that is newer than those known here, what is known.

    :raises Garbled: when it is none
    """
    reader = Reader(data)
    version = _version(reader)
    topics = tuple(_TOPICS.read(reader))
    user_data = _kept(NULLABLE_BYTES.read(reader))
    owned = _PARTITIONS.read(reader) if version >= _WITH_OWNED else ()
    generation = INT32.read(reader) if version >= _WITH_GENERATION else NEVER
    rack = NULLABLE_STRING.read(reader) if version >= _WITH_RACK else None
    return Subscription(
        topics=topics,
        owned=_together(owned),
        generation=_remembered(user_data) if generation < 0 else generation,
        rack=rack or None,
        user_data=user_data,
    )


def encode_assignment(assignment: Assignment) -> bytes:
    out = bytearray()
    INT16.write(out, _VERSION)
    _PARTITIONS.write(out, _by_topic(assignment.partitions))
    NULLABLE_BYTES.write(out, assignment.user_data)
    return bytes(out)


def decode_assignment(data: bytes | memoryview) -> Assignment:
    """Read any version, likewise.

    :raises Garbled: when it is none
    """
    reader = Reader(data)
    _version(reader)
    partitions = _PARTITIONS.read(reader)
    return Assignment(partitions=_together(partitions), user_data=_kept(NULLABLE_BYTES.read(reader)))


def _version(reader: Reader) -> int:
    version = INT16.read(reader)
    if version < 0:
        raise Garbled(f"there is no version {version}")
    return version


def _kept(data: bytes | memoryview | None) -> bytes | None:
    return None if data is None else bytes(data)


def _remembered(user_data: bytes | None) -> int:
    """Tell the generation where its field is not yet: Java's clients have that since 3.2."""
    # Other sizes are other clients', who write something else there.
    if user_data is None or len(user_data) != _GENERATION.size:
        return NEVER
    (generation,) = _GENERATION.unpack(user_data)
    return max(int(generation), NEVER)


def _by_topic(partitions: Collection[Partition]) -> list[_OfTopic]:
    numbers: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        numbers.setdefault(topic, []).append(number)
    return [_OfTopic(*each) for each in numbers.items()]


def _together(groups: Iterable[_OfTopic]) -> frozenset[Partition]:
    return frozenset(Partition(topic, number) for topic, numbers in groups for number in numbers)
