"""The broker: queues in dictionaries, shared by all clients of the process."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgkit.envelope import Envelope, Kind
from msgkit.errors import Unroutable
from msgkit.patterns import MATCH_ALL, compile_pattern
from msgkit.spi import RouteSpec

__all__ = ["Shelf", "ShelfQueue", "Waiting"]


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A message at its place in a queue."""

    place: int
    envelope: Envelope = field(compare=False)


class ShelfQueue:
    """Messages that wait, and who is told of them."""

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.takers: list[Callable[[], None]] = []
        self.unsettled = 0
        self.later = 0
        self._places = 0

    def put(self, envelope: Envelope) -> None:
        self._places += 1
        self.waiting.append(Waiting(self._places, envelope))
        self._tell()

    def put_back(self, message: Waiting) -> None:
        self.waiting = deque(sorted([*self.waiting, message]))
        self._tell()

    def _tell(self) -> None:
        for wake in self.takers:
            wake()


class Shelf:
    """All that clients of one URL share."""

    def __init__(self) -> None:
        self.exchanges: dict[str, str] = {}
        self.queues: dict[str, ShelfQueue] = {}
        self.routes: dict[tuple[RouteSpec, str], Callable[[str], bool]] = {}

    def add_route(self, route: RouteSpec, queue: str) -> None:
        direct = route.kind == "direct"
        pattern = route.subject if route.kind == "topic" else MATCH_ALL
        self.routes[route, queue] = route.subject.__eq__ if direct else compile_pattern(pattern)

    def store(self, envelope: Envelope) -> None:
        """Keep a message.

        :raises Unroutable: when its destination does not exist
        """
        there = self.queues if envelope.kind is Kind.QUEUE else self.exchanges
        if envelope.destination not in there:
            raise Unroutable(f"{envelope.kind.value} {envelope.destination!r} does not exist")
        for name in set(self._takers(envelope)):
            self.queues[name].put(envelope)

    def _takers(self, envelope: Envelope) -> Iterator[str]:
        if envelope.kind is Kind.QUEUE:
            yield envelope.destination
            return
        for (route, queue), matches in self.routes.items():
            if route.exchange == envelope.destination and matches(envelope.subject or ""):
                yield queue
