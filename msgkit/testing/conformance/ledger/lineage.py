"""Why each delivery of a message came: traced through the copies the broker may hand out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from msgkit.testing.conformance.ledger.conditions import Conditions, Handling
from msgkit.testing.conformance.ledger.records import Declared

__all__ = ["Cause", "Step", "Stray", "trace"]

#: What entitled the broker to a delivery. `stale`: a consumer begins during a fault what has
#: been given to another already, because it does not know yet.
Cause = Literal["sent", "retry", "release", "fault", "stale"]
#: What is wrong with a delivery that nothing entitled the broker to.
Stray = Literal["accepted", "dead", "competing", "duplicate", "attempt"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A delivery, and either what entitled the broker to it or what is wrong with it."""

    handling: Handling
    verdict: Cause | Stray
    #: The delivery it follows from, or the one it contradicts.
    source: Handling | None
    #: Not before then.
    due: float = -inf

    @property
    def excused(self) -> bool:
        return self.verdict in {"fault", "stale"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Copy:
    """A copy that the broker may hand out, once."""

    cause: Cause
    source: Handling | None
    lowest: int
    highest: int
    since: float
    due: float = -inf


def trace(
    handlings: Sequence[Handling],
    queue: Declared,
    conditions: Conditions,
    *,
    resent: bool,
    forked: Sequence[float] = (),
) -> Sequence[Step]:
    """Return a step for each delivery of one message to one queue, given in order of begin.

    :param resent: the broker may have any number of copies, because the publish is unknown
    :param forked: when the broker went down while it held the message for later, and may have made one copy more
    """
    tracer = _Tracer(queue, conditions, resent=resent)
    tracer.fork(forked)
    return tuple(tracer.step(handling) for handling in handlings)


class _Tracer:
    def __init__(self, queue: Declared, conditions: Conditions, *, resent: bool) -> None:
        self._conditions = conditions
        self._promises = conditions.promises
        self._in_place = self._promises.holds and queue.ordered is not False
        self._resent = resent
        self._past: list[Handling] = []
        self._copies = [_Copy(cause="sent", source=None, lowest=1, highest=1, since=-inf)]

    def fork(self, times: Sequence[float]) -> None:
        """Take it that there may be a copy more from each of these times on."""
        self._copies += [_Copy(cause="fault", source=None, lowest=1, highest=1, since=since) for since in times]

    def step(self, handling: Handling) -> Step:
        step = self._entitled(handling) or self._stale(handling) or self._stray(handling)
        self._past.append(handling)
        self._copies.extend(self._left_by(handling))
        if step.verdict != "stale":
            self._copies.extend(self._brought_back(handling))
        return step

    def _entitled(self, handling: Handling) -> Step | None:
        now = handling.start + self._conditions.tolerance
        there = [copy for copy in self._there_for(handling) if self._fits(copy, handling)]
        if not there:
            return None
        # What is due, what needs nothing to have been forgotten, and what comes without a fault, is taken first.
        copy = min(there, key=lambda copy: (copy.due > now, handling.attempt < copy.lowest, copy.cause == "fault"))
        self._take(copy)
        return Step(handling, copy.cause, copy.source, copy.due)

    def _there_for(self, handling: Handling) -> list[_Copy]:
        latest = handling.start + self._conditions.tolerance
        return [copy for copy in self._copies if copy.since <= latest]

    def _take(self, taken: _Copy) -> None:
        if self._resent and taken.cause == "sent":
            return
        self._copies = [
            copy
            for copy in self._copies
            if copy is not taken
            and (copy.source is None or copy.source is not taken.source or self._forks(copy.source))
        ]

    def _forks(self, source: Handling | None) -> bool:
        """Tell whether the copy made to retry it and the original may both come."""
        # What is tried in place has no copy.
        return self._promises.forks and not self._in_place and source is not None and source.how == "retried"

    def _fits(self, copy: _Copy, handling: Handling) -> bool:
        lowest = 1 if self._forgotten(copy, handling) else copy.lowest
        highest = copy.highest
        if self._promises.overcounts:
            highest += self._conditions.disturbances(copy.since, handling.start)
        return lowest <= handling.attempt <= highest

    def _forgotten(self, copy: _Copy, handling: Handling) -> bool:
        """Tell whether attempts made in place were lost on the way to this consumer."""
        if copy.source is None or not self._in_place:
            return False
        return (
            copy.cause != "retry"
            or copy.source.consumer != handling.consumer
            or self._conditions.disturbed(handling.consumer, copy.source.end, handling.start)
        )

    def _stale(self, handling: Handling) -> Step | None:
        fault = self._conditions.during(handling.consumer, handling.start)
        if fault is None:
            return None
        since = [past for past in self._past if past.start >= fault.began]
        if any(past.consumer == handling.consumer for past in since):
            return None
        for past in since:
            if past.attempt == handling.attempt:
                return Step(handling, "stale", past)
        return None

    def _stray(self, handling: Handling) -> Step:
        there = self._there_for(handling)
        if there:
            self._take(there[0])
            return Step(handling, "attempt", there[0].source)
        ended = [past for past in self._past if past.end <= handling.start]
        for how, stray in _RETURNED:
            for past in ended:
                if past.how == how:
                    return Step(handling, stray, past)
        last = self._past[-1]
        together = last.consumer == handling.consumer
        return Step(handling, "duplicate" if together else "competing", last)

    def _left_by(self, handling: Handling) -> Iterator[_Copy]:
        """Yield what the broker may hand out because of how this delivery ended."""
        if handling.how == "retried":
            due = handling.end + handling.after
            yield self._copy("retry", handling, handling.attempt + 1, since=handling.end, due=due)
            if handling.after and self._forks(handling):
                for since in self._conditions.forks_of(handling.end, due):
                    yield replace(self._copy("retry", handling, handling.attempt + 1, since=since), cause="fault")
        elif handling.how == "released":
            yield self._copy("release", handling, handling.attempt, since=handling.end)

    def _brought_back(self, handling: Handling) -> Iterator[_Copy]:
        """Yield what a fault may make of it."""
        fault = self._conditions.exposure(handling)
        if fault is not None:
            copy = self._copy("fault", handling, handling.attempt, since=fault.began)
            # Who counts deliveries may have forgotten some when it is killed.
            forgets = self._promises.overcounts and fault.kind == "broker-kill"
            yield replace(copy, lowest=1) if forgets else copy

    def _copy(self, cause: Cause, source: Handling, attempt: int, *, since: float, due: float = -inf) -> _Copy:
        # A fault may undo a retry or keep it, and who counts deliveries counts a release too.
        unsure = (cause == "fault" and source.how == "retried") or (cause != "retry" and self._promises.overcounts)
        return _Copy(
            cause=cause,
            source=source,
            lowest=attempt,
            highest=attempt + unsure,
            since=since,
            due=due,
        )


_RETURNED: Sequence[tuple[str, Stray]] = (("accepted", "accepted"), ("rejected", "dead"))
