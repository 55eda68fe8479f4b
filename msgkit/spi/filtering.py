"""Which messages of an exchange are for a queue, where its broker has no filter that says it all."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from msgkit.envelope import Envelope
from msgkit.patterns import compile_pattern
from msgkit.spi import QueueSpec, RouteSpec
from msgkit.values import Headers

__all__ = ["Filter", "filters_of"]

_Test = Callable[[Envelope], bool]
#: Bytes of a fingerprint: as many as tell two filters apart that somebody wrote, in 12 characters.
_FINGERPRINT = 9


class Filter:
    """What a queue takes of one topic."""

    __slots__ = ("_tests", "fingerprint", "text")

    def __init__(self, routes: Sequence[RouteSpec]) -> None:
        self._tests = [test for route in routes if (test := _test(route)) is not None]
        if len(self._tests) < len(routes):
            # One of them takes all.
            self._tests = []
        said = sorted(_said(route) for route in routes)
        #: For people.
        self.text = " or ".join(said)
        digest = sha256(json.dumps(said if self._tests else []).encode()).digest()[:_FINGERPRINT]
        #: Two members of a group that differ in it would lose messages.
        self.fingerprint = urlsafe_b64encode(digest).decode()

    def takes(self, envelope: Envelope) -> bool:
        return not self._tests or any(test(envelope) for test in self._tests)


def filters_of(queue: QueueSpec) -> Mapping[str, Filter]:
    """Return the exchanges that a queue takes from, and what it takes of each."""
    routes: dict[str, list[RouteSpec]] = {}
    for route in queue.routes:
        routes.setdefault(route.exchange, []).append(route)
    return {exchange: Filter(those) for exchange, those in routes.items()}


def _test(route: RouteSpec) -> _Test | None:
    """Return what tells whether a message is for a route; None when all are."""
    match route.kind:
        case "fanout":
            return None
        case "direct":
            return lambda envelope: envelope.subject == route.subject
        case "headers":
            return (lambda envelope: _has(envelope.headers, route.headers)) if route.headers else None
        case "topic":
            fits = compile_pattern(route.subject)
            if route.subject == "#":
                return None
            return lambda envelope: fits(envelope.subject or "")


def _has(headers: Headers, wanted: Headers) -> bool:
    # The type counts, because True == 1 == 1.0, which are three headers.
    return all(
        name in headers and type(headers[name]) is type(value) and headers[name] == value
        for name, value in wanted.items()
    )


def _said(route: RouteSpec) -> str:
    match route.kind:
        case "fanout":
            return "all"
        case "headers":
            return ", ".join(f"{name}={value!r}" for name, value in sorted(route.headers.items())) or "all"
        case _:
            return repr(route.subject)
