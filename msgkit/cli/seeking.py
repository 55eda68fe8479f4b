"""Reading a queue again: which one and from where, as a command line says it, and what came of it."""

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgkit.application import Application, label
from msgkit.errors import ConfigurationError
from msgkit.settings import closest
from msgkit.topology import Queue, Start

__all__ = ["named_queue", "place", "sought"]

_ENDS: Mapping[str, Start] = {"earliest": "earliest", "latest": "latest"}
_EXAMPLE = "2026-11-01T08:30:00+01:00"


def named_queue(application: Application, name: str) -> Queue[Any]:
    """Return a queue of an application, or one of dead letters, by what `health()` calls it.

    :raises ConfigurationError: naming the nearest one
    """
    declared = [each for each in application.destinations if isinstance(each, Queue) and not each.is_anonymous]
    dead = [each.dead_letters for each in declared if each.has_dead_letters]
    queues: dict[str, Queue[Any]] = {label(each): each for each in (*dead, *declared)}
    if name not in queues:
        nearest = closest(name, queues)
        known = f"the nearest is {nearest!r}" if nearest else "it has none at all"
        msg = f"the application has no queue {name!r}; {known}"
        raise ConfigurationError(msg)
    return queues[name]


def place(said: str) -> Start:
    """Return where to read on.

    :raises ArgumentTypeError: when it is no place, or a moment of which nobody knows when it is
    """
    if said in _ENDS:
        return _ENDS[said]
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        msg = f"{said!r} is neither earliest nor latest nor a moment in ISO 8601, such as {_EXAMPLE}"
        raise argparse.ArgumentTypeError(msg) from None
    if moment.tzinfo is None:
        msg = f"{said!r} is another moment in each time zone; say it with its offset, such as {_EXAMPLE}, or Z for UTC"
        raise argparse.ArgumentTypeError(msg)
    return moment


def sought(queue: Queue[Any], to: Start, messages: int) -> str:
    """Tell people what was done."""
    if to == "latest":
        # What waited is passed over, and not every broker tells how much that was.
        return f"queue {label(queue)!r} goes on with what comes from now on"
    since = "its beginning" if to == "earliest" else str(to)
    return f"queue {label(queue)!r} is read again from {since}; messages that makes, as far as is known: {messages:,}"
