"""Run an application, see what it would declare, or have one of its queues read again."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from msgkit.application import Application
from msgkit.cli.loading import load_application
from msgkit.cli.planning import is_done, print_plan
from msgkit.cli.seeking import named_queue, place, sought
from msgkit.errors import ConfigurationError, MessagingError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return what it ends with.

    0 when all is well, 1 when the broker differs from a plan or still does after pruning, 2 for what
    cannot work, 130 when interrupted.
    """
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=parsed.log_level, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s")
    try:
        return _do(load_application(parsed.application), parsed)
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        print(f"msgkit: {error}", file=sys.stderr)
    except MessagingError as error:
        print(f"msgkit: {type(error).__name__}: {error}", file=sys.stderr)
    return 2


def _do(application: Application, asked: argparse.Namespace) -> int:
    match asked.command:
        case "run":
            application.run()
            return 0
        case "seek":
            queue = named_queue(application, asked.queue)
            print(sought(queue, asked.to, asyncio.run(application.seek(queue, asked.to))))
            return 0
        case _:
            pruned = asked.command == "prune"
            planned = asyncio.run(application.plan(prune=pruned))
            print_plan(planned)
            return 0 if is_done(planned, pruned=pruned) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="msgkit", description=__doc__)
    parser.add_argument(
        "--log-level",
        default="INFO",
        type=str.upper,
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        metavar="LEVEL",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("run", "run an application until SIGTERM or SIGINT"),
        ("plan", "say what an application would declare, and exit with 1 when the broker differs"),
        (
            "prune",
            "declare what an application needs, and take away the routes that nobody declares any more",
        ),
        ("seek", "have a queue of an application read again, whoever listens to it, or skip what waits in it"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("application", help="module:app, path/to/file.py or path/to/file.py:app")
        if name == "seek":
            command.add_argument("queue", help="what the application calls it; with its broker, broker:queue")
            command.add_argument(
                "to", type=place, help="earliest, latest, or a moment such as 2026-11-01T08:30:00+01:00"
            )
    return parser
