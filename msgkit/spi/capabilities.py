"""What a broker can do: said once, at connect, and believed by everybody."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Literal

from msgkit.errors import UnsupportedCapability
from msgkit.values import MAX_BODY, MAX_HEADERS

__all__ = [
    "NATIVE",
    "Capabilities",
    "DelayLimits",
    "Emulated",
    "NativeSupport",
    "Order",
    "Power",
    "Refused",
    "Shared",
    "Support",
]


class Power(Enum):
    """What not every broker can do. The value is what a plan calls it."""

    ORDERED = "order by key"
    STRICT = "strict order (a dead letter holds its successors)"
    DELAY = "delay="
    DELIVER_AT = "deliver_at="
    PRIORITY = "priorities"
    REQUIRE_ROUTE = "require_route"
    HEADERS_EXCHANGE = "exchanges of kind 'headers'"
    ANONYMOUS = "anonymous queues"
    REQUEST = "request and reply"
    TRANSACTION = "transaction()"
    PREPARE = "prepare() (half messages)"
    START = "start= other than 'latest'"
    REPLAY = "replay"
    BROWSE = "browse()"
    INSPECT = "depth and purge"
    PRUNE = "prune stale routes"


@dataclass(frozen=True, slots=True)
class NativeSupport:
    """The broker does it itself."""

    def __str__(self) -> str:
        return "native"


@dataclass(frozen=True, slots=True)
class Emulated:
    """The binding does it, by means that cost something."""

    how: str
    cost: str

    def __str__(self) -> str:
        return f"emulated by {self.how}; costs {self.cost}"


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be had here; asking for it is an error."""

    why: str
    instead: str = ""

    def __str__(self) -> str:
        return f"refused: {self.why}" + (f"; {self.instead}" if self.instead else "")


Support = NativeSupport | Emulated | Refused
NATIVE = NativeSupport()
_NOT_DECLARED = Refused("the binding does not offer it")


class Order(Enum):
    """Over what an ordered queue keeps order, and who works on it."""

    KEY = "key"
    QUEUE = "queue"
    FAILOVER = "failover"
    NONE = "none"


class Shared(Enum):
    """How far away another client of the same broker can be."""

    PROCESS = "process"
    HOST = "host"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLimits:
    """How long a delay can be, how late it may end, and by whose clock `deliver_at` is read."""

    longest: float | None = None
    lateness: float = 1.0
    clock: Literal["broker", "sender", "consumer"] = "broker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the broker at hand keeps: it depends on its version and its settings."""

    broker: str
    durable: bool
    shared: Shared
    order: Order
    #: Seconds before a fault within which an accepted message may still come back.
    settle_window: float = 0.0
    #: Seconds that a delivery can be held at most; None: as long as it is renewed.
    max_hold: float | None = None
    #: Seconds after which the broker forgets what nobody took; None: never.
    retention: float | None = None
    delay: DelayLimits = field(default_factory=DelayLimits)
    max_body: int = MAX_BODY
    max_headers: int = MAX_HEADERS
    #: May a crash between a confirmed copy and its settlement leave both? Who delays by copies makes such copies, too.
    forks: bool = False
    #: Are attempts exact also after a crash or a release?
    exact_attempts: bool = True
    #: Are deliveries leased, so that they outlive a lost connection for as long as the lease can be renewed in time?
    leases: bool = False
    #: Has each consumer a part of what waits, which waits for that one however slow it is?
    parted: bool = False
    #: Does the broker know a send that comes again, so that a lost confirm can be asked for until it is known?
    settles_sends: bool = False
    #: Does the core try again in place on ordered queues? What failed so is forgotten when its consumer goes.
    holds: bool = False
    powers: Mapping[Power, Support] = field(default_factory=lambda: MappingProxyType({}))

    def support(self, power: Power) -> Support:
        """Return how a power is had here."""
        return self.powers.get(power, _NOT_DECLARED)

    def has(self, power: Power) -> bool:
        return not isinstance(self.support(power), Refused)

    def require(self, power: Power, who: str) -> None:
        """Refuse what `who` asks for and this broker cannot keep.

        :raises UnsupportedCapability: naming who, what, the broker and what to do
        """
        support = self.support(power)
        if isinstance(support, Refused):
            advice = f"; {support.instead}" if support.instead else ""
            msg = f"{who} asks for {power.value}, which {self.broker} cannot do: {support.why}{advice}"
            raise UnsupportedCapability(msg)
