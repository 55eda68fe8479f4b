"""Rules about what comes more than once."""

from collections.abc import Iterator

from msgkit.testing.conformance.ledger.history import Breach, Case, History
from msgkit.testing.conformance.ledger.lineage import Step, Stray

__all__ = ["accepted", "attempts", "competing", "duplicates"]


def accepted(history: History) -> Iterator[Breach]:
    """Require that what is accepted never comes again.

    Except after a fault that touched its consumer, and only what was in flight then or had been
    settled within the settle window before it.
    """
    for case, step in _strays(history, "accepted"):
        yield Breach(f"{case.name} came again after it was accepted: {_both(step)}", case.ids)


def duplicates(history: History) -> Iterator[Breach]:
    """Require that without a fault no delivery comes twice to one consumer.

    What was released comes again.
    """
    for case, step in _strays(history, "duplicate"):
        yield Breach(f"{case.name} came twice: {_both(step)}", case.ids)


def attempts(history: History) -> Iterator[Breach]:
    """Require that attempts are 1, 2, 3 and so on.

    One more after a retry, the same after a release or a fault; none is skipped, repeated or
    begun again.
    """
    for case, step in _strays(history, "attempt"):
        yield Breach(f"{case.name} came with a wrong attempt: {_both(step)}", case.ids)


def competing(history: History) -> Iterator[Breach]:
    """Require that without a fault no two consumers have a message.

    That one of them joins or leaves is no fault.
    """
    for case, step in _strays(history, "competing"):
        yield Breach(f"{case.name} came to two consumers: {_both(step)}", case.ids)


def _strays(history: History, stray: Stray) -> Iterator[tuple[Case, Step]]:
    for case in history.cases:
        for step in case.steps:
            if step.verdict == stray:
                yield case, step


def _both(step: Step) -> str:
    this, source = step.handling, step.source
    now = f"attempt {this.attempt} at {this.consumer}, {this.start:.6f}"
    if source is None:
        return now
    before = f"attempt {source.attempt} at {source.consumer}, {source.how} at {source.end:.6f}"
    return f"{now}, after {before}"
