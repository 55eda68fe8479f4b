"""Where messages are sent and where they wait."""

from msgkit.topology.destination import Destination, ExchangeKind, ExchangeOptions, QueueOptions, Start
from msgkit.topology.routing import Exchange, Queue, Route

__all__ = [
    "Destination",
    "Exchange",
    "ExchangeKind",
    "ExchangeOptions",
    "Queue",
    "QueueOptions",
    "Route",
    "Start",
]
