"""Delays without a plugin: levels of 100 ms times a power of two, shared by all, that a message falls through.

Each level is an exchange and a queue. The exchange sends a message into the queue when the bit of the level
is set in the message's delay, and past it, to the next lower exchange, when not. The queue keeps it for as long
as the level is, and then dead-letters it to the next lower exchange; at least once, since it is a quorum queue.
Below the lowest level stands `msgkit.due`, where each destination of delayed messages is bound by what
the header `msgkit-due` says. All of these are headers exchanges, so that a message keeps its routing key: it is
routed when it is due, and by what it is about. Within a level all
wait equally long, and nobody waits behind one that waits longer.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from msgkit_rabbitmq.mapping import DUE, LEVEL
from msgkit_rabbitmq.wire import Table

__all__ = [
    "DUE_EXCHANGE",
    "LONGEST",
    "LOST",
    "READY",
    "SINK",
    "Bound",
    "Made",
    "Way",
    "due_binding",
    "infrastructure",
    "way",
]

_STEP = 0.1
_LEVELS = 28
#: Seconds, for all levels together.
LONGEST = _STEP * (2**_LEVELS - 1)
DUE_EXCHANGE = "msgkit.due"
#: What finds nobody when it is due.
LOST = "msgkit.undeliverable"
#: The last to be made.
READY = "msgkit.delay"
#: Where each message for an exchange goes, too, and is gone: what nobody hears would otherwise wait for ever.
SINK = "msgkit.due.unheard"


class Way(NamedTuple):
    """Where a message enters the levels, and what it says of where to wait."""

    exchange: str
    headers: Table


class Made(NamedTuple):
    """An exchange or a queue that delays need."""

    what: str
    name: str
    #: Of an exchange.
    kind: str
    arguments: Table


class Bound(NamedTuple):
    """A binding that delays need."""

    what: str
    name: str
    source: str
    arguments: Table


def way(seconds: float) -> Way:
    """Return the way that takes so long, or up to 100 ms longer."""
    steps = max(1, math.ceil(seconds / _STEP - 1e-9))
    top = min(steps.bit_length(), _LEVELS) - 1
    bits = {f"{LEVEL}{level}": bool(steps >> level & 1) for level in range(top + 1)}
    return Way(_name(top), bits)


def due_binding(due: str) -> Table:
    """Return the arguments by which a destination is bound to where messages come due."""
    return {"x-match": "all", DUE: due}


def _name(level: int) -> str:
    return f"msgkit.delay.{level}" if level >= 0 else DUE_EXCHANGE


def infrastructure() -> Iterator[Made | Bound]:
    """Return what has to be there, in the order in which it is made; the last says that all of it is."""
    yield Made("exchange", LOST, "fanout", {})
    yield Made("queue", LOST, "", {"x-queue-type": "quorum"})
    yield Bound("queue", LOST, LOST, {})
    yield Made("queue", SINK, "", {"x-queue-type": "classic", "x-message-ttl": 0, "x-max-length": 1})
    yield Made("exchange", DUE_EXCHANGE, "headers", {"alternate-exchange": LOST})
    for level in range(_LEVELS):
        name, below = _name(level), _name(level - 1)
        yield Made("exchange", name, "headers", {})
        yield Made("queue", name, "", _waiting(level, below))
        yield Bound("queue", name, name, {"x-match": "all", f"{LEVEL}{level}": True})
        yield Bound("exchange", below, name, {"x-match": "all", f"{LEVEL}{level}": False})
    yield Made("exchange", READY, "fanout", {})


def _waiting(level: int, below: str) -> Table:
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": round(_STEP * 1000) << level,
        "x-dead-letter-exchange": below,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
