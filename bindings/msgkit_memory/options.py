"""What a URL says: `memory://[name][?retain=…&check_after=…&transient=…]`."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.values import check_name

__all__ = ["ANONYMOUS_SURVIVES", "CHECK_AFTER", "MemoryOptions"]

#: Seconds for which an anonymous queue outlives the connection of its client.
ANONYMOUS_SURVIVES = 60.0
#: Seconds after which somebody is asked about a half message, unless the URL says otherwise.
CHECK_AFTER = 5.0
_KNOWN = ("check_after", "retain", "transient")
_TRUE, _FALSE = ("true", "1"), ("false", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """One server of the process; None is what was left open."""

    name: str
    #: How many messages each exchange, and each queue sent to directly, keeps for replay.
    retain: int | None = None
    #: Seconds after which somebody is asked about a half message.
    check_after: float | None = None
    #: Does the broker go when its last client leaves?
    transient: bool | None = None

    @classmethod
    def parse(cls, url: str, more: Mapping[str, object] | None = None) -> "MemoryOptions":
        """Read a URL, and options given beside it."""
        parts = urlsplit(url)
        if parts.scheme != "memory":
            raise ConfigurationError(f"memory:// is not for URLs of the scheme {parts.scheme!r}")
        if "@" in parts.netloc or parts.path.strip("/") or parts.fragment:
            raise ConfigurationError("the URL must be memory:// or memory://name, with options after ?")
        values: dict[str, object] = dict(parse_qsl(parts.query, keep_blank_values=True))
        values.update(more or {})
        for name in values:
            if name not in _KNOWN:
                raise UnknownSetting(f"memory:// has no option {name!r}; there are {', '.join(_KNOWN)}")
        return cls(
            name=check_name(parts.netloc, "a memory:// broker") if parts.netloc else "",
            retain=_whole(values["retain"]) if "retain" in values else None,
            check_after=_seconds(values["check_after"]) if "check_after" in values else None,
            transient=_truth(values["transient"]) if "transient" in values else None,
        )


def _whole(value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigurationError(f"memory://?retain= must be a number of messages, not {value!r}")
    return number


def _seconds(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"memory://?check_after= must be seconds above 0, not {value!r}")
    return number


def _truth(value: object) -> bool:
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ConfigurationError(f"memory://?transient= must be true or false, not {value!r}")
    return word in _TRUE
