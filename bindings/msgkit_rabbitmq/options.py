"""What only RabbitMQ understands of a queue and of an exchange: `options=[RabbitQueue(max_length=1000)]`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, cast, get_args

from msgkit.errors import ConfigurationError
from msgkit.topology import ExchangeKind
from msgkit.values import Option, check_whole

__all__ = ["RabbitExchange", "RabbitQueue", "check_broker_name"]

_MAX_NAME = 255
_MAX_KEY = 128
_RESERVED = "amq."
_INT64 = 1 << 63
_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=36_500)
_NONE: Mapping[str, object] = MappingProxyType({})
_Kind = Literal["quorum", "classic"]
_Overflow = Literal["reject-publish", "drop-head"]

_DEAD = "the broker would take messages away with no record of why; dead letters are Queue(dead_letters=…)'s"
#: What the binding sets itself, or what would break a promise; and what to say instead.
_QUEUE_ARGUMENTS: Mapping[str, str] = {
    "x-consumer-timeout": "it is the same for all queues: tell consumer_timeout to the broker, and in the URL",
    "x-dead-letter-exchange": _DEAD,
    "x-dead-letter-routing-key": _DEAD,
    "x-dead-letter-strategy": _DEAD,
    "x-delivery-limit": "the broker would take messages away uncounted; attempts are limited by @listener(retry=…)",
    "x-expires": "a queue that goes by itself is Queue.anonymous(…)",
    "x-max-length": "write max_length=",
    "x-max-length-bytes": "write max_bytes=",
    "x-max-priority": "write Queue(priorities=…)",
    "x-message-ttl": "the broker would take messages away unseen; an expiry is given to each message, by send(ttl=…)",
    "x-overflow": "write overflow=",
    "x-queue-type": "write kind=",
    "x-single-active-consumer": "write Queue(ordered=True)",
}
_EXCHANGE_ARGUMENTS: Mapping[str, str] = {"alternate-exchange": "write alternate_exchange="}


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitQueue(Option):
    """How RabbitMQ keeps a queue. Nothing said is a quorum queue without bounds."""

    schemes = ("amqp", "amqps")

    #: None: quorum, or classic where priorities need it.
    kind: _Kind | None = None
    #: The most messages it holds; a quorum queue takes a few more before it refuses.
    max_length: int | None = None
    #: The most bytes that the bodies in it have together.
    max_bytes: int | None = None
    #: What a full queue does. None: reject-publish, which refuses the send; drop-head loses the oldest message.
    overflow: _Overflow | None = None
    #: What its routes bring is kept for at least so long in a stream, `<queue>.history`, and can be read again.
    #: It cannot be changed later, and is not for a queue with bounds.
    history: timedelta | None = None
    #: More arguments of its declaration, as RabbitMQ names them: {"x-quorum-initial-group-size": 5}.
    arguments: Mapping[str, object] = field(default_factory=lambda: _NONE, hash=False)
    #: False: it is somebody else's. It must be there, and is used as it is.
    declare: bool = True

    def __post_init__(self) -> None:
        what = "RabbitQueue"
        _check_choice(self.kind, f"{what}(kind=)", get_args(_Kind))
        _check_choice(self.overflow, f"{what}(overflow=)", get_args(_Overflow))
        _check_truth(self.declare, f"{what}(declare=)")
        for name in ("max_length", "max_bytes"):
            if getattr(self, name) is not None:
                check_whole(getattr(self, name), f"{what}({name}=)")
        _check_history(self.history, f"{what}(history=)")
        object.__setattr__(self, "arguments", _checked_arguments(self.arguments, what, _QUEUE_ARGUMENTS))
        if self.overflow is not None and not self._bounded:
            msg = f"{what}(overflow=) says what a full queue does: set max_length= or max_bytes= too"
            raise ConfigurationError(msg)
        if self.history is not None and self._bounded:
            msg = f"{what}(history=) has a queue filled again, which a full one refuses or loses: leave out its bounds"
            raise ConfigurationError(msg)
        if not self.declare:
            _refuse_changes(self, ("max_length", "max_bytes", "overflow", "history", "arguments"))

    def declared(self) -> dict[str, object]:
        """Return the arguments of its declaration that are said here; its type is not among them."""
        bounds: dict[str, object] = {}
        if self.max_length is not None:
            bounds["x-max-length"] = self.max_length
        if self.max_bytes is not None:
            bounds["x-max-length-bytes"] = self.max_bytes
        if bounds:
            bounds["x-overflow"] = self.overflow or "reject-publish"
        return {**bounds, **self.arguments}

    @property
    def _bounded(self) -> bool:
        return self.max_length is not None or self.max_bytes is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitExchange(Option):
    """How RabbitMQ keeps an exchange. Nothing said is a durable exchange of the `Exchange`'s own kind."""

    schemes = ("amqp", "amqps")

    #: The type that a plugin brings, such as "x-consistent-hash". None: the kind of the Exchange.
    kind: str | None = None
    #: Where messages go that no route takes.
    alternate_exchange: str | None = None
    #: True: only other exchanges send to it.
    internal: bool = False
    #: True: it goes with its last route, and sending to it fails then.
    auto_delete: bool = False
    #: More arguments of its declaration, as RabbitMQ names them.
    arguments: Mapping[str, object] = field(default_factory=lambda: _NONE, hash=False)
    #: False: it is somebody else's. It must be there, and is used as it is.
    declare: bool = True

    def __post_init__(self) -> None:
        what = "RabbitExchange"
        if self.kind is not None:
            check_broker_name(self.kind, f"{what}(kind=)", owned=False)
        if self.kind in get_args(ExchangeKind):
            msg = f"{what}(kind=) is for the types of plugins; write Exchange(…, kind={self.kind!r})"
            raise ConfigurationError(msg)
        if self.alternate_exchange is not None:
            check_broker_name(self.alternate_exchange, f"{what}(alternate_exchange=)", owned=False)
        for name in ("internal", "auto_delete", "declare"):
            _check_truth(getattr(self, name), f"{what}({name}=)")
        object.__setattr__(self, "arguments", _checked_arguments(self.arguments, what, _EXCHANGE_ARGUMENTS))
        if not self.declare:
            _refuse_changes(self, ("alternate_exchange", "internal", "auto_delete", "arguments"))

    def declared(self) -> dict[str, object]:
        """Return the arguments of its declaration that are said here."""
        alternate = {} if self.alternate_exchange is None else {"alternate-exchange": self.alternate_exchange}
        return {**alternate, **self.arguments}


