"""What can be said without touching code: which broker, how many handlers, under which names."""

from msgkit.settings.naming import closest
from msgkit.settings.redaction import redact
from msgkit.settings.settings import Broker, Settings
from msgkit.settings.shape import (
    BrokerSettings,
    ExchangeSettings,
    QueueSettings,
    SettingsValues,
    TopologyMode,
)

__all__ = [
    "Broker",
    "BrokerSettings",
    "ExchangeSettings",
    "QueueSettings",
    "Settings",
    "SettingsValues",
    "TopologyMode",
    "closest",
    "redact",
]
