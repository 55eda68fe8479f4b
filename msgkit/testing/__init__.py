"""Tests of services, and of bindings."""

from msgkit.testing.clock import VirtualClock
from msgkit.testing.delivery import ByHand, delivery
from msgkit.testing.probe import Probe, probe

__all__ = ["ByHand", "Probe", "VirtualClock", "delivery", "probe"]