def check_broker_name(name: object, what: str, *, owned: bool) -> str:
    """Return a name that RabbitMQ takes, or say what is wrong with it.

    :param owned: is it declared by us? The broker's own names begin with `amq.`, and are only used.
    """
    if not isinstance(name, str) or not name or name.isspace():
        msg = f"{what} must be a name, not {name!r}"
        raise ConfigurationError(msg)
    if not name.isprintable():
        msg = f"{what} holds a character that cannot be printed: {name[:_MAX_NAME]!r}"
        raise ConfigurationError(msg)
    if (size := len(name.encode())) > _MAX_NAME:
        msg = f"{what} has {size} bytes, and RabbitMQ takes at most {_MAX_NAME}: {name[:40]!r}…"
        raise ConfigurationError(msg)
    if owned and name.startswith(_RESERVED):
        msg = (
            f"{what} is {name!r}, and names that begin with {_RESERVED} are RabbitMQ's own: take another, "
            "or use what is there with declare=False in RabbitQueue or RabbitExchange"
        )
        raise ConfigurationError(msg)
    return name


def _check_choice(value: object, what: str, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        msg = f"{what} must be {' or '.join(map(repr, choices))}, not {value!r}"
        raise ConfigurationError(msg)


def _check_truth(value: object, what: str) -> None:
    if not isinstance(value, bool):
        msg = f"{what} must be True or False, not {value!r}"
        raise ConfigurationError(msg)


def _check_history(value: object, what: str) -> None:
    if value is not None and (not isinstance(value, timedelta) or not _SHORTEST <= value <= _LONGEST):
        msg = f"{what} must be a timedelta of {_SHORTEST.seconds} second to {_LONGEST.days} days, not {value!r}"
        raise ConfigurationError(msg)


def _checked_arguments(given: object, what: str, better: Mapping[str, str]) -> Mapping[str, object]:
    if not isinstance(given, Mapping):
        msg = f"{what}(arguments=) takes a mapping of names to values, not {given!r}"
        raise ConfigurationError(msg)
    arguments = cast("Mapping[object, object]", given)
    checked: dict[str, object] = {}
    for name, value in arguments.items():
        if not isinstance(name, str) or not name or not name.isprintable() or len(name.encode()) > _MAX_KEY:
            msg = f"{what}(arguments=): a name has 1 to {_MAX_KEY} printable characters, unlike {name!r}"
            raise ConfigurationError(msg)
        if name in better:
            msg = f"{what}(arguments=) cannot set {name!r}: {better[name]}"
            raise ConfigurationError(msg)
        for leaf in _leaves(value):
            if not _travels(leaf):
                msg = f"{what}(arguments=): {name!r} is {value!r}, which AMQP cannot carry"
                raise ConfigurationError(msg)
        checked[name] = value
    return MappingProxyType(checked)


def _leaves(value: object) -> Iterator[object]:
    """Return what a value is made of in the end: AMQP has lists and tables."""
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        for name in table:
            yield name if isinstance(name, str) else object()
        for inner in table.values():
            yield from _leaves(inner)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for inner in cast("Sequence[object]", value):
            yield from _leaves(inner)
    else:
        yield value


def _travels(value: object) -> bool:
    match value:
        case None | bool() | str() | bytes() | float() | Decimal() | datetime():
            return True
        case int():
            return -_INT64 <= value < _INT64
        case _:
            return False


def _refuse_changes(option: RabbitQueue | RabbitExchange, names: Sequence[str]) -> None:
    """Refuse what somebody else's queue or exchange would never be told."""
    said = [f"{name}=" for name in names if getattr(option, name)]
    if said:
        msg = (
            f"{type(option).__name__}(declare=False) takes what is there as it is, "
            f"so that {' and '.join(said)} would do nothing; leave out one or the other"
        )
        raise ConfigurationError(msg)
