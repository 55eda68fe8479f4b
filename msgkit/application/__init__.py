"""Running listeners on brokers."""

from msgkit.application.application import Application, PlannedBroker
from msgkit.application.running import label

__all__ = ["Application", "PlannedBroker", "label"]
