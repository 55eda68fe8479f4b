"""`python -m benchmarks`: measures, and prints a table, or with `--json` one object a line."""

import argparse
import asyncio
import json
import logging
import os
import sys

from benchmarks import memory, overhead, startup
from benchmarks.report import Report

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    # What is measured is the way of a message, and no handler of log records.
    logging.disable(logging.CRITICAL)
    _stay_on_one_core()
    for report in _reports(asked):
        print(json.dumps(report.as_dict()) if asked.json else f"{report}\n", flush=True)


def _reports(asked: argparse.Namespace) -> list[Report]:
    which, rounds = asked.benchmark, asked.rounds
    reports: list[Report] = []
    if which in ("overhead", "all"):
        measured = asyncio.run(overhead.measure(messages=asked.messages or 10_000, rounds=rounds))
        reports.append(measured.and_also(startup.measure(rounds=rounds)))
    if which == "startup":
        reports.append(startup.measure(rounds=rounds))
    if which in ("memory", "all"):
        reports.append(asyncio.run(memory.measure(messages=asked.messages or 1_000_000)))
    return reports


def _stay_on_one_core() -> None:
    """Times vary less then; and FastStream, which goes through other threads, takes half of its own."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    which = ("overhead", "memory", "startup", "all")
    parser.add_argument("benchmark", choices=which, help="what to measure; see benchmarks/README.md")
    parser.add_argument("--messages", type=_positive, help="how many, instead of 10,000 (memory: a million)")
    parser.add_argument("--rounds", type=_positive, default=7, help="how often, in turns (7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser


def _positive(text: str) -> int:
    digits = text.replace("_", "").replace(",", "")
    if not digits.isdecimal() or int(digits) < 1:
        msg = f"{text!r} is no number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(digits)


if __name__ == "__main__":
    main()
