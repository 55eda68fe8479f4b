"""Exchanges, queues, and the routes between them: frozen, whole when they exist, typed by what they carry."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, Literal, TypeGuard, TypeVar, Unpack, overload

from msgkit.converter import Converter
from msgkit.envelope import NO_HEADERS, new_id
from msgkit.errors import ConfigurationError
from msgkit.patterns import MATCH_ALL, compile_pattern
from msgkit.topology.destination import KINDS, Destination, ExchangeKind, ExchangeOptions, QueueOptions, Start
from msgkit.values import Headers, check_headers, check_name, check_text, check_whole, epoch

__all__ = ["Exchange", "Queue", "Route"]

#: A byte on the wire of the brokers that have priorities.
_MAX_PRIORITY = 255

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Route(Generic[T_co]):
    """Which of an exchange's messages a queue takes: those whose subject and headers match."""

    __slots__ = ("_exchange", "_headers", "_subject")

    def __init__(self, exchange: "Exchange[Any]", subject: str = MATCH_ALL, headers: Headers = NO_HEADERS) -> None:
        self._exchange = exchange
        self._subject = check_text(subject, f"the pattern of a route from {exchange}")
        self._headers = dict(check_headers(headers))
        if self._headers and exchange.kind != "headers":
            msg = f"{exchange} is of kind {exchange.kind!r}: only kind='headers' routes by headers"
            raise ConfigurationError(msg)
        if exchange.kind == "topic":
            compile_pattern(subject)
        elif (exchange.kind == "direct") == (subject == MATCH_ALL):
            wanted = "an exact subject" if exchange.kind == "direct" else "no subject"
            msg = f"{exchange} is of kind {exchange.kind!r}: a route from it takes {wanted}"
            raise ConfigurationError(msg)

    @property
    def exchange(self) -> "Exchange[Any]":
        return self._exchange

    @property
    def subject(self) -> str:
        return self._subject

    @property
    def headers(self) -> Headers:
        return self._headers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Route) and self._state == other._state

    def __hash__(self) -> int:
        return hash((self._exchange, self._subject))

    @property
    def _state(self) -> tuple[object, ...]:
        return (self._exchange, self._subject, self._headers)

    def __repr__(self) -> str:
        return f"{self._exchange}.where({self._subject!r})"


class Exchange(Destination[T]):
    """Where messages are sent; every queue with a matching route gets a copy."""

    __slots__ = ("_key", "_kind", "_subject")

    @overload
    def __init__(self: "Exchange[Any]", name: str, /, **options: Unpack[ExchangeOptions[Any]]) -> None: ...
    @overload
    def __init__(self: "Exchange[A]", name: str, a: type[A], /, **options: Unpack[ExchangeOptions[A]]) -> None: ...
    @overload
    def __init__(
        self: "Exchange[A | B]",
        name: str,
        a: type[A],
        b: type[B],
        /,
        **options: Unpack[ExchangeOptions[A | B]],
    ) -> None: ...
    @overload
    def __init__(
        self: "Exchange[A | B | C]",
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        /,
        **options: Unpack[ExchangeOptions[A | B | C]],
    ) -> None: ...
    @overload
    def __init__(
        self: "Exchange[A | B | C | D]",
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        /,
        **options: Unpack[ExchangeOptions[A | B | C | D]],
    ) -> None: ...
    def __init__(self, name: str, /, *types: Any, **options: Any) -> None:
        super().__init__(name, types, options, _EXCHANGE_OPTIONS)
        self._key: Callable[[T], str] | None = options.get("key")
        self._subject: str | Callable[[T], str] | None = options.get("subject")
        self._kind: ExchangeKind = options.get("kind", "topic")
        if self._kind not in KINDS:
            msg = f"Exchange({name!r}): kind={self._kind!r} must be one of {', '.join(KINDS)}"
            raise ConfigurationError(msg)
        if self._key is not None and not callable(self._key):
            msg = f"Exchange({name!r}): key= takes a function of the payload; for one message use send(..., key=)"
            raise ConfigurationError(msg)
        if not (self._subject is None or isinstance(self._subject, str) or callable(self._subject)):
            msg = f"Exchange({name!r}): subject= takes a str or a function of the payload, not {self._subject!r}"
            raise ConfigurationError(msg)

    @property
    def key(self) -> Callable[[T], str] | None:
        return self._key

    @property
    def subject(self) -> str | Callable[[T], str] | None:
        return self._subject

    @property
    def kind(self) -> ExchangeKind:
        return self._kind

    def where(self, subject: str = MATCH_ALL, /, *, headers: Headers = NO_HEADERS) -> Route[T]:
        """Return a route for the messages whose subject matches, and headers where the kind is `headers`."""
        return Route(self, subject, headers)

    def queue(self, name: str, subject: str = MATCH_ALL, /, **options: Unpack[QueueOptions]) -> "Queue[T]":
        """Return a queue that takes the messages whose subject matches."""
        return Queue(name, self.where(subject), **options)

    def _state(self) -> tuple[object, ...]:
        return (*super()._state(), self._key, self._subject, self._kind)


