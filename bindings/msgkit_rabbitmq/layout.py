"""What a topology becomes on RabbitMQ: exchanges, queues and bindings with their arguments. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

from msgkit.errors import ConfigurationError, UnsupportedCapability
from msgkit.spi import ExchangeSpec, QueueSpec, RouteSpec, Topology
from msgkit.values import Option
from msgkit_rabbitmq.capabilities import Version
from msgkit_rabbitmq.mapping import header_name
from msgkit_rabbitmq.options import RabbitExchange, RabbitQueue, check_broker_name
from msgkit_rabbitmq.wire import Table

__all__ = [
    "LIMIT",
    "QUORUM",
    "ExchangeForm",
    "QueueForm",
    "RouteForm",
    "check_histories",
    "exchange_forms",
    "foreign",
    "history_form",
    "queue_form",
    "queue_forms",
    "route_forms",
]

OptionT = TypeVar("OptionT", bound=Option)

QUORUM = "quorum"
_STREAM = "stream"
#: After how many deliveries a broker takes a message away.
LIMIT = "x-delivery-limit"
#: Seconds for which an anonymous queue outlives its last consumer.
_SURVIVES = 60
_LIMITED: Version = (4, 0)
_PRIORITIES: Version = (4, 3)
_MOST_OF_A_KEY = 255
#: Priorities of a quorum queue.
_LEVELS = 31


class ExchangeForm(NamedTuple):
    """An exchange as it is declared."""

    name: str
    kind: str
    arguments: Table
    internal: bool = False
    auto_delete: bool = False
    #: False: it is somebody else's.
    owned: bool = True

    def __str__(self) -> str:
        return ", ".join((f"kind={self.kind!r}", *_said(self.arguments)))


class QueueForm(NamedTuple):
    """A queue as it is declared."""

    name: str
    arguments: Table
    owned: bool = True

    @property
    def is_replicated(self) -> bool:
        return self.arguments.get("x-queue-type") in (QUORUM, _STREAM)

    @property
    def is_history(self) -> bool:
        return self.arguments.get("x-queue-type") == _STREAM

    def __str__(self) -> str:
        return ", ".join(_said(self.arguments))


class RouteForm(NamedTuple):
    """A binding as it is made."""

    source: str
    queue: str
    key: str
    arguments: Table

    def __str__(self) -> str:
        wanted = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items() if name != "x-match")
        return f"{self.source} [{wanted or self.key}] -> {self.queue}"


def exchange_forms(topology: Topology) -> dict[str, ExchangeForm]:
    """Return all exchanges: those declared, and those that are only routed from."""
    specs: dict[str, ExchangeSpec] = {}
    for queue in topology.queues.values():
        for route in queue.routes:
            specs.setdefault(route.exchange, ExchangeSpec(name=route.exchange, kind=route.kind))
    specs.update(topology.exchanges)
    return {name: _exchange_form(spec) for name, spec in specs.items()}


def _exchange_form(spec: ExchangeSpec) -> ExchangeForm:
    option = _ours(spec.options, RabbitExchange, f"exchange {spec.name!r}") or RabbitExchange()
    owned = option.declare and not spec.name.startswith("amq.")
    check_broker_name(spec.name, f"exchange {spec.name!r}", owned=owned)
    return ExchangeForm(
        spec.name,
        option.kind or spec.kind,
        option.declared(),
        internal=option.internal,
        auto_delete=option.auto_delete,
        owned=owned,
    )


def queue_forms(spec: QueueSpec, version: Version) -> Iterator[tuple[QueueForm, tuple[RouteForm, ...]]]:
    """Return what a queue becomes: itself and, where it has one, its history; each with its bindings."""
    routes = tuple(route_forms(spec))
    yield queue_form(spec, version), routes
    if (history := history_form(spec)) is not None:
        yield history, tuple(route._replace(queue=history.name) for route in routes)


def history_form(spec: QueueSpec) -> QueueForm | None:
    """Return the stream that keeps what the routes of a queue bring."""
    option = _ours(spec.options, RabbitQueue, f"queue {spec.name!r}")
    if option is None or option.history is None:
        return None
    what = f"queue {spec.name!r}: RabbitQueue(history=)"
    if spec.anonymous:
        raise ConfigurationError(f"{what} outlives a queue that is anonymous: give it a name")
    if not spec.routes:
        raise ConfigurationError(f"{what} keeps what routes bring, and it has none")
    name = check_broker_name(f"{spec.name}.history", f"the history of queue {spec.name!r}", owned=True)
    seconds = math.ceil(option.history.total_seconds())
    return QueueForm(name, {"x-queue-type": _STREAM, "x-max-age": f"{seconds}s"})


def check_histories(topology: Topology) -> None:
    """Refuse a queue that is named like what another one's history would be."""
    for spec in topology.queues.values():
        if (history := history_form(spec)) is not None and history.name in topology.queues:
            what = f"queue {spec.name!r}: RabbitQueue(history=)"
            raise ConfigurationError(f"{what} makes a stream {history.name!r}, and there is a queue of that name")


