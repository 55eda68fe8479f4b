"""Where one test takes place: which brokers, under which names, and how time passes there."""

import re
import secrets
from collections.abc import Callable, Iterable
from typing import cast

from msgkit.application import Application
from msgkit.brokers import binding_for
from msgkit.envelope import new_id
from msgkit.errors import ConfigurationError
from msgkit.settings import BrokerSettings, Settings, SettingsValues
from msgkit.testing.real_time import RealTime
from msgkit.testing.virtual_time import VirtualTime

__all__ = ["StageSettings", "Time", "on_broker", "on_memory", "private", "without_binding"]

Time = RealTime | VirtualTime

#: Where each broker of the settings is, by its name.
_Address = Callable[[str], BrokerSettings]

_NO_LETTER = re.compile(r"[^a-z0-9]+", re.IGNORECASE)
#: Seconds for which what hangs in a handler may keep a test from ending.
_DRAIN_MEMORY, _DRAIN_BROKER = 1.0, 5.0


def without_binding(url: str) -> str:
    """Say why nothing here can talk to a broker; empty when something can."""
    try:
        binding_for(url)
    except ConfigurationError as error:
        return str(error)
    return ""


class StageSettings(Settings):
    """The settings of one test. Whatever it probes with them shares the brokers and the time."""

    __slots__ = ("_address", "_values", "time")

    _address: _Address
    _values: SettingsValues
    time: Time

    def __init__(self, time: Time, address: _Address, values: SettingsValues, names: Iterable[str] = ()) -> None:
        said = values.get("brokers", {})
        named = dict.fromkeys(name for name in (*said, *names) if name != "default")
        brokers: dict[str, BrokerSettings] = {name: {**said.get(name, {}), **address(name)} for name in named}
        if "default" in said:
            brokers["default"] = said["default"]
        whole: SettingsValues = {**values, **cast("SettingsValues", address("default")), "brokers": brokers}
        super().__init__(**whole)
        # The settings are frozen.
        for name, value in (("time", time), ("_address", address), ("_values", values)):
            object.__setattr__(self, name, value)

    def of(self, app: Application) -> "StageSettings":
        """Return the settings with a place for each broker that an application names."""
        names = {destination.broker for destination in app.destinations} - {"default", *self.brokers}
        return StageSettings(self.time, self._address, self._values, sorted(names)) if names else self


def private(values: SettingsValues | None = None) -> StageSettings:
    """Return settings for one application alone: a `memory://` for each broker, in virtual time."""
    test = f"probe-{new_id()}"

    def address(name: str) -> BrokerSettings:
        return {"url": _memory(test, name)}

    return StageSettings(VirtualTime(), address, {"drain": _DRAIN_MEMORY, **(values or {})})


def on_memory(values: SettingsValues) -> StageSettings:
    """Return settings of a test: a `memory://` for each broker, in virtual time, and a prefix of the test's own."""
    test = _token()

    def address(name: str) -> BrokerSettings:
        return {"url": _memory(test, name), "prefix": _prefix(test, name)}

    return StageSettings(VirtualTime(), address, {"drain": _DRAIN_MEMORY, **values})


def on_broker(url: str, values: SettingsValues) -> StageSettings:
    """Return settings of a test: all brokers are one, in real time, each with a prefix of the test's own."""
    test = _token()

    def address(name: str) -> BrokerSettings:
        return {"url": url, "prefix": _prefix(test, name)}

    return StageSettings(RealTime(), address, {"drain": _DRAIN_BROKER, **values})


def _token() -> str:
    # A letter first, and nothing that any broker forbids in a name.
    return f"t{secrets.token_hex(5)}"


def _prefix(test: str, name: str) -> str:
    # Whatever follows the first dash, no name of one broker is one of another's.
    return f"{test}-" if name == "default" else f"{test}{_NO_LETTER.sub('', name)}-"


def _memory(test: str, name: str) -> str:
    return f"memory://{test}?transient=true" if name == "default" else f"memory://{test}-{name}?transient=true"
