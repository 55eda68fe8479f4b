"""The options of a URL and those beside it, read by name; what is wrong is said without any secret."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import NoReturn, cast

from msgkit.errors import ConfigurationError

__all__ = ["Said"]

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class Said:
    """Values as they were written: text from a URL and from the environment, anything from code.

    Each is checked when it is read, and errors name the broker and the option.
    """

    __slots__ = ("_values", "broker")

    def __init__(self, broker: str, values: Mapping[str, object]) -> None:
        #: How people write it: "Kafka".
        self.broker = broker
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def number(self, name: str, default: float, *, least: float, most: float, why: str = "") -> float:
        """Return seconds within bounds."""
        value = self._values.get(name, default)
        number = math.nan if isinstance(value, bool) else _as_number(value)
        if not least <= number <= most:
            bounds = f"of at least {least:g}" if math.isinf(most) else f"between {least:g} and {most:g}"
            self._refuse(name, f"must be seconds {bounds}, not {value!r}{why}")
        return number

    def whole(self, name: str, default: int, *, least: int, most: int, why: str = "") -> int:
        """Return whole seconds within bounds."""
        number = self.number(name, default, least=least, most=most, why=why)
        if number != int(number):
            self._refuse(name, f"must be whole seconds, not {number:g}")
        return int(number)

    def text(self, name: str) -> str | None:
        """Return printable text, or None if there is none."""
        value = self._values.get(name)
        if value is not None and not (isinstance(value, str) and value and value.isprintable()):
            self._refuse(name, f"must be printable text, not {value!r}")
        return value

    def secret(self, name: str) -> str | None:
        """Return text that no error shows."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            self._refuse(name, f"must be text, not {type(value).__name__}")
        return value

    def token(self, name: str) -> object:
        """Return text that is some, or a function, or None."""
        value = self._values.get(name)
        if value is not None and not callable(value) and not (isinstance(value, str) and value):
            self._refuse(name, f"must be text or an async function that returns it, not {type(value).__name__}")
        return value

    def file(self, name: str) -> str | None:
        """Return the path of a file."""
        value = self._values.get(name)
        path: object = os.fspath(cast("os.PathLike[str]", value)) if isinstance(value, os.PathLike) else value
        if path is not None and not (isinstance(path, str) and path):
            self._refuse(name, f"must be the path of a file, not {value!r}")
        return path

    def choice(self, name: str, choices: Sequence[str], default: str | None) -> str | None:
        """Return one of the choices, however it is capitalized."""
        value = self._values.get(name, default)
        chosen = value.lower() if isinstance(value, str) else value
        if chosen is not default and chosen not in choices:
            self._refuse(name, f"must be {' or '.join(choices)}, not {value!r}")
        return cast("str | None", chosen)

    def truth(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name, default)
        truth = _TRUTH.get(str(value).lower())
        if truth is None:
            self._refuse(name, f"must be true or false, not {value!r}")
        return truth

    def _refuse(self, name: str, why: str) -> NoReturn:
        msg = f"{self.broker}'s option {name} {why}"
        raise ConfigurationError(msg)


def _as_number(value: object) -> float:
    try:
        return float(value) if isinstance(value, (str, int, float)) else math.nan
    except (ValueError, OverflowError):
        return math.nan
