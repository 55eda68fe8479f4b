"""Names, headers and times: what they may be, checked in one place."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import cast

from msgkit.errors import ConfigurationError, InvalidMessage

__all__ = [
    "MAX_BODY",
    "MAX_HEADERS",
    "MAX_NAME",
    "MAX_TEXT",
    "HeaderValue",
    "Headers",
    "Option",
    "Seconds",
    "at_least_zero",
    "check_body",
    "check_duration",
    "check_functions",
    "check_headers",
    "check_name",
    "check_number",
    "check_text",
    "check_whole",
    "epoch",
    "seconds",
]

Seconds = float | timedelta
HeaderValue = str | int | float | bool | bytes | datetime
Headers = Mapping[str, HeaderValue]

MAX_NAME = 200
MAX_TEXT = 1024
MAX_HEADERS = 16 * 1024
MAX_BODY = 1024 * 1024
_INT64 = 1 << 63


class Option:
    """The base of what only one broker understands: `RabbitQueue`, `KafkaTopic`.

    `scheme` names the URL schemes that the option is for.
    """

    schemes: tuple[str, ...] = ()


def seconds(value: Seconds, what: str) -> float:
    """Return a duration in seconds; `what` is the name that an error gives it."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
        msg = f"{what} must be seconds or a timedelta, not {type(value).__name__}"
        raise InvalidMessage(msg)
    if not math.isfinite(value):
        msg = f"{what} must be finite, not {value}"
        raise InvalidMessage(msg)
    return float(value)


def at_least_zero(value: Seconds, what: str) -> float:
    """Return a duration in seconds that is not negative."""
    length = seconds(value, what)
    if length < 0:
        msg = f"{what} must not be negative, but is {length:g} s"
        raise InvalidMessage(msg)
    return length


def check_duration(value: Seconds, what: str) -> float:
    """Return a duration that the program is configured with, in seconds."""
    try:
        return at_least_zero(value, what)
    except InvalidMessage as error:
        raise ConfigurationError(str(error)) from None


def epoch(moment: datetime, what: str) -> float:
    """Return an aware datetime in seconds since 1970."""
    if not isinstance(moment, datetime):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
        msg = f"{what} must be a datetime, not {type(moment).__name__}"
        raise InvalidMessage(msg)
    if moment.tzinfo is None:
        msg = f"{what} has no time zone; use datetime.now(UTC) or add tzinfo"
        raise InvalidMessage(msg)
    return moment.timestamp()


def check_whole(value: object, what: str, *, least: int = 1) -> int:
    """Return a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        msg = f"{what} must be a whole number of at least {least}, not {value!r}"
        raise ConfigurationError(msg)
    return value


def check_number(value: object, what: str, *, least: float, most: float) -> float:
    """Return a finite number within bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{what} must be a number, not {value!r}"
        raise ConfigurationError(msg)
    if not (least <= value <= most and math.isfinite(value)):
        bounds = f"at least {least:g} and finite" if math.isinf(most) else f"between {least:g} and {most:g}"
        msg = f"{what} must be {bounds}, not {value}"
        raise ConfigurationError(msg)
    return float(value)


def check_functions(given: object, what: str) -> None:
    """Refuse what is no list of functions."""
    if not isinstance(given, Sequence):
        msg = f"{what} takes a list of functions, not {given!r}"
        raise ConfigurationError(msg)
    for each in cast("Sequence[object]", given):
        if not callable(each) or isinstance(each, type):
            msg = f"{what} takes functions, and {each!r} is none"
            raise ConfigurationError(msg)


def check_name(name: object, what: str) -> str:
    """Return the name of a destination, or say what is wrong with it."""
    if not isinstance(name, str):
        msg = f"the name of {what} must be a str, not {type(name).__name__}"
        raise ConfigurationError(msg)
    if not name or name.isspace():
        msg = f"the name of {what} is empty"
        raise ConfigurationError(msg)
    if not name.isprintable():
        msg = f"the name of {what} holds a control character: {name[:MAX_NAME]!r}"
        raise ConfigurationError(msg)
    if len(name.encode()) > MAX_NAME:
        msg = f"the name of {what} is longer than {MAX_NAME} bytes: {name[:40]!r}…"
        raise ConfigurationError(msg)
    return name


def check_text(value: object, what: str) -> str:
    """Return a key, subject or id, or say what is wrong with it."""
    if not isinstance(value, str):
        msg = f"{what} must be a str, not {type(value).__name__}"
        raise InvalidMessage(msg)
    if len(value) > MAX_TEXT:
        msg = f"{what} is longer than {MAX_TEXT} characters: {value[:40]!r}…"
        raise InvalidMessage(msg)
    if not value.isascii():
        _size(value, what)
    return value


def _size(text: str, what: str) -> int:
    """Return how many bytes a text is on the wire; what was decoded badly has lone surrogates, and is none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        msg = f"{what} holds half a character (a lone surrogate), which no broker carries"
        raise InvalidMessage(msg) from None


def check_body(body: bytes, destination: str, most: int = MAX_BODY) -> None:
    """Refuse a body that not every broker takes, or not the one at hand: it may declare less."""
    if len(body) > most:
        msg = f"the body for {destination!r} has {len(body):,} bytes; at most {most:,} can be sent"
        raise InvalidMessage(msg)


def check_headers(headers: Headers, most: int = MAX_HEADERS) -> Headers:
    """Return headers that every broker can carry unchanged, or say which one cannot be."""
    size = 0
    try:
        items = headers.items()
    except AttributeError:
        msg = f"headers= must be a mapping of names to values, not {type(headers).__name__}"
        raise InvalidMessage(msg) from None
    for name, value in items:
        size += _check_header_name(name)
        # The common case, decided without a call.
        size += len(value) if isinstance(value, str) and value.isascii() else _check_header_value(name, value)
    if size > most:
        msg = f"the headers have {size:,} bytes; at most {most:,} can be sent"
        raise InvalidMessage(msg)
    return headers


@lru_cache(maxsize=4096)
def _check_header_name(name: object) -> int:
    if not isinstance(name, str):
        msg = f"the name of a header must be a str, not {type(name).__name__}"
        raise InvalidMessage(msg)
    if not name or len(name) > MAX_NAME or not name.isprintable():
        msg = f"the name of a header must have 1 to {MAX_NAME} printable characters: {name[:40]!r}"
        raise InvalidMessage(msg)
    return len(name.encode())


def _check_header_value(name: str, value: object) -> int:
    match value:
        case str():
            return _size(value, f"header {name!r}")
        case bool():
            return 1
        case int():
            if not -_INT64 <= value < _INT64:
                msg = f"header {name!r} does not fit into 64 bits: {value}"
                raise InvalidMessage(msg)
            return 8
        case float():
            if not math.isfinite(value):
                msg = f"header {name!r} must be finite, not {value}"
                raise InvalidMessage(msg)
            return 8
        case bytes():
            return len(value)
        case datetime():
            epoch(value, f"header {name!r}")
            return 32
        case None:
            msg = f"header {name!r} is None; leave it out instead"
        case _:
            msg = f"header {name!r} must be str, int, float, bool, bytes or datetime, not {type(value).__name__}"
    raise InvalidMessage(msg)
