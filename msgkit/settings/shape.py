"""Which settings there are."""

from collections.abc import Mapping
from typing import Final, Literal, TypedDict

from msgkit.values import Seconds

__all__ = [
    "DEFAULTS",
    "DEFAULT_BROKER",
    "SECTIONS",
    "BrokerSettings",
    "ExchangeSettings",
    "QueueSettings",
    "ScalarSettings",
    "SettingsValues",
    "TopologyMode",
]

TopologyMode = Literal["create", "verify", "assume"]


class BrokerSettings(TypedDict, total=False):
    """A named broker. `topology` and `prefix` are the default broker's unless said otherwise."""

    url: str
    topology: TopologyMode
    prefix: str
    options: Mapping[str, object]


class QueueSettings(TypedDict, total=False):
    """What is said about a queue and its listeners; the rest stands in code."""

    name: str
    broker: str
    concurrency: int
    max_in_flight: int
    attempts: int
    autostart: bool


class ExchangeSettings(TypedDict, total=False):
    """What is said about an exchange; the rest stands in code."""

    name: str
    broker: str


class SettingsValues(TypedDict, total=False):
    """All that can be said."""

    url: str
    topology: TopologyMode
    prefix: str
    wait_for_broker: Seconds
    drain: Seconds
    brokers: Mapping[str, BrokerSettings]
    queues: Mapping[str, QueueSettings]
    exchanges: Mapping[str, ExchangeSettings]


class ScalarSettings(TypedDict):
    """What is not in a section, checked."""

    url: str
    topology: TopologyMode
    prefix: str
    wait_for_broker: float
    drain: float


DEFAULT_BROKER: Final = "default"
DEFAULTS: Final[ScalarSettings] = {
    "url": "memory://",
    "topology": "create",
    "prefix": "",
    "wait_for_broker": 30.0,
    "drain": 25.0,
}
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "brokers": tuple(BrokerSettings.__annotations__),
    "queues": tuple(QueueSettings.__annotations__),
    "exchanges": tuple(ExchangeSettings.__annotations__),
}
