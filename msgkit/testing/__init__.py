"""Tests of services, and of bindings."""

from msgkit.testing.clock import VirtualClock
from msgkit.testing.delivery import ByHand, delivery
from msgkit.testing.probe import Probe, probe
from msgkit.testing.proxy import Direction, FaultProxy

__all__ = ["ByHand", "Direction", "FaultProxy", "Probe", "VirtualClock", "delivery", "probe"]
