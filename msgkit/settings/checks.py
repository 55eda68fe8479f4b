"""What the settings outside of sections may be, without the help of pydantic."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import cast, get_args

from msgkit.settings.shape import TopologyMode

__all__ = ["SCALARS", "as_name", "as_seconds", "as_text", "as_topology", "as_url"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*")
_ISO = re.compile(
    r"P(?!$)(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_DURATION = "must be seconds or a duration such as PT30S"


def as_url(value: object) -> str:
    url = as_text(value)
    if not _URL.fullmatch(url) or not url.isprintable() or url != url.strip():
        raise ValueError("must be a URL such as memory:// or memory://name")
    return url


def as_topology(value: object) -> TopologyMode:
    modes = get_args(TopologyMode)
    if value not in modes:
        raise ValueError(f"must be one of {', '.join(modes)}")
    return cast("TopologyMode", value)


def as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {type(value).__name__}")  # noqa: TRY004 -- pydantic takes reasons as ValueError
    return value


def as_name(value: object) -> str:
    name = as_text(value)
    if not name.strip() or not name.isprintable():
        raise ValueError("must be a name of printable characters")
    return name


def as_seconds(value: object) -> float:
    """Return a duration that is finite and not negative, in seconds."""
    length = _length(value)
    if not math.isfinite(length):
        raise ValueError("must be finite")
    if length < 0:
        raise ValueError("must not be negative")
    return length


def _length(value: object) -> float:
    match value:
        case timedelta():
            return value.total_seconds()
        case str():
            return _spelled_length(value)
        case int() | float() if not isinstance(value, bool):
            return float(value)
        case _:
            raise ValueError(_DURATION)


def _spelled_length(text: str) -> float:
    if found := _ISO.fullmatch(text.strip().upper()):
        parts = {unit: float(n) for unit, n in found.groupdict(default="0").items()}
        return timedelta(**parts).total_seconds()
    try:
        return float(text)
    except ValueError:
        raise ValueError(_DURATION) from None


SCALARS: Mapping[str, Callable[[object], object]] = {
    "url": as_url,
    "topology": as_topology,
    "prefix": as_text,
    "wait_for_broker": as_seconds,
    "drain": as_seconds,
}
