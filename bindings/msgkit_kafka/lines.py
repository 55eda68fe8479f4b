"""What is on its way to one partition: what waits, and the batch of which it is not known yet what became of it."""

from asyncio import Future
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.logs import ProducedPartition
from msgkit_kafka.wire.records import NewRecord

__all__ = ["Batch", "Identity", "InDoubt", "Line", "NoSuchTopic", "Stored", "Write", "fail", "give_up", "texts"]


class NoSuchTopic(WireError):
    """There is no such topic, or no such partition of it."""


class InDoubt(WireError):
    """The broker may have the record, and will not say."""


class Stored(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    #: -1 where the broker does not tell it again.
    offset: int
    #: Seconds since 1970 by the broker's clock, where it keeps that time; else -1.
    appended: float


class Write(NamedTuple):
    record: NewRecord
    future: "Future[Stored]"
    size: int


class Identity(NamedTuple):
    number: int
    epoch: int


@dataclass(slots=True, eq=False)
class Batch:
    writes: Sequence[Write]
    data: bytes
    #: May the broker have it?
    in_doubt: bool = False

    @property
    def is_wanted(self) -> bool:
        return any(not write.future.done() for write in self.writes)


@dataclass(slots=True, eq=False)
class Line:
    """What goes to one partition."""

    topic: str
    partition: int
    waiting: deque[Write] = field(default_factory=deque[Write])
    batch: Batch | None = None
    is_flying: bool = False
    identity: Identity | None = None
    sequence: int = 0
    #: So many of those that come next go one by one, to find the one that is refused.
    alone: int = 0
    #: How often nobody knew the topic.
    missed: int = 0


def fail(writes: Iterable[Write], error: WireError) -> None:
    for write in writes:
        if not write.future.done():
            write.future.set_exception(error)


def give_up(lines: Iterable[Line], error: WireError) -> None:
    """Fail what was never written."""
    for line in lines:
        if line.batch is None:
            waiting, line.waiting = line.waiting, deque()
            fail(waiting, error)


def texts(outcome: ProducedPartition) -> Iterator[str]:
    return (each.text for each in outcome.wrong if each.text)
