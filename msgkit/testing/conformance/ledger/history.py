"""What happened, put together from the records of all who took part."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import NamedTuple, TypeVar

from msgkit.testing.conformance.ledger.conditions import Conditions, Handling
from msgkit.testing.conformance.ledger.lineage import Step, trace
from msgkit.testing.conformance.ledger.records import (
    Attempted,
    Began,
    Dead,
    Declared,
    Ended,
    Expired,
    Fault,
    Gap,
    Joined,
    Left,
    Outcome,
    Promises,
    Record,
    Resolved,
    Stopped,
)

__all__ = ["Breach", "Case", "History", "read"]

R = TypeVar("R")
H = TypeVar("H", Handling, Dead)


class Breach(NamedTuple):
    """A rule that was not kept: how, and by which messages."""

    message: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """All that became of one message at one queue that it was routed to."""

    sent: Attempted
    outcome: Outcome
    queue: Declared
    steps: Sequence[Step]
    dead: Sequence[Dead]

    @property
    def handlings(self) -> Sequence[Handling]:
        return tuple(step.handling for step in self.steps)

    @property
    def name(self) -> str:
        return f"{self.sent.message_id} at {self.queue.queue}"

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.sent.message_id,)

    @property
    def accepted(self) -> bool:
        return any(each.how == "accepted" for each in self.handlings)

    @property
    def rejecting(self) -> Sequence[Handling]:
        return tuple(each for each in self.handlings if each.how == "rejected")

    @property
    def settled(self) -> bool:
        return self.accepted or bool(self.rejecting) or bool(self.dead)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """The whole of it, as rules read it."""

    conditions: Conditions
    queues: Mapping[str, Declared]
    sent: Mapping[str, Attempted]
    outcomes: Mapping[str, Outcome]
    handlings: Sequence[Handling]
    #: Routed messages only, but for the refused ones: no delivery of those is right.
    cases: Sequence[Case]
    dead: Sequence[Dead]
    joined: Sequence[Joined]
    gaps: Sequence[Gap]
    expired: Mapping[str, int]
    left: Mapping[str, Left]
    end: float

    @property
    def seen(self) -> Iterator[Handling | Dead]:
        yield from self.handlings
        yield from self.dead

    def outcome(self, message_id: str) -> Outcome:
        """Return what came of a publish; one whose publisher never came to say it is unknown."""
        return self.outcomes.get(message_id, "unknown")

    def lanes(self) -> Iterator[tuple[Declared, Sequence[Case]]]:
        """Yield the cases that share a destination, a queue and a key."""
        lanes: defaultdict[tuple[str, str, str], list[Case]] = defaultdict(list)
        for case in self.cases:
            if case.sent.key is not None:
                lanes[case.sent.to, case.queue.queue, case.sent.key].append(case)
        for cases in lanes.values():
            yield cases[0].queue, cases


def read(records: Sequence[Record], tolerance: float) -> History:
    """Put the records together.

    :raises ValueError: if they contradict each other, as no run can
    """
    every = partial(_every, records)
    queues = {each.queue: each for each in every(Declared)}
    sent = {each.message_id: each for each in every(Attempted)}
    outcomes: dict[str, Outcome] = {each.message_id: each.outcome for each in every(Resolved)}
    conditions = Conditions(
        promises=_promises(every(Promises)),
        faults=sorted(every(Fault), key=lambda fault: fault.began),
        stops=every(Stopped),
        tolerance=tolerance,
    )
    handlings = _handlings(every(Began), every(Ended), queues)
    expired: defaultdict[str, int] = defaultdict(int)
    for each in every(Expired):
        expired[each.queue] += each.count
    return History(
        conditions=conditions,
        queues=queues,
        sent=sent,
        outcomes=outcomes,
        handlings=handlings,
        cases=tuple(_cases(sent, outcomes, queues, handlings, every(Dead), conditions)),
        dead=every(Dead),
        joined=every(Joined),
        gaps=every(Gap),
        expired=expired,
        left={each.queue: each for each in every(Left)},
        end=max(_times(records), default=-inf),
    )


def _every(records: Sequence[Record], kind: type[R]) -> Sequence[R]:
    return [record for record in records if isinstance(record, kind)]


def _promises(promises: Sequence[Promises]) -> Promises:
    if len(set(promises)) > 1:
        raise ValueError("ledgers of different promises cannot be judged together")
    return promises[0] if promises else Promises()


def _handlings(began: Sequence[Began], ended: Sequence[Ended], queues: Mapping[str, Declared]) -> Sequence[Handling]:
    handlings = {each.token: _begun(each) for each in began}
    for each in ended:
        handling = handlings[each.token]
        handlings[each.token] = replace(handling, how=each.how, end=each.at, after=each.after)
    complete = (_exhausted(each, queues.get(each.queue)) for each in handlings.values())
    return sorted(complete, key=lambda handling: handling.start)


def _begun(began: Began) -> Handling:
    return Handling(
        token=began.token,
        queue=began.queue,
        consumer=began.consumer,
        message_id=began.message_id,
        attempt=began.attempt,
        start=began.at,
        content=began.content,
    )


def _exhausted(handling: Handling, queue: Declared | None) -> Handling:
    limit = None if queue is None else queue.attempts
    if limit is not None and handling.how == "retried" and handling.attempt >= limit:
        return replace(handling, how="rejected")
    return handling


def _cases(
    sent: Mapping[str, Attempted],
    outcomes: Mapping[str, Outcome],
    queues: Mapping[str, Declared],
    handlings: Sequence[Handling],
    dead: Sequence[Dead],
    conditions: Conditions,
) -> Iterator[Case]:
    handled = _by_message(handlings)
    buried = _by_message(dead)
    for publish in sent.values():
        outcome = outcomes.get(publish.message_id, "unknown")
        if outcome == "refused":
            continue
        for name in publish.queues:
            place = name, publish.message_id
            queue = queues.get(name) or Declared(queue=name)
            resent = outcome == "unknown"
            forked = () if publish.due is None else conditions.forks_of(publish.at, publish.due)
            yield Case(
                sent=publish,
                outcome=outcome,
                queue=queue,
                steps=trace(handled.get(place, ()), queue, conditions, resent=resent, forked=forked),
                dead=buried.get(place, ()),
            )


def _by_message(records: Sequence[H]) -> Mapping[tuple[str, str], Sequence[H]]:
    found: defaultdict[tuple[str, str], list[H]] = defaultdict(list)
    for record in records:
        found[record.queue, record.message_id].append(record)
    return found


def _times(records: Sequence[Record]) -> Iterator[float]:
    for record in records:
        match record:
            case Attempted(at=at) | Began(at=at) | Ended(at=at) | Expired(at=at) | Joined(at=at) | Stopped(at=at):
                yield at
            case Fault(began=began, ended=ended) | Gap(began=began, ended=ended):
                yield began if ended is None else ended
            case _:
                pass
