"""A TCP proxy that does to connections what networks do to them."""

from msgkit.reaching import Address
from msgkit.testing.proxy.faults import Direction
from msgkit.testing.proxy.proxy import FaultProxy

__all__ = ["Address", "Direction", "FaultProxy"]