def queue_form(spec: QueueSpec, version: Version) -> QueueForm:
    """Return how a queue is declared on a broker of that version.

    :raises UnsupportedCapability: when that version cannot keep it so
    """
    option = _ours(spec.options, RabbitQueue, f"queue {spec.name!r}") or RabbitQueue()
    check_broker_name(spec.name, f"queue {spec.name!r}", owned=option.declare)
    kind = option.kind or ("classic" if spec.priorities is not None or spec.anonymous else QUORUM)
    arguments: dict[str, object] = {"x-queue-type": kind}
    if spec.priorities is not None:
        arguments.update(_prioritized(spec, kind, version))
    if spec.ordered:
        arguments["x-single-active-consumer"] = True
    if spec.anonymous:
        arguments["x-expires"] = _SURVIVES * 1000
    if kind == QUORUM and version >= _LIMITED:
        # Else it takes a message away behind our back that went back twenty times.
        arguments[LIMIT] = -1
    return QueueForm(spec.name, {**arguments, **option.declared()}, owned=option.declare)


def _prioritized(spec: QueueSpec, kind: str, version: Version) -> Table:
    if kind == "classic":
        return {"x-max-priority": spec.priorities}
    if version < _PRIORITIES:
        numbers = ".".join(map(str, version))
        msg = (
            f"queue {spec.name!r}: quorum queues of RabbitMQ {numbers} keep no priorities; leave RabbitQueue(kind=) out"
        )
        raise UnsupportedCapability(msg)
    if (spec.priorities or 0) > _LEVELS:
        msg = f"queue {spec.name!r}: quorum queues keep priorities up to {_LEVELS}; leave RabbitQueue(kind=) out"
        raise UnsupportedCapability(msg)
    return {}


def route_forms(spec: QueueSpec) -> Iterator[RouteForm]:
    """Return how a queue is bound."""
    for route in spec.routes:
        yield RouteForm(route.exchange, spec.name, _key(route), _wanted(route))


def _key(route: RouteSpec) -> str:
    if route.kind in ("fanout", "headers"):
        return ""
    if len(route.subject.encode()) > _MOST_OF_A_KEY:
        msg = f"the pattern {route.subject[:40]!r}… has more than {_MOST_OF_A_KEY} bytes, which is all RabbitMQ takes"
        raise ConfigurationError(msg)
    return route.subject


def _wanted(route: RouteSpec) -> Table:
    if route.kind != "headers":
        return {}
    wanted = {header_name(name): _as_sent(value) for name, value in route.headers.items()}
    every = "all-with-x" if any(name.startswith("x-") for name in wanted) else "all"
    return {"x-match": every, **wanted}


def _as_sent(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def foreign(options: Iterable[Option]) -> Iterator[Option]:
    """Return the options that are for other brokers."""
    return (option for option in options if not isinstance(option, (RabbitQueue, RabbitExchange)))


def _ours(options: Iterable[Option], kind: type[OptionT], what: str) -> OptionT | None:
    found = [option for option in options if isinstance(option, kind)]
    wrong = [option for option in options if isinstance(option, (RabbitQueue, RabbitExchange)) and option not in found]
    if wrong:
        raise ConfigurationError(f"{what} takes no {type(wrong[0]).__name__}; {kind.__name__} is for that")
    if len(found) > 1:
        raise ConfigurationError(f"{what} has {len(found)} options of the type {kind.__name__}, and takes one")
    return found[0] if found else None


def _said(arguments: Mapping[str, object]) -> Iterator[str]:
    return (f"{name}={value!r}" for name, value in arguments.items())
