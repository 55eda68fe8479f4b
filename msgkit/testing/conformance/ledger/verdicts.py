"""The judgement: every rule held against a history, and a report to read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from textwrap import indent

from msgkit.testing.conformance.ledger.arrival import (
    early,
    evidence,
    expired,
    handled,
    invented,
    left,
    refused,
    stopped,
)
from msgkit.testing.conformance.ledger.fidelity import dead_letters, fidelity
from msgkit.testing.conformance.ledger.history import Breach, History, read
from msgkit.testing.conformance.ledger.order import failover, lanes, order, strict
from msgkit.testing.conformance.ledger.records import Record
from msgkit.testing.conformance.ledger.repetition import accepted, attempts, competing, duplicates

__all__ = ["RULES", "Finding", "Report", "Rule", "judge"]

Rule = Callable[[History], Iterator[Breach]]

RULES: Mapping[str, Rule] = {
    rule.__name__.replace("_", "-"): rule
    for rule in (
        evidence,
        handled,
        refused,
        invented,
        accepted,
        duplicates,
        attempts,
        competing,
        order,
        lanes,
        strict,
        failover,
        fidelity,
        early,
        expired,
        dead_letters,
        stopped,
        left,
    )
}

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that was not kept."""

    rule: str
    message: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the rules found; its text tells the story of each message concerned."""

    findings: Sequence[Finding]
    history: History

    @property
    def rules(self) -> Sequence[str]:
        """The rules that were not kept, each once."""
        return tuple(dict.fromkeys(finding.rule for finding in self.findings))

    @property
    def unknown(self) -> Mapping[str, int]:
        """How many copies of each unknown publish were seen."""
        copies = {message_id: 0 for message_id in self.history.sent if self.history.outcome(message_id) == "unknown"}
        for case in self.history.cases:
            if case.outcome == "unknown":
                copies[case.sent.message_id] += sum(step.verdict == "sent" for step in case.steps)
        return copies

    @property
    def excused(self) -> int:
        """How many deliveries came again because of a fault, as they may."""
        return sum(step.excused for case in self.history.cases for step in case.steps)

    def check(self) -> None:
        """Do nothing if there are no findings.

        :raises AssertionError: with the whole report, if there are
        """
        if self.findings:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        parts = [self._summary()]
        for rule in self.rules:
            mine = [finding for finding in self.findings if finding.rule == rule]
            parts.append(f"\n{rule}: {' '.join((RULES[rule].__doc__ or '').split())}")
            parts.extend(self._told(finding) for finding in mine[:_SHOWN])
            if len(mine) > _SHOWN:
                parts.append(f"  and {len(mine) - _SHOWN} more")
        return "\n".join(parts)

    def _summary(self) -> str:
        history, outcomes = self.history, [*map(self.history.outcome, self.history.sent)]
        counts = {
            "findings": len(self.findings),
            "sent": len(history.sent),
            "refused": outcomes.count("refused"),
            "unknown": outcomes.count("unknown"),
            "deliveries": len(history.handlings),
            "dead letters": len(history.dead),
            "faults": len(history.conditions.faults),
            "excused": self.excused,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items())

    def _told(self, finding: Finding) -> str:
        stories = "\n".join(self._story(message_id) for message_id in finding.ids[:2])
        return f"  {finding.message}\n{indent(stories, '    ')}".rstrip()

    def _story(self, message_id: str) -> str:
        return "\n".join(line for _, line in sorted(self._lines(message_id)))

    def _lines(self, message_id: str) -> Iterator[tuple[float, str]]:
        history = self.history
        sent = history.sent.get(message_id)
        if sent is not None:
            text = f"{sent.at:.6f} {message_id} sent to {sent.to} (key {sent.key!r}, number"
            yield (
                sent.at,
                f"{text} {sent.sequence} of {sent.sender}): {history.outcome(message_id)}",
            )
        for each in history.handlings:
            if each.message_id == message_id:
                until = "never ended" if isinf(each.end) else f"{each.how} at {each.end:.6f}"
                text = f"{each.start:.6f} {message_id} at {each.queue}, {each.consumer}"
                yield each.start, f"{text}, attempt {each.attempt}: {until}"
        for dead in history.dead:
            if dead.message_id == message_id:
                yield history.end, f"{message_id} found in the dead letters of {dead.queue}"
        touched = {each.consumer for each in history.handlings if each.message_id == message_id}
        for fault in history.conditions.faults:
            if fault.consumers is not None and touched.isdisjoint(fault.consumers):
                continue
            until = "now" if fault.ended is None else f"{fault.ended:.6f}"
            whom = "all" if fault.consumers is None else ", ".join(fault.consumers)
            yield fault.began, f"{fault.began:.6f} {fault.kind} until {until} for {whom}"


def judge(records: Sequence[Record], tolerance: float = 0.0) -> Report:
    """Hold every rule against what was recorded.

    :param tolerance: seconds by which the clocks of those who recorded it may differ
    :raises ValueError: if the records contradict each other, as no run can
    """
    history = read(records, tolerance)
    findings = [Finding(name, breach.message, breach.ids) for name, rule in RULES.items() for breach in rule(history)]
    return Report(tuple(findings), history)
