"""Rules about what a message carries, to its handler and to the dead letters."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from msgkit.testing.conformance.ledger.conditions import Handling
from msgkit.testing.conformance.ledger.history import Breach, Case, History
from msgkit.testing.conformance.ledger.records import Content, Typed

__all__ = ["dead_letters", "fidelity"]

_OWN = "msgkit-"


def fidelity(history: History) -> Iterator[Breach]:
    """Require that what is handled is what was sent: body, key, subject and headers.

    Header values keep their exact types. Only headers of msgkit's own may differ.
    """
    for case in history.cases:
        for handling in case.handlings:
            for difference in _differences(case.sent.content, handling.content):
                yield Breach(f"{case.name} arrived altered: {difference}", case.ids)


def _differences(sent: Content, seen: Content) -> Iterator[str]:
    for name, before, after in (
        ("body", sent.body, seen.body),
        ("key", sent.key, seen.key),
        ("subject", sent.subject, seen.subject),
    ):
        if before != after:
            yield f"{name} {before!r} became {after!r}"
    yield from _altered("header ", _theirs(sent.headers), _theirs(seen.headers))
    yield from _altered("", _named(sent.meta), _named(seen.meta))


def _theirs(headers: tuple[Typed, ...]) -> Mapping[str, str]:
    named = _named(headers)
    return {name: value for name, value in named.items() if not name.lower().startswith(_OWN)}


def _named(values: tuple[Typed, ...]) -> Mapping[str, str]:
    return {name: f"{kind} {text}" for name, kind, text in values}


def _altered(what: str, sent: Mapping[str, str], seen: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(sent.keys() | seen.keys()):
        before, after = sent.get(name, "nothing"), seen.get(name, "nothing")
        if before != after:
            yield f"{what}{name} was {before:.80} and became {after:.80}"


def dead_letters(history: History) -> Iterator[Breach]:
    """Require that what is rejected or exhausted is in the dead letters, once, as it was sent.

    It is never handled again. It is there more than once only where a fault forked it. Nothing
    else is there but poison, what crashed its consumers, and what strictly follows a dead
    letter. A queue without dead letters has none.
    """
    followers = _followers(history)
    for case in history.cases:
        yield from _number(case, history, follows=case.name in followers)
        yield from _resurrected(case)
        for dead in case.dead:
            kept = dead.content._replace(subject=case.sent.content.subject, meta=case.sent.content.meta)
            for difference in _differences(case.sent.content, kept):
                yield Breach(f"{case.name} was dead-lettered altered: {difference}", case.ids)


def _followers(history: History) -> set[str]:
    """Return the names of the cases that stand behind a dead letter of their strict lane."""
    found: set[str] = set()
    for queue, cases in history.lanes():
        if queue.ordered == "strict":
            first: dict[str, int] = {}
            for case in cases:
                if case.dead:
                    sender, place = case.sent.sender, case.sent.sequence
                    first[sender] = min(first.get(sender, place), place)
            found.update(
                case.name
                for case in cases
                for sender, place in first.items()
                if sender != case.sent.sender or place < case.sent.sequence or case.sent.due is not None
            )
    return found


def _number(case: Case, history: History, *, follows: bool) -> Iterator[Breach]:
    least, most = _expected(case, history, follows=follows)
    found = len(case.dead)
    if not least <= found <= most:
        wanted = f"{least}" if least == most else f"{least} to {most:.0f}"
        text = f"{case.name} is {found} times in the dead letters, where {wanted} was right"
        yield Breach(text, case.ids)


def _expected(case: Case, history: History, *, follows: bool) -> tuple[int, float]:
    """Return how many dead letters there are, at the least and at the most."""
    if not case.queue.dead_letters:
        return 0, 0
    forks = history.conditions.promises.forks
    free = _dies_unrejected(case, history, follows=follows)
    rejected, exposed = len(case.rejecting), _exposed(case.rejecting, history)
    if case.outcome == "unknown":
        # One copy may follow the dead letter of another.
        free = free or case.queue.ordered == "strict"
        return rejected - exposed, inf if free else rejected + forks * exposed
    if not rejected:
        return 0, free * (1 + forks * len(history.conditions.faults))
    kept = rejected - _returned(case)
    # What came back may have expired before anybody was given it; or was accepted, as itself or as a fork. And what is
    # taken for a double that was made while it waited may be what came back.
    may_differ = case.sent.expires is not None or (forks and (case.accepted or _is_doubled(case)))
    least = rejected - exposed if may_differ else kept
    return least, kept + forks * exposed


def _dies_unrejected(case: Case, history: History, *, follows: bool) -> bool:
    crashed = [handling for handling in case.handlings if handling.how == "none"]
    if case.accepted and not (history.conditions.promises.forks and _exposed(case.handlings, history)):
        return False
    return case.sent.poison or follows or _exposed(crashed, history) > 0


def _exposed(handlings: Sequence[Handling], history: History) -> int:
    return sum(history.conditions.exposure(each) is not None for each in handlings)


def _returned(case: Case) -> int:
    again = {step.source for step in case.steps if step.verdict == "fault"}
    return sum(each in again for each in case.rejecting)


def _is_doubled(case: Case) -> bool:
    return any(step.verdict == "fault" and step.source is None for step in case.steps)


def _resurrected(case: Case) -> Iterator[Breach]:
    for step in case.steps:
        if step.verdict == "dead":
            again = step.handling
            text = f"{case.name} came again after it was dead-lettered: attempt {again.attempt}"
            yield Breach(f"{text} at {again.consumer}", case.ids)
    if case.sent.poison and case.handlings:
        yield Breach(f"{case.name} is poison and was given to a handler", case.ids)
