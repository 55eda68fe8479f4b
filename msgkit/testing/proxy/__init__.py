"""A TCP proxy that does to connections what networks do to them."""

from msgkit.testing.proxy.faults import Direction
from msgkit.testing.proxy.proxy import FaultProxy
from msgkit.testing.proxy.sockets import Address

__all__ = ["Address", "Direction", "FaultProxy"]
