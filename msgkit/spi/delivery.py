"""An envelope handed to one consumer, and the four ways in which that ends."""

from collections.abc import Hashable
from dataclasses import dataclass

from msgkit.envelope import Envelope
from msgkit.settlement import Accept

__all__ = ["Dead", "RawDelivery", "RawSettlement", "Release", "RetryCopy"]


@dataclass(slots=True, eq=False)
class RawDelivery:
    """An envelope handed to one consumer, waiting to be settled.

    `attempt` is the number of failures recorded and one; `crashes` how often a consumer
    died with it. `lane` names what must be handled one at a time, in order of delivery:
    the key, a partition and key, the broker's own queue; None where nothing must. All
    of one `scope` is revoked together. `handle` is the binding's own. `follows` is set,
    on a strict queue, while a dead letter of the same key waits: the id of that one.
    `lost` is set by the core when the delivery is another's.
    """

    envelope: Envelope
    attempt: int
    crashes: int
    lane: Hashable | None
    scope: Hashable
    handle: object
    follows: str | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Back to the queue unhandled and uncounted, at once and at its old place."""


@dataclass(frozen=True, slots=True)
class RetryCopy:
    """Again after so many seconds, one failure counted.

    `copy` is what a broker that cannot count or wait must be given instead: the
    envelope as it was, with the next attempt's number. It reaches the failing queue only.
    """

    after: float
    copy: Envelope


@dataclass(frozen=True, slots=True)
class Dead:
    """To the dead letters: `copy` is addressed to their queue, and confirmed before the original is settled."""

    copy: Envelope


RawSettlement = Accept | Release | RetryCopy | Dead
