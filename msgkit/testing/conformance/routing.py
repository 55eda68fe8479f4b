"""What the suite itself expects of a message: which queues get it, from when, until when."""

from collections.abc import Iterable
from typing import Any

from msgkit.message import Message
from msgkit.patterns import compile_pattern
from msgkit.testing.conformance.ledger.recorder import Terms
from msgkit.topology import Destination, Exchange, Queue, Route
from msgkit.values import epoch, seconds

__all__ = ["expiry", "routed"]


def routed(to: Destination[Any], message: Message[Any], queues: Iterable[Queue[Any]]) -> list[str]:
    """Return the names of the queues that must get a message."""
    if not isinstance(to, Exchange):
        return [to.name]
    return [queue.name for queue in queues if any(_matches(route, to, message) for route in queue.routes)]


def _matches(route: Route[Any], to: Exchange[Any], message: Message[Any]) -> bool:
    if route.exchange.name != to.name:
        return False
    match to.kind:
        case "fanout":
            return True
        case "direct":
            return route.subject == message.subject
        case "headers":
            return all(message.headers.get(name) == value for name, value in route.headers.items())
        case "topic":
            return compile_pattern(route.subject)(message.subject or "")


def expiry(message: Message[Any], now: float) -> Terms:
    """Return from when on and until when a message may be handled."""
    terms = Terms()
    options = message.options
    if (at := options.get("deliver_at")) is not None:
        terms["due"] = now = epoch(at, "deliver_at")
    elif (delay := options.get("delay")) is not None:
        terms["due"] = now = now + seconds(delay, "delay")
    if (ttl := options.get("ttl")) is not None:
        terms["expires"] = now + seconds(ttl, "ttl")
    return terms
