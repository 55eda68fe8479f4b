#!/usr/bin/env python3
"""Writes docs/features.md: what becomes of each feature of Spring's messaging projects, and what proves it."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgkit.testing.conformance import checks
from msgkit.testing.conformance.registry import CHECKS

__all__ = ["PAGE", "Feature", "features", "page", "proof"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "features.md"

_ROWS = Path(__file__).with_suffix(".toml")
_KNOWN = {"J": "JMS", "A": "AMQP", "K": "Kafka", "R": "RocketMQ", "S": "Stream"}
_STATES = {
    "proved": "proved by the checks and tests that are named",
    "missing": "missing, and why",
    "binding": "left to the options of a binding",
    "left out": "left out, on purpose",
}
_HEAD = """\
# Features

What becomes here of each feature that Spring's messaging projects have. A feature is either proved, by a check of the
[conformance suite](writing-a-binding.md#the-suite) or by a test, or it says openly that it is missing.

*Known from* names the projects that have it: JMS, AMQP, Kafka, RocketMQ, and Spring Cloud Stream.

*Kind* is what it is here: C is kept by every binding; K is a capability, which a binding declares or refuses; L is the
library's own, whatever the broker; X is the affair of one binding; - is not wanted.

This page is written by `tools/features.py` from `tools/features.toml`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One row."""

    number: int
    kind: str
    what: str
    known: str = ""
    here: str = ""
    proof: Sequence[str] = ()
    missing: str = ""

    @property
    def state(self) -> str:
        if self.proof:
            return "proved"
        if self.missing:
            return "missing"
        return "binding" if self.kind == "X" else "left out"


def features() -> Iterator[tuple[str, list[Feature]]]:
    """Yield the groups of features.

    :raises ValueError: for a feature of kind C, K or L that has neither a proof nor a gap
    """
    groups: list[dict[str, Any]] = tomllib.loads(_ROWS.read_text())["group"]
    for group in groups:
        rows = [Feature(**row) for row in group["feature"]]
        for row in rows:
            if row.kind in "CKL" and bool(row.proof) == bool(row.missing):
                raise ValueError(f"feature {row.number} needs either a proof or what is missing")
        yield group["name"], rows


def page() -> str:
    """Return the page as it should be."""
    checks.load()
    groups = list(features())
    return _HEAD + _summary(groups) + "".join(_table(name, rows) for name, rows in groups)


def _summary(groups: Sequence[tuple[str, list[Feature]]]) -> str:
    states = Counter(row.state for _, rows in groups for row in rows)
    lines = [f"| {states[state]} | {meaning} |\n" for state, meaning in _STATES.items()]
    return f"\n| of {states.total()} | |\n|---|---|\n{''.join(lines)}"


def _table(name: str, rows: Sequence[Feature]) -> str:
    head = "| | feature | known from | kind | here | proof |\n|---|---|---|---|---|---|\n"
    return f"\n## {name}\n\n{head}{''.join(map(_row, rows))}"


def _row(row: Feature) -> str:
    known = ", ".join(_KNOWN[letter] for letter in row.known)
    proofs = "<br>".join(map(proof, row.proof))
    shown = f"**missing**: {row.missing}" if row.missing else proofs
    cells = (str(row.number), row.what, known, row.kind, row.here, shown)
    return f"| {' | '.join(cells)} |\n"


def proof(name: str) -> str:
    """Return a link to a check, a test or a module of tests.

    :raises LookupError: when there is none of that name
    """
    if name in CHECKS:
        check = CHECKS[name]
        return f"[{check.sentence}](../msgkit/testing/conformance/checks/{check.topic}.py)"
    path, _, test = name.partition("::")
    module = ROOT / path
    if not module.is_file():
        raise LookupError(f"there is no check and no test {name!r}")
    if test and not re.search(rf"^(async )?def {re.escape(test)}\(", module.read_text(), re.MULTILINE):
        raise LookupError(f"{path} has no test {test!r}")
    said = test.removeprefix("test_").replace("_", " ") if test else path
    return f"[{said}](../{path})"


if __name__ == "__main__":
    PAGE.write_text(page())
