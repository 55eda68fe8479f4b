"""What every destination has: a name, payload types, a broker, and options of brokers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypedDict, TypeVar, cast

from msgkit.converter import Converter
from msgkit.errors import ConfigurationError
from msgkit.values import Option, check_name

__all__ = ["KINDS", "Destination", "ExchangeKind", "ExchangeOptions", "QueueOptions", "Start"]

T = TypeVar("T")

ExchangeKind = Literal["topic", "direct", "fanout", "headers"]
Start = Literal["earliest", "latest"] | datetime
KINDS = ("topic", "direct", "fanout", "headers")
_OF_A_CONVERTER = ("content_types", "encodes", "encode", "decode", "__hash__")


class ExchangeOptions(TypedDict, Generic[T], total=False):
    """What can be said about an exchange."""

    key: Callable[[T], str]
    subject: str | Callable[[T], str]
    kind: ExchangeKind
    broker: str
    converter: Converter
    options: Sequence[Option]


class QueueOptions(TypedDict, total=False):
    """What can be said about a queue."""

    priorities: int
    ordered: bool | Literal["strict"]
    dead_letters: str | Literal[False]
    start: Start
    broker: str
    converter: Converter
    options: Sequence[Option]


class Destination(Generic[T]):
    """What messages are sent to; invariant in `T`, so that a wrong payload is refused before it runs."""

    __slots__ = ("_broker", "_converter", "_hash", "_name", "_options", "_types")

    def __init__(self, name: str, types: tuple[Any, ...], options: Mapping[str, Any], allowed: frozenset[str]) -> None:
        what = type(self).__name__
        self._name = check_name(name, f"a {what}" if what == "Queue" else f"an {what}")
        if unknown := set(options) - allowed:
            msg = f"{what}({name!r}) has no option {min(unknown)!r}; there are {', '.join(sorted(allowed))}"
            raise ConfigurationError(msg)
        for kind in types:
            if isinstance(kind, str):
                msg = f"{what}({name!r}): {kind!r} is no type; give the payload's type itself"
                raise ConfigurationError(msg)
        self._types = types
        self._broker = check_name(options.get("broker", "default"), f"the broker of {what}({name!r})")
        self._hash = hash((name, self._broker))
        self._converter = _checked(options.get("converter"), f"{what}({name!r})")
        given = options.get("options", ())
        if isinstance(given, Option):
            msg = f"{what}({name!r}): options= takes a list; write options=[{type(given).__name__}(...)]"
            raise ConfigurationError(msg)
        self._options: tuple[Option, ...] = tuple(given)
        for option in self._options:
            if not isinstance(option, Option):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
                msg = f"{what}({name!r}): options= takes values such as RabbitQueue(...), not {type(option).__name__}"
                raise ConfigurationError(msg)

    @property
    def name(self) -> str:
        return self._name

    @property
    def types(self) -> tuple[Any, ...]:
        """The payload types; empty when it carries anything."""
        return self._types

    @property
    def broker(self) -> str:
        return self._broker

    @property
    def converter(self) -> Converter | None:
        return self._converter

    @property
    def options(self) -> tuple[Option, ...]:
        return self._options

    def _state(self) -> tuple[object, ...]:
        return (self._name, self._broker, self._types, self._converter, self._options)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(self) is type(other) and self._state() == cast("Destination[Any]", other)._state()
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"


def _checked(converter: object, whose: str) -> Converter | None:
    """Return a converter, or say what is wrong with it."""
    if isinstance(converter, type):
        msg = f"{whose}: converter= takes a converter, not its class; write converter={converter.__name__}()"
        raise ConfigurationError(msg)
    if converter is None or isinstance(converter, Converter):
        return converter
    lacking = [name for name in _OF_A_CONVERTER if getattr(converter, name, None) is None]
    msg = f"{whose}: converter= takes a converter; {type(converter).__name__} lacks {', '.join(lacking)}"
    raise ConfigurationError(msg)