class Queue(Destination[T]):
    """Where messages wait for one group of competing consumers.

    Its broker and its converter are those of the exchanges that it takes from, unless it says otherwise.
    """

    __slots__ = (
        "_anonymous",
        "_dead_letters",
        "_dead_of",
        "_ordered",
        "_priorities",
        "_routes",
        "_start",
    )

    @overload
    def __init__(self: "Queue[Any]", name: str, /, **options: Unpack[QueueOptions]) -> None: ...
    @overload
    def __init__(self: "Queue[A]", name: str, a: type[A] | Route[A], /, **options: Unpack[QueueOptions]) -> None: ...
    @overload
    def __init__(
        self: "Queue[A | B]",
        name: str,
        a: type[A] | Route[A],
        b: type[B] | Route[B],
        /,
        **options: Unpack[QueueOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "Queue[A | B | C]",
        name: str,
        a: type[A] | Route[A],
        b: type[B] | Route[B],
        c: type[C] | Route[C],
        /,
        **options: Unpack[QueueOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "Queue[A | B | C | D]",
        name: str,
        a: type[A] | Route[A],
        b: type[B] | Route[B],
        c: type[C] | Route[C],
        d: type[D] | Route[D],
        /,
        **options: Unpack[QueueOptions],
    ) -> None: ...
    def __init__(self, name: str, /, *sources: Any, **options: Any) -> None:
        routes: tuple[Route[Any], ...] = tuple(each for each in sources if _is_route(each))
        types = tuple(each for each in sources if not _is_route(each))
        super().__init__(
            name,
            _payload_types(types, routes),
            {"broker": _broker_of(routes), **options},
            _QUEUE_OPTIONS,
        )
        if "converter" not in options:
            self._converter = _converter_of(routes, self)
        self._routes = routes
        self._anonymous = False
        self._dead_of: str | None = None
        self._priorities: int | None = options.get("priorities")
        self._ordered: bool | Literal["strict"] = options.get("ordered", False)
        self._start: Start = options.get("start", "latest")
        self._dead_letters: str | Literal[False] = options.get("dead_letters", f"{name}.dlq")
        self._check()

    def _check(self) -> None:
        for route in self._routes:
            if route.exchange.broker != self._broker:
                msg = (
                    f"{self} is on broker {self._broker!r}, but {route.exchange} is on {route.exchange.broker!r}; "
                    "a route cannot cross brokers: send on from a listener"
                )
                raise ConfigurationError(msg)
        if self._priorities is not None and check_whole(self._priorities, f"priorities= of {self}") > _MAX_PRIORITY:
            msg = f"Queue({self._name!r}): priorities= must be at most {_MAX_PRIORITY}, not {self._priorities}"
            raise ConfigurationError(msg)
        if self._priorities is not None and self._ordered:
            msg = f"Queue({self._name!r}) cannot be ordered and have priorities"
            raise ConfigurationError(msg)
        if self._ordered not in (True, False, "strict"):
            msg = f"Queue({self._name!r}): ordered= must be True, False or 'strict', not {self._ordered!r}"
            raise ConfigurationError(msg)
        if isinstance(self._start, datetime):
            epoch(self._start, f"start= of Queue({self._name!r})")
        elif self._start not in ("earliest", "latest"):
            msg = f"Queue({self._name!r}): start= must be 'earliest', 'latest' or a datetime, not {self._start!r}"
            raise ConfigurationError(msg)
        if self._dead_letters is not False:
            check_name(self._dead_letters, f"the dead letters of Queue({self._name!r})")
        if self._ordered == "strict" and self._dead_letters is False:
            msg = f"Queue({self._name!r}) is strict, so its dead letters hold their successors; it needs dead_letters"
            raise ConfigurationError(msg)

    @staticmethod
    def anonymous(route: Route[A], /) -> "Queue[A]":
        """Return a queue of this process alone: every process gets a copy of each message."""
        if not _is_route(route):
            msg = f"Queue.anonymous() takes a route, such as exchange.where(), not {route!r}"
            raise ConfigurationError(msg)
        # The exchange is named for people; a long name would leave no room for what is its own.
        queue = Queue(f"{route.exchange.name[:40]}.{new_id()}", route, dead_letters=False)
        queue._anonymous = True
        return queue

    @property
    def dead_letters(self) -> "Queue[bytes]":
        """Return the queue of what could not be handled.

        :raises ConfigurationError: when this queue has none, by choice
        """
        if self._dead_letters is False:
            why = (
                "is anonymous, and goes with its process" if self._anonymous else "was declared with dead_letters=False"
            )
            msg = f"{self} has no dead letters: it {why}"
            raise ConfigurationError(msg)
        queue = Queue(self._dead_letters, bytes, dead_letters=False, broker=self._broker)
        queue._dead_of = self._name
        return queue

    @property
    def has_dead_letters(self) -> bool:
        return self._dead_letters is not False

    @property
    def dead_letters_of(self) -> str | None:
        """The name of the queue whose dead letters wait here."""
        return self._dead_of

    @property
    def is_anonymous(self) -> bool:
        return self._anonymous

    @property
    def routes(self) -> tuple[Route[Any], ...]:
        return self._routes

    @property
    def ordered(self) -> bool | Literal["strict"]:
        return self._ordered

    @property
    def priorities(self) -> int | None:
        return self._priorities

    @property
    def start(self) -> Start:
        return self._start

    def _state(self) -> tuple[object, ...]:
        return (
            *super()._state(),
            self._routes,
            self._ordered,
            self._priorities,
            self._start,
            self._dead_letters,
        )


_EXCHANGE_OPTIONS = frozenset(ExchangeOptions.__annotations__)
_QUEUE_OPTIONS = frozenset(QueueOptions.__annotations__)


def _is_route(source: object) -> TypeGuard[Route[Any]]:
    return isinstance(source, Route)


def _payload_types(types: tuple[Any, ...], routes: tuple[Route[Any], ...]) -> tuple[Any, ...]:
    """Collect what a queue carries; anything, as soon as one source carries anything."""
    sources = [types] if types else []
    sources += [route.exchange.types for route in routes]
    if not all(sources):
        return ()
    return tuple(dict.fromkeys(kind for source in sources for kind in source))


def _broker_of(routes: tuple[Route[Any], ...]) -> str:
    return routes[0].exchange.broker if routes else "default"


def _converter_of(routes: tuple[Route[Any], ...], queue: Queue[Any]) -> Converter | None:
    """Return the one converter of the exchanges that a queue takes from; None is one too: that of the type."""
    exchanges = [route.exchange for route in routes]
    for other in exchanges[1:]:
        if other.converter != exchanges[0].converter:
            msg = (
                f"{queue} takes from {exchanges[0]}, whose converter is {exchanges[0].converter}, "
                f"and from {other}, whose converter is {other.converter}; say which with converter="
            )
            raise ConfigurationError(msg)
    return exchanges[0].converter if exchanges else None
