"""Unsettled deliveries: the order in which they are taken, and how each of them ends."""

from msgkit.deliveries.lanes import Lanes
from msgkit.deliveries.settling import Counts, Observer, Settling, current

__all__ = ["Counts", "Lanes", "Observer", "Settling", "current"]
