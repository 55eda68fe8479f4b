"""Rules about order, and about what may run at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Generic, TypeVar

from msgkit.testing.conformance.ledger.conditions import Conditions, Handling
from msgkit.testing.conformance.ledger.history import Breach, Case, History
from msgkit.testing.conformance.ledger.lineage import Step

__all__ = ["failover", "lanes", "order", "strict"]

T = TypeVar("T")


def order(history: History) -> Iterator[Breach]:
    """Require that an ordered queue first handles a key's messages in the order of sending.

    That is the order in which one sender sent them to one destination. Delayed messages join
    their lane when they are due, and are not compared.
    """
    for queue, cases in history.lanes():
        if queue.ordered:
            for line in _lines(cases):
                yield from _overtaken(line)


def _lines(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    """Yield what can be compared: what each sender sent without a delay, in its order."""
    lines: defaultdict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.sent.sequence):
        if case.sent.due is None:
            lines[case.sent.sender].append(case)
    yield from lines.values()


def _overtaken(line: Sequence[Case]) -> Iterator[Breach]:
    latest, ahead = -inf, None
    for case in line:
        if not case.handlings:
            continue
        first = case.handlings[0].start
        if first < latest and ahead is not None:
            text = f"{case.name} was sent before {ahead.sent.message_id} and handled after it"
            yield Breach(text, (*case.ids, *ahead.ids))
        else:
            latest, ahead = first, case


def strict(history: History) -> Iterator[Breach]:
    """Require that a strict queue handles nothing sent after a dead letter of its key."""
    for queue, cases in history.lanes():
        if queue.ordered == "strict":
            for line in _lines(cases):
                yield from _orphans(line)


def _orphans(line: Sequence[Case]) -> Iterator[Breach]:
    dead: Case | None = None
    for case in line:
        if dead is not None and case.handlings:
            text = f"{case.name} was handled, though {dead.sent.message_id} before it is dead"
            yield Breach(text, (*case.ids, *dead.ids))
        if dead is None and case.dead and not case.accepted:
            dead = case


def lanes(history: History) -> Iterator[Breach]:
    """Require that one message of a key is handled at a time.

    Across all consumers where the queue is ordered, and then a retry holds its lane until the
    message is settled for good; within each consumer where it is not. A fault frees the lane of
    what it takes away, and what it brings back may come between.
    """
    for queue, cases in history.lanes():
        begun = sorted(
            ((step, case) for case in cases for step in case.steps),
            key=lambda pair: pair[0].handling.start,
        )
        yield from _crowded(begun, history.conditions)
        if queue.ordered:
            yield from _unheld(begun, history.conditions)


class _Open(Generic[T]):
    """What is open as time goes by: added with its end, and gone after that."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, int, T]] = []
        self._numbers = count()

    def add(self, item: T, end: float) -> None:
        heappush(self._ends, (end, next(self._numbers), item))

    def at(self, time: float) -> Iterator[T]:
        while self._ends and self._ends[0][0] <= time:
            heappop(self._ends)
        return (item for _, _, item in self._ends)


def _crowded(begun: Sequence[tuple[Step, Case]], conditions: Conditions) -> Iterator[Breach]:
    """Yield what begins while another message of its lane is being handled."""
    running = _Open[tuple[Handling, Case]]()
    for step, case in begun:
        this = step.handling
        for other, its in running.at(this.start + conditions.tolerance):
            if its is not case and _excludes(other, this, case, conditions):
                text = f"{case.name} began while {other.message_id} of its key was being handled"
                yield Breach(f"{text}, {_where(other, this)}", (*case.ids, *its.ids))
                break
        running.add((this, case), conditions.live_until(this))


def _excludes(running: Handling, begun: Handling, case: Case, conditions: Conditions) -> bool:
    if running.consumer == begun.consumer:
        batched = case.queue.batched and running.start == begun.start
        return not batched
    return bool(case.queue.ordered) and not _unaware(begun, conditions)


def _unaware(handling: Handling, conditions: Conditions) -> bool:
    """Tell whether its consumer cannot know yet that the lane is no longer its own."""
    return conditions.during(handling.consumer, handling.start) is not None


def _where(other: Handling, this: Handling) -> str:
    if other.consumer == this.consumer:
        return f"both at {this.consumer}"
    return f"at {this.consumer} and {other.consumer}"


def _unheld(begun: Sequence[tuple[Step, Case]], conditions: Conditions) -> Iterator[Breach]:
    """Yield what begins while another message of its lane waits to be handled again."""
    waiting = _Open[Case]()
    known: set[str] = set()
    brought_back: set[str] = set()
    for step, case in begun:
        this = step.handling
        if step.excused:
            brought_back.add(case.name)
        if case.name not in brought_back:
            for other in waiting.at(this.start + conditions.tolerance):
                if other is not case and _holds(other, this, conditions):
                    text = f"{case.name} began before {other.sent.message_id}, which held its lane,"
                    yield Breach(f"{text} was settled", (*case.ids, *other.ids))
                    break
        if case.name not in known:
            known.add(case.name)
            waiting.add(case, _settled_at(case))


def _holds(case: Case, begun: Handling, conditions: Conditions) -> bool:
    """Tell whether a message waits to be handled again, where this consumer can know of it."""
    before = [each for each in case.handlings if each.start <= begun.start]
    if any(conditions.live_until(each) > begun.start + conditions.tolerance for each in before):
        return False
    return before[-1].consumer == begun.consumer or not _unaware(begun, conditions)


def _settled_at(case: Case) -> float:
    """Return when a message lets its lane go: settled for good, or never seen again."""
    ends = [handling.end for handling in case.handlings if handling.final]
    return min(ends, default=case.handlings[-1].start)


def failover(history: History) -> Iterator[Breach]:
    """Require that one consumer at a time is active, where that is how order is kept."""
    if history.conditions.promises.order != "FAILOVER":
        return
    for queue in history.queues.values():
        if queue.ordered:
            mine = [each for each in history.handlings if each.queue == queue.queue]
            yield from _both_active(mine, history.conditions)


def _both_active(handlings: Sequence[Handling], conditions: Conditions) -> Iterator[Breach]:
    active = _Open[Handling]()
    for this in handlings:
        for other in active.at(this.start + conditions.tolerance):
            if other.consumer != this.consumer and not _unaware(this, conditions) and not _same_lane(other, this):
                text = f"{this.queue} was handled at {this.consumer} and {other.consumer} at once"
                yield Breach(text, (this.message_id, other.message_id))
                break
        active.add(this, conditions.live_until(this))


def _same_lane(one: Handling, other: Handling) -> bool:
    # Those are the business of other rules.
    key = one.content.key
    return one.message_id == other.message_id or (key is not None and key == other.content.key)
