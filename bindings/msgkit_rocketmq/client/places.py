"""Where things are asked and done: brokers, and their queues."""

from typing import NamedTuple

from msgkit.reaching import Address

__all__ = ["Broker", "Place"]


class Broker(NamedTuple):
    name: str
    address: Address


class Place(NamedTuple):
    """A queue of a topic."""

    broker: Broker
    topic: str
    queue: int
