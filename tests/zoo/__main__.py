"""`python -m tests.zoo`: what catches which animal, and which checks have caught none.

With `--all` every animal meets every check, which takes an hour or two; without, only those that
must catch it. `--only NAME` looks at one animal.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgkit.testing.conformance.registry import CHECKS
from tests.zoo import ZOO
from tests.zoo.animal import Animal
from tests.zoo.keeper import KEEPERS, Verdict, Visit, look_at

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, tell, and return 1 if an animal got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every animal against every check")
    parser.add_argument("--only", metavar="NAME", choices=ZOO, help="one animal")
    parser.add_argument("--keepers", metavar="N", type=int, default=KEEPERS, help="processes")
    chosen = parser.parse_args(arguments)
    animals = [ZOO[chosen.only]] if chosen.only else list(ZOO.values())
    visits = [Visit(animal.name, check) for animal in animals for check in (CHECKS if chosen.all else animal.checks)]
    verdicts = asyncio.run(look_at(visits, keepers=chosen.keepers)).values()
    _tell_of_animals(animals, verdicts)
    if not chosen.only:
        _tell_of_checks(verdicts)
    return int(_tell_of_escapes(animals, verdicts))


def _tell_of_animals(animals: Iterable[type[Animal]], verdicts: Iterable[Verdict]) -> None:
    caught: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.outcome == "caught":
            caught[verdict.animal].append(verdict)
    for animal in animals:
        _say(f"{animal.name}: {animal.__doc__}")
        for verdict in caught[animal.name]:
            _say(f"    {verdict.check}  ({verdict.seconds:.1f} s)")


def _tell_of_checks(verdicts: Iterable[Verdict]) -> None:
    proved = {verdict.check for verdict in verdicts if verdict.outcome == "caught"}
    unproved = [check for check in CHECKS.values() if check.name not in proved]
    _say(f"\n{len(proved)} checks have caught an animal; {len(unproved)} are unproved:")
    for check in unproved:
        _say(f"    {check.topic}: {check.name}")


def _tell_of_escapes(animals: Iterable[type[Animal]], verdicts: Iterable[Verdict]) -> bool:
    must = {(animal.name, check) for animal in animals for check in animal.checks}
    escapes = [
        verdict for verdict in verdicts if (verdict.animal, verdict.check) in must and verdict.outcome != "caught"
    ]
    if escapes:
        _say("\nwhat should have been caught and was not:")
    for verdict in escapes:
        _say(f"    {verdict.animal}: {verdict.check} {verdict.outcome} {verdict.said:.200}")
    return bool(escapes)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 -- a command's output


if __name__ == "__main__":
    sys.exit(main())
