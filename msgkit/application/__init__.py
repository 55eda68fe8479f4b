"""Running listeners on brokers."""

from msgkit.application.application import Application, PlannedBroker

__all__ = ["Application", "PlannedBroker"]
