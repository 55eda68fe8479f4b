#!/usr/bin/env python3
"""Writes the tables of docs/brokers/rabbitmq.md from the options and the capabilities of the binding."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from os import PathLike
from pathlib import Path
from textwrap import dedent
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

from msgkit.spi import Emulated, Refused, Support
from msgkit_rabbitmq.address import Rabbit, RabbitSettings
from msgkit_rabbitmq.capabilities import capabilities
from msgkit_rabbitmq.options import RabbitExchange, RabbitQueue

__all__ = ["PAGE", "meanings", "up_to_date"]

PAGE = Path(__file__).parent.parent / "docs" / "brokers" / "rabbitmq.md"

_TYPES: Mapping[object, str] = {
    str: "text",
    timedelta: "`timedelta`",
    int: "whole number",
    float: "number",
    bool: "`True` or `False`",
    str | PathLike[str]: "path",
    Mapping[str, object]: "table",
}
_DEFAULTS = {"user": "`guest`", "password": "`guest` for guest", "connection_name": "the application's name"}
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_COMMENT = "#: "


def up_to_date(page: str) -> str:
    """Return the page with its tables as they should be."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{_table(found[2])}\n{found[3]}", page)


def _table(name: str) -> str:
    match name:
        case "connection":
            return _rows(["option", "type", "default", "meaning"], _options(Rabbit, _of_settings()))
        case "queue":
            return _rows(["option", "type", "default", "meaning"], _options(RabbitQueue, _of_fields(RabbitQueue)))
        case "exchange":
            return _rows(["option", "type", "default", "meaning"], _options(RabbitExchange, _of_fields(RabbitExchange)))
        case _:
            return _rows(["what", "here", "how, or why not"], _powers())


def _rows(head: list[str], rows: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


# -- options


def _options(owner: type, defaults: Mapping[str, str]) -> Iterator[list[str]]:
    hints, said = get_type_hints(owner), meanings(owner)
    for name, default in defaults.items():
        yield [f"`{name}`", _type(hints[name]), default, said[name]]


def meanings(owner: type) -> Mapping[str, str]:
    """Return what the comments above the attributes of a class say of each.

    :raises LookupError: for one that has none of its own
    """
    lines = dedent(inspect.getsource(owner)).splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 -- for the type checker
    found: dict[str, str] = {}
    for each in body.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            found[each.target.id] = _comment_above(lines, each.lineno - 1, f"{owner.__name__}.{each.target.id}")
    return found


def _comment_above(lines: list[str], at: int, what: str) -> str:
    said: list[str] = []
    while (line := lines[at - len(said) - 1].strip()).startswith(_COMMENT):
        said.insert(0, line.removeprefix(_COMMENT))
    if not said:
        raise LookupError(f"nothing says what {what} is")
    return " ".join(said)


def _type(hint: object) -> str:
    if hint in _TYPES:
        return _TYPES[hint]
    choices = [each for each in get_args(hint) if each is not NoneType]
    if get_origin(hint) is Literal:
        return " or ".join(f'`"{choice}"`' for choice in choices)
    (optional,) = choices
    return _type(optional)


def _of_fields(owner: type[RabbitQueue | RabbitExchange]) -> dict[str, str]:
    said = {each.name: each.default for each in fields(owner)}
    return {name: "none" if value is None or value is MISSING else f"`{value}`" for name, value in said.items()}


def _of_settings() -> dict[str, str]:
    settings = RabbitSettings.parse("amqp://")
    return {name: _DEFAULTS.get(name) or _default(settings, name) for name in Rabbit.__annotations__}


def _default(settings: RabbitSettings, name: str) -> str:
    value: object = getattr(settings if hasattr(settings, name) else settings.certificates, name)
    match value:
        case None:
            return "none"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


# -- capabilities


def _powers() -> Iterator[list[str]]:
    for power, support in capabilities(RabbitSettings.parse("amqp://")).powers.items():
        yield [power.value, *_told(support)]


def _told(support: Support) -> list[str]:
    match support:
        case Emulated(how, cost):
            return ["emulated", f"by {how}; costs {cost}"]
        case Refused(why, instead):
            return ["refused", f"{why}; {instead}" if instead else why]
        case _:
            return ["native", ""]


if __name__ == "__main__":
    PAGE.write_text(up_to_date(PAGE.read_text("utf-8")), "utf-8")
