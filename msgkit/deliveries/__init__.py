"""Unsettled deliveries: the order in which they are taken, and how each of them ends."""

from msgkit.deliveries.counts import Counts, Observer
from msgkit.deliveries.intake import Intake
from msgkit.deliveries.lanes import Lanes
from msgkit.deliveries.settling import Settling, Terms, current

__all__ = ["Counts", "Intake", "Lanes", "Observer", "Settling", "Terms", "current"]
