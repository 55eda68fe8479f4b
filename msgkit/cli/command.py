"""Run an application, or see what it would declare."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from msgkit.cli.loading import load_application
from msgkit.cli.planning import is_done, print_plan
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
        application = load_application(parsed.application)
        if parsed.command == "run":
            application.run()
            return 0
        planned = asyncio.run(application.plan(prune=parsed.command == "prune"))
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        print(f"msgkit: {error}", file=sys.stderr)
        return 2
    except MessagingError as error:
        print(f"msgkit: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print_plan(planned)
    return 0 if is_done(planned, pruned=parsed.command == "prune") else 1


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
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("application", help="module:app, path/to/file.py or path/to/file.py:app")
    return parser
