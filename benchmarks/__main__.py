"""`python -m benchmarks`: measures, and prints a table, or with `--json` one object a line."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine, Iterator

from benchmarks import memory, startup
from benchmarks.cores import stay_on_one
from benchmarks.report import Report

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    # What is measured is the way of a message, and no handler of log records.
    logging.disable(logging.CRITICAL)
    stay_on_one()
    # Brokers that are measured are processes, and as fast as they can be; those of tests are there soon. Whatever
    # somebody says otherwise for himself is no part of a figure.
    os.environ["_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=4"
    for report in _reports(asked):
        print(json.dumps(report.as_dict()) if asked.json else f"{report}\n", flush=True)


def _reports(asked: argparse.Namespace) -> Iterator[Report]:
    which, messages, rounds = asked.benchmark, asked.messages, asked.rounds
    if which in ("memory", "all"):
        yield _memory(asked.on, messages or 1_000_000)
    if which in ("overhead", "all"):
        # FastStream is as large as all else here, and what a service holds is measured without it.
        from benchmarks import overhead  # noqa: PLC0415 -- see above

        report = asyncio.run(overhead.measure(messages=messages or 10_000, rounds=rounds))
        yield report.and_also(startup.measure(rounds=rounds))
    if which == "startup":
        yield startup.measure(rounds=rounds)
    if which == "reconnects":
        # What starts brokers is large, too.
        from benchmarks import alone  # noqa: PLC0415 -- see above

        yield _on_a_broker(alone.reconnecting(asked.on or "rabbitmq", times=messages or 1_000))
    if which == "kafka":
        from benchmarks.kafka import comparison as on_kafka  # noqa: PLC0415 -- as above

        yield _on_a_broker(on_kafka.measure(messages=messages or 10_000, rounds=rounds))
    if which == "rabbitmq":
        from benchmarks.rabbitmq import comparison as on_rabbitmq  # noqa: PLC0415 -- as above

        yield _on_a_broker(on_rabbitmq.measure(messages=messages or 10_000, rounds=rounds))


def _memory(on: str | None, messages: int) -> Report:
    if on is None:
        return asyncio.run(memory.measure(messages=messages))
    from benchmarks import alone  # noqa: PLC0415 -- as above

    return _on_a_broker(alone.passing(on, messages=messages))


def _on_a_broker(comparison: Coroutine[None, None, Report]) -> Report:
    from msgkit.testing.brokers import Unavailable  # noqa: PLC0415 -- as above

    try:
        return asyncio.run(comparison)
    except Unavailable as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    which = ("overhead", "memory", "startup", "all", "kafka", "rabbitmq", "reconnects")
    parser.add_argument("benchmark", choices=which, help="what to measure; see benchmarks/README.md")
    parser.add_argument(
        "--messages", type=_positive, help="how many, instead of 10,000 (memory: a million; reconnects: 1,000)"
    )
    parser.add_argument("--on", choices=("kafka", "rabbitmq"), help="memory, reconnects: on this broker")
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
