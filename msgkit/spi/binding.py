"""The contract of a binding: push with credit, one call per message, errors of ours only."""

from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar, runtime_checkable

from msgkit.clock import SYSTEM, Clock
from msgkit.envelope import Envelope, Receipt
from msgkit.spi.capabilities import Capabilities
from msgkit.spi.delivery import RawDelivery, RawSettlement
from msgkit.spi.events import Event
from msgkit.spi.provisioning import Plan, ProvisionMode, QueueSpec, Topology

__all__ = [
    "Binding",
    "BindingOptions",
    "Browsable",
    "Checker",
    "Consumer",
    "Depth",
    "HalfMessage",
    "Inspectable",
    "Native",
    "Replayable",
    "Replies",
    "Sink",
    "Subscription",
    "Transaction",
    "Transactional",
    "TwoPhase",
]

T = TypeVar("T")
Checker = Callable[[str, Envelope], Awaitable[bool | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingOptions:
    """What every binding is made with."""

    #: Not in the repr: it may hold a password.
    url: str = field(repr=False)
    #: The broker's name in the settings; receipts carry it.
    name: str = "default"
    #: Who we are, for connection names and reply addresses.
    client: str = "msgkit"
    #: Not in the repr either, for the same reason.
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    clock: Clock = SYSTEM
    #: Seconds to wait for a broker that is down when connecting; 0 fails fast.
    wait: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One consumer of one queue. Leases are renewed from receipt on, until the delivery is settled or lost."""

    queue: QueueSpec
    max_in_flight: int
    #: Of bodies, unsettled: past it nothing more is fetched, though one message always is.
    max_bytes: int = 64 * 1024 * 1024
    #: Is credit given back as deliveries end? Who takes by hand gives it as he asks: nothing is fetched beyond it.
    steady: bool = True


class Sink(Protocol):
    """Where a consumer's deliveries go: the core's. The plain methods never block and never raise."""

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        """Take deliveries, no more than there is credit for, in the order of each lane."""
        ...

    def lost(self, scope: Hashable, /) -> None:
        """Forget the unsettled of a scope: they are another's now, and settling them is too late."""
        ...

    async def revoke(self, scope: Hashable, deadline: float, /) -> None:
        """Finish and settle what runs of a scope, within so many seconds; return when nothing of it is left here."""
        ...

    def event(self, event: Event, /) -> None:
        """Hear of the connection."""
        ...


class Consumer(Protocol):
    """One subscription, alive."""

    @property
    def holds(self) -> bool:
        """Does the core retry ordered lanes in place? Else the broker holds them."""
        ...

    def credit(self, n: int, /) -> None:
        """Allow so many more deliveries. Nothing comes before the first call."""
        ...

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "Future[None] | None":
        """End a delivery; None when it is done. Coalesced over one turn of the loop.

        The future fails with `DeliveryLost` when the delivery is another's, and with any
        other error when it is as unsettled as before: the core tries again.
        """
        ...

    async def drain(self) -> None:
        """Deliver nothing any more; settling goes on to work."""
        ...

    async def close(self) -> None:
        """Flush what was settled and release the rest, uncounted and in order."""
        ...


class Binding(ABC):
    """One broker. Made without I/O; `connect` comes first, `close` last; all on one event loop.

    Recovery is the binding's own: after a lost connection it reconnects with backoff and
    jitter, declares the topology again and brings its consumers back.
    """

    def __init__(self, options: BindingOptions) -> None:
        self.options = options

    @abstractmethod
    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        """Connect, and say what this broker keeps.

        :raises BrokerUnavailable: when it could not be reached within `options.wait`
        """

    @abstractmethod
    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Bring about the topology, as the mode says; asking twice changes nothing.

        Adds to what was provisioned before, and is done again after a reconnect.

        :raises TopologyMismatch: when what is there differs, or is missing under VERIFY
        """

    @abstractmethod
    def send(self, envelope: Envelope) -> "Future[Receipt]":
        """Store a message; calls to one destination and key are stored in call order.

        The future fails with `SendRefused` (or `Unroutable`) when the broker does not
        have the message, with `SendUnknown` when it may have it. While disconnected it
        waits, in order.
        """

    @abstractmethod
    def abandon(self, sent: "Future[Receipt]") -> bool:
        """Wait no longer for a send; True when it was not written and now never will be."""

    @abstractmethod
    async def writable(self) -> None:
        """Return when another `send` would not pile up."""

    @abstractmethod
    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        """Return a consumer that is ready: what is confirmed from now on reaches its queue."""

    @abstractmethod
    async def close(self, deadline: float) -> None:
        """Let go of the broker within so many seconds. Sends not confirmed by then fail as unknown."""


@runtime_checkable
class Replies(Protocol):
    """Power.REQUEST."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        """Return this client's own address for `reply_to`, ready; the same one when asked again."""
        ...


class Transaction(Protocol):
    """Sends and settlements that are seen all together, or never."""

    async def send(self, envelope: Envelope, /) -> Receipt: ...
    async def commit(self, settle: "Sequence[tuple[Consumer, RawDelivery]]", /) -> None:
        """Make all of it visible, and accept the deliveries, at once."""
        ...

    async def abort(self) -> None: ...


@runtime_checkable
class Transactional(Protocol):
    """Power.TRANSACTION."""

    async def begin(self) -> Transaction: ...


class HalfMessage(Protocol):
    """A stored message that nobody sees until it is committed."""

    async def commit(self) -> Receipt: ...
    async def roll_back(self) -> None: ...


@runtime_checkable
class TwoPhase(Protocol):
    """Power.PREPARE."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        """Store a half message; if its sender goes silent, `check` is asked what became of it."""
        ...

    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        """Ask `checker` about half messages of those names: True commits, False rolls back, None is not known yet."""
        ...


@runtime_checkable
class Replayable(Protocol):
    """Power.REPLAY."""

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        """Have a queue receive again from there on; return how many messages that makes, as far as is known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What a queue holds; None is what the broker does not tell."""

    ready: int
    unsettled: int | None
    delayed: int | None = 0
    #: Is what is in hand told as ready, too?
    told_together: bool = False

    def agrees(self, *, ready: int, unsettled: int = 0) -> bool:
        """Is this so, as far as is known?"""
        expected = ready + unsettled if self.told_together else ready
        return self.ready == expected and self.unsettled in (None, unsettled)


@runtime_checkable
class Inspectable(Protocol):
    """Power.INSPECT."""

    async def depth(self, queue: QueueSpec, /) -> Depth: ...
    async def purge(self, queue: QueueSpec, /) -> int: ...


@runtime_checkable
class Browsable(Protocol):
    """Power.BROWSE."""

    def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        """Look at what waits, oldest first, and take nothing."""
        ...


@runtime_checkable
class Native(Protocol):
    """Access to the client library beneath."""

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        """Lend the client's own object of that type.

        :raises UnsupportedCapability: when there is none, naming those there are
        """
        ...
