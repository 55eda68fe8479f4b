#!/usr/bin/env python3
"""Writes the tables of docs/brokers/*.md from the options and the capabilities of the bindings."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import timedelta
from os import PathLike
from pathlib import Path
from textwrap import dedent
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgkit.spi import Capabilities, Emulated, Refused, Support
from msgkit.values import Seconds
from msgkit_kafka.address import KafkaSettings
from msgkit_kafka.capabilities import CAPABILITIES
from msgkit_kafka.options import Kafka, KafkaQueue, KafkaTopic, Token
from msgkit_rabbitmq import capabilities as rabbitmq
from msgkit_rabbitmq.address import Rabbit, RabbitSettings
from msgkit_rabbitmq.options import RabbitExchange, RabbitQueue
from msgkit_rocketmq import capabilities as rocketmq
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.client.brokers import settings_of
from msgkit_rocketmq.options import Rocket, RocketQueue, RocketTopic

__all__ = ["KAFKA", "RABBITMQ", "ROCKETMQ", "Reference", "meanings"]

_PAGES = Path(__file__).parent.parent / "docs" / "brokers"
_RABBIT, _KAFKA = RabbitSettings.parse("amqp://"), KafkaSettings.parse("kafka://")
_ROCKET = RocketSettings.parse("rocketmq://")
_TYPES: Mapping[object, str] = {
    str: "text",
    timedelta: "`timedelta`",
    Seconds: "number, or `timedelta`",
    int: "whole number",
    float: "number",
    bool: "`True` or `False`",
    str | PathLike[str]: "path",
    Mapping[str, object]: "table",
    Token: "text, or async function",
}
#: What is said of destinations.
_Said = type[RabbitQueue | RabbitExchange | KafkaTopic | KafkaQueue | RocketTopic | RocketQueue]
_Settings = RabbitSettings | KafkaSettings | RocketSettings
_OPTIONS = ["option", "type", "default", "meaning"]
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_COMMENT = "#: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The page on a broker, and what its tables are made of."""

    page: Path
    capabilities: Capabilities
    #: The options of a connection, what they are when nothing is said, and words for some of that.
    connection: type
    settings: _Settings
    defaults: Mapping[str, str]
    #: Those of destinations, by the table that they are in.
    options: Mapping[str, _Said]

    def up_to_date(self, page: str) -> str:
        """Return the page with its tables as they should be."""
        return _TABLE.sub(lambda found: f"{found[1]}\n{self._table(found[2])}\n{found[3]}", page)

    def _table(self, name: str) -> str:
        match name:
            case "connection":
                return _rows(_OPTIONS, _options(self.connection, self._of_settings()))
            case "powers":
                return _rows(["what", "here", "how, or why not"], _powers(self.capabilities))
            case _:
                owner = self.options[name]
                return _rows(_OPTIONS, _options(owner, _of_fields(owner)))

    def _of_settings(self) -> dict[str, str]:
        names = self.connection.__annotations__
        return {name: self.defaults.get(name) or _default(self.settings, name) for name in names}


RABBITMQ = Reference(
    page=_PAGES / "rabbitmq.md",
    capabilities=rabbitmq.capabilities(_RABBIT),
    connection=Rabbit,
    settings=_RABBIT,
    defaults={"user": "`guest`", "password": "`guest` for guest", "connection_name": "the application's name"},
    options={"queue": RabbitQueue, "exchange": RabbitExchange},
)
KAFKA = Reference(
    page=_PAGES / "kafka.md",
    capabilities=CAPABILITIES,
    connection=Kafka,
    settings=_KAFKA,
    defaults={
        "auth": "`plain` with a user, `oauthbearer` with a token",
        "client_id": "`msgkit`",
        "compression": f"`{_KAFKA.compression}`",
    },
    options={"topic": KafkaTopic, "queue": KafkaQueue},
)
ROCKETMQ = Reference(
    page=_PAGES / "rocketmq.md",
    # Of brokers of which nothing is set.
    capabilities=rocketmq.capabilities([settings_of({})]),
    connection=Rocket,
    settings=_ROCKET,
    defaults={},
    options={"topic": RocketTopic, "queue": RocketQueue},
)


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
    if len(choices) == 1:
        return _type(choices[0])
    return next(text for kind, text in _TYPES.items() if set(get_args(kind)) == set(choices))


def _of_fields(owner: _Said) -> dict[str, str]:
    said = {each.name: each.default for each in fields(owner)}
    return {name: "none" if value is None or value is MISSING else f"`{value}`" for name, value in said.items()}


def _default(settings: _Settings, name: str) -> str:
    value: Any = getattr(settings if hasattr(settings, name) else settings.certificates, name)
    match value:
        case None | "":
            return "none"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


# -- capabilities


def _powers(found: Capabilities) -> Iterator[list[str]]:
    for power, support in found.powers.items():
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
    for each in (RABBITMQ, KAFKA, ROCKETMQ):
        each.page.write_text(each.up_to_date(each.page.read_text("utf-8")), "utf-8")
