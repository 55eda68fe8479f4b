"""What a conformance run writes down: frozen records, each one line of JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Literal, NamedTuple, cast

__all__ = [
    "Attempted",
    "Began",
    "Content",
    "Dead",
    "Declared",
    "Ended",
    "Expired",
    "Fault",
    "FaultKind",
    "Gap",
    "Joined",
    "Left",
    "Order",
    "Ordered",
    "Outcome",
    "Promises",
    "Record",
    "Resolved",
    "Settled",
    "Stopped",
    "Typed",
    "content",
    "decode",
    "encode",
]

FaultKind = Literal[
    "broker-stop",
    "broker-kill",
    "pause",
    "connection-loss",
    "revoke",
    "lease-expiry",
    "consumer-kill",
]
Order = Literal["KEY", "QUEUE", "FAILOVER", "NONE"]
Ordered = bool | Literal["strict"]
Outcome = Literal["confirmed", "refused", "unknown"]
Settled = Literal["accepted", "retried", "rejected", "released", "lost", "none"]

#: A name, the exact type of its value, and the value's text: equal only where all three are.
Typed = tuple[str, str, str]


class Content(NamedTuple):
    """What a message carries, small enough to keep and strict to compare."""

    body: str
    headers: tuple[Typed, ...]
    key: str | None
    subject: str | None
    meta: tuple[Typed, ...]


def content(
    body: bytes | bytearray | memoryview,
    headers: Mapping[str, object],
    /,
    *,
    key: str | None,
    subject: str | None,
    **meta: object,
) -> Content:
    """Return what a message carries; in `meta` whatever else must arrive as it was sent."""
    return Content(_digest(body), _typed(headers), key, subject, _typed(meta))


def _digest(body: bytes | bytearray | memoryview) -> str:
    return f"{type(body).__name__}:{len(body)}:{blake2b(body, digest_size=12).hexdigest()}"


def _typed(values: Mapping[str, object]) -> tuple[Typed, ...]:
    return tuple((name, *_exact(values[name])) for name in sorted(values))


def _exact(value: object) -> tuple[str, str]:
    kind = type(value).__name__
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return f"naive {kind}", value.isoformat(timespec="microseconds")
        return kind, value.astimezone(UTC).isoformat(timespec="microseconds")
    return kind, repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """The capabilities that the judgement depends on."""

    order: Order = "KEY"
    #: Seconds before a fault in which a settlement may be undone by it. What passes between a
    #: recorded end and its settlement reaching the broker is the suite's to add.
    settle_window: float = 0.0
    #: A crash between a confirmed copy and its settlement may fork the message in two.
    forks: bool = False
    #: Ordered retries are tried in place: on another consumer the attempts may start again.
    holds: bool = False
    #: A release or a fault may count as an attempt, one each; and a broker that is killed may forget some.
    overcounts: bool = False
    #: The broker can say what it holds.
    inspectable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A queue under test."""

    queue: str
    ordered: Ordered = False
    anonymous: bool = False
    dead_letters: bool = True
    #: A retry at this attempt exhausts the message.
    attempts: int | None = None
    #: Deliveries that one consumer begins at the very same time are one batch.
    batched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """A publish, before it is known what came of it."""

    message_id: str
    to: str
    queues: tuple[str, ...]
    content: Content
    at: float
    sender: str
    #: Counts what one sender sends to one key of one destination, in call order.
    sequence: int
    phase: str = ""
    due: float | None = None
    expires: float | None = None
    #: No handler can be given it: it belongs into the dead letters at once.
    poison: bool = False

    @property
    def key(self) -> str | None:
        return self.content.key

    @property
    def earliest(self) -> float:
        return self.at if self.due is None else max(self.at, self.due)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What came of a publish."""

    message_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A delivery whose handling begins."""

    token: str
    queue: str
    consumer: str
    message_id: str
    attempt: int
    at: float
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a handling ended; a killed one never does."""

    token: str
    how: Settled
    at: float
    #: The least delay that was asked for, where it was retried.
    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault, from its cause until all that it touches are known to be back."""

    kind: FaultKind
    began: float
    #: None while it lasts.
    ended: float | None = None
    #: None where it touches every consumer.
    consumers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A dead letter that was found, under the queue that failed."""

    queue: str
    message_id: str
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """How many more messages a queue's consumers have counted as expired by then."""

    queue: str
    count: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What the broker said that a queue still holds; the last answer counts."""

    queue: str
    count: int
    unacked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A consumer that stopped is back under its name."""

    consumer: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """From here on nothing begins at this consumer."""

    consumer: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A gap that an anonymous queue reported: what was sent in it may be missing."""

    queue: str
    began: float
    ended: float


Record = (
    Promises | Declared | Attempted | Resolved | Began | Ended | Fault | Dead | Expired | Left | Joined | Stopped | Gap
)

_KINDS: Mapping[str, Callable[..., Record]] = {
    kind.__name__: kind
    for kind in (
        Promises,
        Declared,
        Attempted,
        Resolved,
        Began,
        Ended,
        Fault,
        Dead,
        Expired,
        Left,
        Joined,
        Stopped,
        Gap,
    )
}


def encode(record: Record) -> str:
    """Return the record as one line of JSON, without its end."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return json.dumps({"record": type(record).__name__, **values}, separators=(",", ":"))


def decode(line: str) -> Record:
    """Return the record that the line was encoded from."""
    values = cast("dict[str, object]", json.loads(line))
    kind = _KINDS[cast("str", values.pop("record"))]
    frozen = {name: _frozen(value) for name, value in values.items()}
    if "content" in frozen:
        frozen["content"] = Content._make(cast("tuple[object, ...]", frozen["content"]))
    return kind(**frozen)


def _frozen(value: object) -> object:
    if isinstance(value, list):
        return tuple(_frozen(each) for each in cast("list[object]", value))
    return value
