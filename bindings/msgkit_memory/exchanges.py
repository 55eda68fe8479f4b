"""Exchanges: who gets what, worked out once for each subject."""

from collections.abc import Callable
from typing import NamedTuple

from msgkit.envelope import Envelope
from msgkit.patterns import compile_pattern
from msgkit.spi import RouteSpec
from msgkit.topology import ExchangeKind
from msgkit.values import Headers
from msgkit_memory.log import Log
from msgkit_memory.queues import ServerQueue

__all__ = ["RouteKey", "ServerExchange", "route_key"]

_MOST_SUBJECTS = 1024


class RouteKey(NamedTuple):
    """What makes two routes into a queue the same."""

    exchange: str
    subject: str
    headers: tuple[tuple[str, str, object], ...]

    def __str__(self) -> str:
        wanted = ", ".join(f"{name}={value!r}" for name, _, value in self.headers)
        return f"{self.exchange} [{wanted or self.subject}]"


def route_key(route: RouteSpec) -> RouteKey:
    # The type is named because True == 1 == 1.0, which are three headers.
    headers = sorted((name, type(value).__name__, value) for name, value in route.headers.items())
    return RouteKey(route.exchange, route.subject, tuple(headers))


class _Route(NamedTuple):
    queue: ServerQueue
    matches: Callable[[Envelope], bool]


class ServerExchange:
    """An exchange with its routes."""

    __slots__ = ("_routes", "found", "kind", "log", "name")

    def __init__(self, name: str, kind: ExchangeKind, log: Log | None) -> None:
        self.name = name
        self.kind: ExchangeKind = kind
        self.log = log
        self._routes: dict[tuple[str, RouteKey], _Route] = {}
        #: The queues found before, by subject. Whoever misses here asks `match`.
        self.found: dict[str | None, tuple[ServerQueue, ...]] = {}

    def add(self, route: RouteSpec, queue: ServerQueue) -> None:
        matches = self._test(route)
        self._routes[queue.name, route_key(route)] = _Route(queue, matches)
        self.found.clear()

    def remove(self, queue: str, key: RouteKey | None = None) -> None:
        """Take away one route of a queue, or all of them."""
        for route in [at for at in self._routes if at[0] == queue and key in (None, at[1])]:
            del self._routes[route]
        self.found.clear()

    def routes_of(self, queue: str) -> list[RouteKey]:
        return [key for name, key in self._routes if name == queue]

    def match(self, envelope: Envelope) -> tuple[ServerQueue, ...]:
        """Return each queue that takes a message, once."""
        queues = tuple(dict.fromkeys(to.queue for to in self._routes.values() if to.matches(envelope)))
        if self.kind != "headers":
            if len(self.found) >= _MOST_SUBJECTS:
                self.found.clear()
            self.found[envelope.subject] = queues
        return queues

    def takes(self, queue: str, envelope: Envelope) -> bool:
        """Say whether a route of the queue matches the message."""
        routes = self._routes.items()
        return any(to.matches(envelope) for (name, _), to in routes if name == queue)

    def _test(self, route: RouteSpec) -> Callable[[Envelope], bool]:
        match self.kind:
            case "topic":
                fits = compile_pattern(route.subject)
                return lambda envelope: fits(envelope.subject or "")
            case "direct":
                return lambda envelope: envelope.subject == route.subject
            case "fanout":
                return lambda _: True
            case "headers":
                return lambda envelope: _has(envelope.headers, route.headers)


def _has(headers: Headers, wanted: Headers) -> bool:
    return all(
        name in headers and type(headers[name]) is type(value) and headers[name] == value
        for name, value in wanted.items()
    )
