"""Values of headers in a form that people read, and which of them are no text; times and counts likewise. Pure.

`msgkit-kinds` is such as `int=retries,size;time=at`: in names, `%`, `,` and `;` are written `%25`, `%2C` and `%3B`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import isfinite

from msgkit.errors import InvalidMessage
from msgkit.values import HeaderValue

__all__ = ["grouped", "kinds_in", "milliseconds", "moment", "read", "whole", "written"]

#: The years 1 and 9999: what lies outside is no time.
_FIRST_MOMENT, _LAST_MOMENT = -62_135_596_800, 253_402_300_799
#: Digits that a count may have.
_MOST_OF_A_COUNT = 19
#: As many as the longest 64-bit number has, with its sign.
_MOST_DIGITS = 20
_TRUTH: Mapping[str, bool] = {"true": True, "false": False}


def written(name: str, value: HeaderValue) -> tuple[str | None, bytes]:
    """Return the kind of a value, None for text; and the value.

    :raises InvalidMessage: when it is of no kind that travels
    """
    match value:
        case str():
            return None, value.encode()
        case bool():
            return "bool", b"true" if value else b"false"
        case int():
            return "int", b"%d" % value
        case float():
            return "float", float.__repr__(value).encode()
        case bytes():
            return "bytes", value
        case datetime():
            return "time", value.isoformat().encode()
        case _:
            msg = f"header {name!r} must be str, int, float, bool, bytes or datetime, not {type(value).__name__}"
            raise InvalidMessage(msg)


def read(raw: bytes, kind: str | None) -> HeaderValue:
    """Return the value of a kind; what is none of it is text, and what is no text stays bytes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    if kind is None:
        return text
    if kind == "bytes":
        return raw
    value_of = _READERS.get(kind)
    return text if value_of is None else value_of(text)


def _int(text: str) -> int | str:
    try:
        return int(text) if len(text) <= _MOST_DIGITS else text
    except ValueError:
        return text


def _float(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text


def _time(text: str) -> datetime | str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if time.tzinfo is None else time


def _truth(text: str) -> bool | str:
    return _TRUTH.get(text, text)


_READERS: Mapping[str, Callable[[str], HeaderValue]] = {"int": _int, "float": _float, "bool": _truth, "time": _time}


def grouped(names: Mapping[str, Sequence[str]]) -> str:
    """Return the names of headers by their kinds, as one text."""
    return ";".join([f"{kind}={','.join(map(_escaped, each))}" for kind, each in names.items()])


def kinds_in(text: str) -> dict[str, str]:
    """Return the kinds of headers by their names."""
    is_escaped = "%" in text
    kinds: dict[str, str] = {}
    for group in text.split(";"):
        kind, _, names = group.partition("=")
        for name in names.split(","):
            kinds[_plain(name) if is_escaped else name] = kind
    return kinds


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(",", "%2C").replace(";", "%3B")


def _plain(name: str) -> str:
    return name.replace("%3B", ";").replace("%2C", ",").replace("%25", "%")


# -- what is said of a message itself


def moment(raw: bytes | str | None) -> float | None:
    """Return seconds since 1970; None for what is no time."""
    if raw is None:
        return None
    try:
        seconds = float(raw)
    except ValueError:
        return None
    return seconds if _FIRST_MOMENT <= seconds <= _LAST_MOMENT else None


def milliseconds(timestamp: int) -> float | None:
    """Return the seconds since 1970 that a broker's time in milliseconds is; None for what is no time."""
    return timestamp / 1000 if 0 <= timestamp <= _LAST_MOMENT * 1000 else None


def whole(raw: bytes | str | None) -> int | None:
    """Return a count; None for what is none."""
    if raw is None or len(raw) > _MOST_OF_A_COUNT or not (raw.isascii() and raw.isdigit()):
        return None
    return int(raw)
