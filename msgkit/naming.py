"""From declarations in code to what a broker is told: names, prefixes and settings applied."""

from collections.abc import Iterable
from typing import Any, TypeVar

from msgkit.errors import ConfigurationError
from msgkit.settings import Settings
from msgkit.spi import Capabilities, ExchangeSpec, Power, QueueSpec, RouteSpec, Topology
from msgkit.topology import Destination, Exchange, Queue

__all__ = ["Naming", "require_topology"]

S = TypeVar("S", ExchangeSpec, QueueSpec)


class Naming:
    """Names on the wire: the settings' where they give one, else the prefix and the code's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def broker(self, destination: Destination[Any]) -> str:
        """Return the name of the broker that a destination lives on."""
        if isinstance(destination, Exchange):
            return self._settings.exchange(destination.name).get("broker", destination.broker)
        origin = destination.dead_letters_of if isinstance(destination, Queue) else None
        return self._settings.queue(origin or destination.name).get("broker", destination.broker)

    def name(self, destination: Destination[Any]) -> str:
        """Return what the broker calls a destination."""
        if isinstance(destination, Exchange):
            given = self._settings.exchange(destination.name).get("name")
        else:
            given = self._settings.queue(destination.name).get("name")
        if given is not None:
            return given
        origin = destination.dead_letters_of if isinstance(destination, Queue) else None
        if origin is not None and destination.name == f"{origin}.dlq":
            # Dead letters follow their queue's new name.
            return f"{self._settings.queue(origin).get('name') or self._prefixed(destination, origin)}.dlq"
        return self._prefixed(destination, destination.name)

    def _prefixed(self, destination: Destination[Any], name: str) -> str:
        return self._settings.broker(self.broker(destination)).prefix + name

    def exchange_spec(self, exchange: Exchange[Any]) -> ExchangeSpec:
        return ExchangeSpec(name=self.name(exchange), kind=exchange.kind, options=exchange.options)

    def queue_spec(self, queue: Queue[Any]) -> QueueSpec:
        """Return a queue as the broker is told of it.

        :raises ConfigurationError: when the settings put a queue and its exchange on different brokers
        """
        for route in queue.routes:
            if self.broker(route.exchange) != self.broker(queue):
                msg = (
                    f"{queue} is on broker {self.broker(queue)!r}, but {route.exchange} is on "
                    f"{self.broker(route.exchange)!r}; a route cannot cross brokers: send on from a listener"
                )
                raise ConfigurationError(msg)
        origin = queue.dead_letters_of
        return QueueSpec(
            name=self.name(queue),
            routes=tuple(
                RouteSpec(
                    exchange=self.name(route.exchange),
                    kind=route.exchange.kind,
                    subject=route.subject,
                    headers=route.headers,
                )
                for route in queue.routes
            ),
            ordered=queue.ordered,
            dead_letters=self.name(queue.dead_letters) if queue.has_dead_letters else None,
            dead_letters_of=self.name(Queue(origin, broker=queue.broker)) if origin is not None else None,
            priorities=queue.priorities,
            start=queue.start,
            anonymous=queue.is_anonymous,
            options=queue.options,
        )

    def topologies(self, destinations: Iterable[Destination[Any]]) -> dict[str, Topology]:
        """Return what each broker is to have: the destinations, the exchanges of routes, and dead letters.

        :raises ConfigurationError: when one is declared in two ways, or two would have one name on a broker
        """
        exchanges: dict[str, dict[str, ExchangeSpec]] = {}
        queues: dict[str, dict[str, QueueSpec]] = {}
        owners: dict[tuple[str, bool, str], Destination[Any]] = {}
        for destination in _with_all_they_need(destinations):
            broker = self.broker(destination)
            wire = self.name(destination)
            owner = owners.setdefault((broker, isinstance(destination, Queue), wire), destination)
            if owner.name != destination.name:
                msg = f"{owner} and {destination} would both be called {wire!r} on broker {broker!r}; name them apart"
                raise ConfigurationError(msg)
            exchanges.setdefault(broker, {})
            queues.setdefault(broker, {})
            if isinstance(destination, Exchange):
                _add(exchanges[broker], self.exchange_spec(destination), destination)
            elif isinstance(destination, Queue):
                _add(queues[broker], self.queue_spec(destination), destination)
        return {broker: Topology(exchanges[broker], queues[broker]) for broker in exchanges}


def _with_all_they_need(destinations: Iterable[Destination[Any]]) -> Iterable[Destination[Any]]:
    for destination in destinations:
        if isinstance(destination, Queue):
            for route in destination.routes:
                yield route.exchange
        yield destination
        if isinstance(destination, Queue) and destination.has_dead_letters:
            yield destination.dead_letters


def _add(known: dict[str, S], spec: S, destination: Destination[Any]) -> None:
    other = known.setdefault(spec.name, spec)
    if other != spec:
        if isinstance(destination, Queue) and _is_same_dead_queue(other, spec):
            return
        msg = f"{destination} is declared twice, and differently: once {other}, once {spec}"
        raise ConfigurationError(msg)


def _is_same_dead_queue(one: object, other: object) -> bool:
    """A queue of dead letters may serve several queues, and be declared in its own right too."""
    if not isinstance(one, QueueSpec) or not isinstance(other, QueueSpec):
        return False
    return one.routes == other.routes == () and one.ordered == other.ordered and one.priorities == other.priorities


def require_topology(capabilities: Capabilities, topology: Topology) -> None:
    """Refuse declarations that this broker cannot keep.

    :raises UnsupportedCapability: naming the destination and its option
    """
    for exchange in topology.exchanges.values():
        if exchange.kind == "headers":
            capabilities.require(Power.HEADERS_EXCHANGE, f"Exchange({exchange.name!r}, kind='headers')")
    for queue in topology.queues.values():
        who = f"Queue({queue.name!r})"
        if queue.ordered:
            capabilities.require(Power.ORDERED, f"{who} with ordered={queue.ordered!r}")
        if queue.ordered == "strict":
            capabilities.require(Power.STRICT, f"{who} with ordered='strict'")
        if queue.priorities is not None:
            capabilities.require(Power.PRIORITY, f"{who} with priorities={queue.priorities}")
        if queue.anonymous:
            capabilities.require(Power.ANONYMOUS, f"{who}, anonymous,")
        if queue.start != "latest":
            capabilities.require(Power.START, f"{who} with start={queue.start!r}")
