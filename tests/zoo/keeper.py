"""Visits by the hundred: in processes of their own, several at a time, since they mostly wait.

`python -m tests.zoo.keeper` is one of these: it reads visits as lines of JSON, and answers each.
"""

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from msgkit.testing.conformance.registry import CHECKS, Skipped
from tests.zoo import ZOO, fault_found, visit
from tests.zoo.animal import Animal

__all__ = ["KEEPERS", "Verdict", "Visit", "look_at"]

#: A visit mostly waits for what does not happen, so that there may be more of them than cores.
KEEPERS = 8
#: Seconds after which a keeper is taken for eaten.
_PATIENCE = 60.0
_ROOT = Path(__file__).parents[2]

Outcome = Literal["caught", "broken", "missed", "skipped", "hung"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One check of one animal."""

    animal: str
    check: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a visit.

    `caught`: the check found a promise broken. `broken`: it failed in another way. `missed`: it
    found nothing wrong.
    """

    animal: str
    check: str
    outcome: Outcome
    seconds: float
    said: str = ""


async def look_at(
    visits: Iterable[Visit],
    on_verdict: Callable[[Verdict], None] = lambda _: None,
    *,
    keepers: int = KEEPERS,
) -> dict[Visit, Verdict]:
    """Make all visits, and return what came of each."""
    waiting = list(visits)[::-1]
    verdicts: dict[Visit, Verdict] = {}

    async def keep() -> None:
        keeper = await _hire()
        try:
            while waiting:
                due = waiting.pop()
                verdict = await _send_in(keeper, due)
                verdicts[due] = verdict
                on_verdict(verdict)
                if verdict.outcome == "hung":
                    await _dismiss(keeper)
                    keeper = await _hire()
        finally:
            await _dismiss(keeper)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(keepers, len(waiting))):
            group.create_task(keep())
    return verdicts


async def _hire() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, cwd=_ROOT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )


async def _dismiss(keeper: Process) -> None:
    with suppress(ProcessLookupError):
        keeper.kill()
    await keeper.wait()


async def _send_in(keeper: Process, due: Visit) -> Verdict:
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    keeper.stdin.write(json.dumps(asdict(due)).encode() + b"\n")
    try:
        async with asyncio.timeout(_PATIENCE):
            line = await keeper.stdout.readline()
    except TimeoutError:
        return Verdict(due.animal, due.check, "hung", _PATIENCE)
    if not line:
        return Verdict(due.animal, due.check, "hung", 0.0, "the keeper died of it")
    return Verdict(**json.loads(line))


def _visit(due: Visit) -> Verdict:
    began = time.monotonic()
    animal = Animal if due.animal == Animal.name else ZOO[due.animal]
    error = asyncio.run(visit(animal, due.check))
    said = "" if error is None else f"{type(error).__name__}: {error!s:.500}"
    return Verdict(due.animal, due.check, _outcome(error), time.monotonic() - began, said)


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "missed"
    if isinstance(error, Skipped):
        return "skipped"
    return "caught" if fault_found(error) else "broken"


def main() -> None:
    """Visit as long as there is somebody to tell."""
    assert CHECKS, "no checks are there to visit with"
    for line in sys.stdin:
        verdict = _visit(Visit(**json.loads(line)))
        print(json.dumps(asdict(verdict)), flush=True)  # noqa: T201 -- how it answers


if __name__ == "__main__":
    main()
