"""Rules about what arrives at all, and when."""

from collections.abc import Iterator

from msgkit.testing.conformance.ledger.history import Breach, Case, History

__all__ = ["early", "evidence", "expired", "handled", "invented", "left", "refused", "stopped"]


def evidence(history: History) -> Iterator[Breach]:
    """Require that the history proves something.

    Messages were sent, to queues that are declared, with bodies distinct from those of other
    phases; and the broker was asked what it holds.
    """
    if not history.sent:
        yield Breach("nothing was sent", ())
    routed = {queue for sent in history.sent.values() for queue in sent.queues}
    for name in sorted(routed - history.queues.keys()):
        yield Breach(f"{name} was never declared", ())
    yield from _replayable(history)
    if history.conditions.promises.inspectable:
        for name, queue in history.queues.items():
            if not queue.anonymous and name not in history.left:
                yield Breach(f"nobody asked the broker what {name} holds", ())


def _replayable(history: History) -> Iterator[Breach]:
    first = {sent.content.body: sent for sent in reversed([*history.sent.values()])}
    for sent in history.sent.values():
        other = first[sent.content.body]
        if sent.phase != other.phase and not sent.content.body.startswith("bytes:0:"):
            text = f"{sent.message_id} and {other.message_id} have one body in two phases"
            yield Breach(text, (sent.message_id, other.message_id))


def handled(history: History) -> Iterator[Breach]:
    """Require that what is confirmed and does not expire is handled by each queue routed to it.

    Handled is accepted, or dead-lettered by policy. An anonymous queue may miss what was sent in
    a gap that it reports.
    """
    for case in history.cases:
        if (
            case.outcome == "confirmed"
            and not case.settled
            and not _expires(case, history)
            and not _in_gap(case, history)
        ):
            yield Breach(f"{case.name} was confirmed and never handled: {_came_to(case)}", case.ids)


def _expires(case: Case, history: History) -> bool:
    return case.sent.expires is not None and case.sent.expires <= history.end


def _in_gap(case: Case, history: History) -> bool:
    return case.queue.anonymous and any(
        gap.queue == case.queue.queue and gap.began <= case.sent.at <= gap.ended for gap in history.gaps
    )


def _came_to(case: Case) -> str:
    if not case.handlings:
        return "no delivery of it ever began"
    last = case.handlings[-1]
    return f"{len(case.handlings)} deliveries began, the last (attempt {last.attempt}): {last.how}"


def refused(history: History) -> Iterator[Breach]:
    """Require that what is refused is never seen."""
    for seen in history.seen:
        if history.outcomes.get(seen.message_id) == "refused":
            text = f"{seen.message_id} was refused and came to {seen.queue}"
            yield Breach(text, (seen.message_id,))


def invented(history: History) -> Iterator[Breach]:
    """Require that what comes to a queue, or to its dead letters, was sent and routed there."""
    for seen in history.seen:
        sent = history.sent.get(seen.message_id)
        if sent is None:
            text = f"{seen.message_id} came to {seen.queue} and was never sent"
            yield Breach(text, (seen.message_id,))
        elif seen.queue not in sent.queues and history.outcome(sent.message_id) != "refused":
            text = f"{seen.message_id} came to {seen.queue}, where nothing routed it"
            yield Breach(text, (seen.message_id,))


def early(history: History) -> Iterator[Breach]:
    """Require that nothing is handled before it is due, and no retry before its delay is over."""
    for case in history.cases:
        for step in case.steps:
            due = max(case.sent.earliest, step.due)
            ahead = due - step.handling.start
            if ahead > history.conditions.tolerance:
                text = f"{case.name} began {ahead:.6f} s early (attempt {step.handling.attempt})"
                yield Breach(text, case.ids)


def expired(history: History) -> Iterator[Breach]:
    """Require that nothing is handled after it expired.

    While there is no fault, the consumers count as expired exactly what they drop.
    """
    for case in history.cases:
        for handling in case.handlings:
            if case.sent.expires is None:
                continue
            late = handling.start - case.sent.expires
            if late > history.conditions.tolerance:
                yield Breach(f"{case.name} began {late:.6f} s after it expired", case.ids)
    if not history.conditions.faults:
        for queue in sorted(history.queues.keys() | history.expired.keys()):
            yield from _miscounted(history, queue)


def _miscounted(history: History, queue: str) -> Iterator[Breach]:
    cases = [each for each in history.cases if each.queue.queue == queue]
    expiring = [case for case in cases if _expires(case, history)]
    ids = tuple(case.sent.message_id for case in expiring if case.outcome == "confirmed" and not case.settled)
    counted = history.expired.get(queue, 0)
    unsure = any(case.outcome == "unknown" for case in expiring)
    if counted < len(ids) or (counted > len(ids) and not unsure):
        yield Breach(f"{queue} dropped {len(ids)} expired messages and counted {counted}", ids)


def stopped(history: History) -> Iterator[Breach]:
    """Require that nothing begins at a consumer that has stopped, until it joins again."""
    tolerance = history.conditions.tolerance
    for stop in history.conditions.stops:
        back = [joined.at for joined in history.joined if joined.consumer == stop.consumer and joined.at >= stop.at]
        for handling in history.handlings:
            late = handling.start - stop.at
            if handling.consumer != stop.consumer or late <= tolerance:
                continue
            if not back or handling.start < min(back):
                text = f"{handling.message_id} began at {stop.consumer} {late:.6f} s after its stop"
                yield Breach(text, (handling.message_id,))


def left(history: History) -> Iterator[Breach]:
    """Require that at the end the broker holds nothing."""
    for queue, held in history.left.items():
        if held.count or held.unacked:
            text = f"the broker holds {held.count} messages of {queue}, {held.unacked} unacked"
            yield Breach(text, ())
