"""What is to be there before messages flow, under the names that the broker knows, and what differs from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from msgkit.envelope import NO_HEADERS
from msgkit.topology import ExchangeKind, Start
from msgkit.values import Headers, Option

__all__ = [
    "ExchangeSpec",
    "Plan",
    "PlanAction",
    "PlanEntry",
    "ProvisionMode",
    "QueueSpec",
    "RouteSpec",
    "Topology",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSpec:
    """An exchange to be there."""

    name: str
    kind: ExchangeKind = "topic"
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """A route to be there: from which exchange, and for which of its messages."""

    exchange: str
    kind: ExchangeKind = "topic"
    subject: str = "#"
    headers: Headers = field(default_factory=lambda: NO_HEADERS, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    """A queue to be there, with its routes.

    `dead_letters` is the name of another queue of the topology, or None by choice.
    """

    name: str
    routes: tuple[RouteSpec, ...] = ()
    ordered: bool | Literal["strict"] = False
    dead_letters: str | None = None
    dead_letters_of: str | None = None
    priorities: int | None = None
    start: Start = "latest"
    anonymous: bool = False
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """All that one application declares on one broker. Queues of dead letters are listed among the queues."""

    exchanges: Mapping[str, ExchangeSpec]
    queues: Mapping[str, QueueSpec]


class ProvisionMode(Enum):
    """What to do about the topology."""

    #: Make what is missing; refuse what differs.
    CREATE = "create"
    #: Make nothing; refuse what is missing or differs.
    VERIFY = "verify"
    #: Make nothing and look at nothing, but for anonymous queues.
    ASSUME = "assume"
    #: Make nothing and refuse nothing: only say what CREATE would do.
    PLAN = "plan"
    #: CREATE, and take away the routes that nobody declares any more.
    PRUNE = "prune"


class PlanAction(Enum):
    """What stands between a declaration and the broker."""

    CREATE = "create"
    EXISTS = "exists"
    DIFFERS = "differs"
    STALE = "stale"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One declared thing: what is done about it, and what the broker calls it."""

    action: PlanAction
    what: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands between the declarations and the broker."""

    entries: tuple[PlanEntry, ...]

    @property
    def clean(self) -> bool:
        """Is everything there, and nothing different?"""
        return all(entry.action in (PlanAction.EXISTS, PlanAction.IGNORED) for entry in self.entries)
