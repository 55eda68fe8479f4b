#!/usr/bin/env python3
"""Writes the tables of docs/settings.md from the classes that check the settings."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

from pydantic import BaseModel

from msgkit.settings import model
from msgkit.settings.naming import PREFIX
from msgkit.settings.shape import SECTIONS

__all__ = ["PAGE", "up_to_date"]

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

_TYPES = (
    (model.Url, "URL"),
    (model.Mode, "`create`, `verify` or `assume`"),
    (model.Text, "text"),
    (model.Name, "name"),
    (model.Duration, "duration"),
    (model.Count, "whole number from 1"),
    (bool, "`true` or `false`"),
    (dict[str, object], "table"),
)
_MEMBERS: dict[str, type[BaseModel]] = {
    "brokers": model.BrokerValues,
    "queues": model.QueueValues,
    "exchanges": model.ExchangeValues,
}
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def up_to_date(page: str) -> str:
    """Return the page with its tables as they should be."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{_table(found[2])}\n{found[3]}", page)


def _table(section: str) -> str:
    rows = _scalars() if section == "top" else _members(section)
    head = ["name", "environment variable", "key in a file", "type", "default", "meaning"]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def _scalars() -> Iterator[list[str]]:
    for key, field in model.Values.model_fields.items():
        if key not in SECTIONS:
            names = [f"`{key}`", f"`{PREFIX}{key.upper()}`", f"`{key}`"]
            default = f"`{_written(field.default)}`"
            yield [*names, _type(model.Values, key), default, field.description or ""]


def _members(section: str) -> Iterator[list[str]]:
    one = section.removesuffix("s").upper()
    members = _MEMBERS[section]
    for key, field in members.model_fields.items():
        within = ("__OPTION", ".OPTION") if key == "options" else ("", "")
        names = [
            f"`{key}`",
            f"`{PREFIX}{section.upper()}__{one}__{key.upper()}{within[0]}`",
            f"`{section}.{one}.{key}{within[1]}`",
        ]
        yield [*names, _type(members, key), _default(section, key), field.description or ""]


def _default(section: str, key: str) -> str:
    if section != "brokers":
        return "as in code"
    return {"url": "none: must be set", "options": "none"}.get(key, "that at the top")


def _type(owner: type[BaseModel], key: str) -> str:
    hint = get_type_hints(owner, include_extras=True)[key]
    if get_origin(hint) is UnionType or type(None) in get_args(hint):
        hint = next(each for each in get_args(hint) if each is not type(None))
    return next(name for known, name in _TYPES if known == hint)


def _written(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    PAGE.write_text(up_to_date(PAGE.read_text("utf-8")), "utf-8")
