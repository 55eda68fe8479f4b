"""Unsettled deliveries: the order in which they are taken, and how each of them ends."""

from msgkit.deliveries.counts import Counts, Observer
from msgkit.deliveries.lanes import Lanes
from msgkit.deliveries.settling import Settling, current

__all__ = ["Counts", "Lanes", "Observer", "Settling", "current"]
