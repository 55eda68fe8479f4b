"""Where topics are: what name servers tell of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgkit.reaching import Address

__all__ = ["QueueAt", "Route"]


class QueueAt(NamedTuple):
    """One queue of a topic: of which broker, and which of those that it has there."""

    broker: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is known of one topic. Brokers without a master are left out."""

    topic: str
    #: Where the master of each broker is that has the topic, by the broker's name.
    masters: Mapping[str, Address]
    #: The queues that may be written, and those that may be read: by the names of brokers, then by number.
    writable: tuple[QueueAt, ...]
    readable: tuple[QueueAt, ...]
