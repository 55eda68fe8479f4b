"""The settings of one application: read once, frozen, each value with its source."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from types import MappingProxyType
from typing import Self, Unpack, cast

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.settings.layers import Source, tabled
from msgkit.settings.naming import (
    Path,
    closest,
    dotted,
    fold,
    is_known,
    is_table,
    nearest_path,
    parse_dotted,
    variable,
)
from msgkit.settings.redaction import hidden, redact
from msgkit.settings.resolving import Resolved, resolve
from msgkit.settings.shape import (
    DEFAULT_BROKER,
    SECTIONS,
    BrokerSettings,
    ExchangeSettings,
    QueueSettings,
    SettingsValues,
    TopologyMode,
)

__all__ = ["Broker", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Broker:
    """One broker, whole: what its settings leave out is filled in."""

    name: str
    url: str
    topology: TopologyMode
    prefix: str
    options: Mapping[str, object] = field(hash=False)

    def __repr__(self) -> str:
        return (
            f"Broker(name={self.name!r}, url={redact(self.url)!r}, topology={self.topology!r}, "
            f"prefix={self.prefix!r}, options={hidden(self.options)})"
        )


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Settings:
    """What is said about brokers, queues and exchanges; all else stands in code.

    Made with keywords it is just that, and reads nothing; `load` reads the environment
    and files too.

    :raises UnknownSetting: naming what was probably meant, and where it stands
    :raises ConfigurationError: naming each bad value and where it stands, but no secret
    """

    _resolved: Resolved = field(hash=False)

    def __init__(self, **values: Unpack[SettingsValues]) -> None:
        object.__setattr__(self, "_resolved", resolve([tabled(values, "keyword")]))

    @classmethod
    def load(cls, file: str | PathLike[str] | None = None, **keywords: Unpack[SettingsValues]) -> Self:
        """Return what is said in code and outside of it.

        The first of these that sets a value wins: keywords, environment, secret files, `.env`,
        `msgkit.toml`, `pyproject.toml`. `file` is read in place of `msgkit.toml`.
        """
        from msgkit.settings.sources import read  # noqa: PLC0415 -- pydantic-settings is heavy

        settings = cls.__new__(cls)
        layers = [tabled(keywords, "keyword"), *read(file)]
        object.__setattr__(settings, "_resolved", resolve(layers))
        return settings

    @property
    def url(self) -> str:
        return self._resolved.scalars["url"]

    @property
    def topology(self) -> TopologyMode:
        return self._resolved.scalars["topology"]

    @property
    def prefix(self) -> str:
        return self._resolved.scalars["prefix"]

    @property
    def wait_for_broker(self) -> float:
        """Seconds."""
        return self._resolved.scalars["wait_for_broker"]

    @property
    def drain(self) -> float:
        """Seconds."""
        return self._resolved.scalars["drain"]

    @property
    def brokers(self) -> Mapping[str, BrokerSettings]:
        """What is said of named brokers. Names that only the environment says are in lower case."""
        names = self._resolved.sections["brokers"]
        return {name: cast("BrokerSettings", dict(said)) for name, said in names.items()}

    @property
    def queues(self) -> Mapping[str, QueueSettings]:
        """What is said of queues; `queue` finds it for a name in code."""
        names = self._resolved.sections["queues"]
        return {name: cast("QueueSettings", dict(said)) for name, said in names.items()}

    @property
    def exchanges(self) -> Mapping[str, ExchangeSettings]:
        """What is said of exchanges; `exchange` finds it for a name in code."""
        names = self._resolved.sections["exchanges"]
        return {name: cast("ExchangeSettings", dict(said)) for name, said in names.items()}

    def queue(self, name: str) -> QueueSettings:
        """Return what is said of the queue that code calls so; empty when nothing is."""
        return cast("QueueSettings", dict(self._resolved.member("queues", name)))

    def exchange(self, name: str) -> ExchangeSettings:
        """Return what is said of the exchange that code calls so; empty when nothing is."""
        return cast("ExchangeSettings", dict(self._resolved.member("exchanges", name)))

    def broker(self, name: str = DEFAULT_BROKER) -> Broker:
        """Return a broker, with what its settings leave out.

        :raises ConfigurationError: when there is none of that name, naming those there are
        """
        said = cast("BrokerSettings", self._resolved.member("brokers", name))
        if name != DEFAULT_BROKER and "url" not in said:
            known = ", ".join(dict.fromkeys([DEFAULT_BROKER, *self.brokers]))
            wanted = variable(("brokers", name, "url"))
            raise ConfigurationError(f"there is no broker {name!r} in the settings: set {wanted}; known are {known}")
        return Broker(
            name=name,
            url=said.get("url", self.url),
            topology=said.get("topology", self.topology),
            prefix=said.get("prefix", self.prefix),
            options=MappingProxyType(dict(said.get("options", {}))),
        )

    def origin(self, setting: str) -> str:
        """Return where the value of a setting came from: "keyword", "msgkit.toml", …, "default".

        Settings are named as in files: `url`, `queues.billing.concurrency`.
        """
        source = self._source(_path_of(setting))
        return source.origin if source else "default"

    def chosen(self, setting: str) -> bool:
        """Tell whether anybody said what this is to be."""
        return self._source(_path_of(setting)) is not None

    def check_names(self, queues: Collection[str], exchanges: Collection[str]) -> None:
        """Refuse settings for what the application does not have, or that fit two things it has.

        :raises UnknownSetting: naming the nearest queue or exchange
        :raises ConfigurationError: naming the two
        """
        for section, one, names in (
            ("queues", "queue", queues),
            ("exchanges", "exchange", exchanges),
        ):
            for (where, name), source in self._resolved.written.items():
                if where == section and name not in names:
                    raise _stranger(source, one, name, names)
            for (where, name), source in self._resolved.folded.items():
                if where == section:
                    _check_folded(source, one, name, names)

    def _source(self, path: Path) -> Source | None:
        sources = self._resolved.sources
        match path:
            case ("brokers", name, "topology" | "prefix" as key):
                said = ("brokers", self._resolved.name_in("brokers", name), key)
                return sources.get(said, sources.get((key,)))
            case (section, name, *rest):
                return sources.get((section, self._resolved.name_in(section, name), *rest))
            case _:
                return sources.get(path)

    def __repr__(self) -> str:
        return f"Settings({', '.join(self._said())})"

    def _said(self) -> Iterator[str]:
        """Show what was said, as it would be said in code, but for secrets."""
        for name, value in self._resolved.scalars.items():
            if (name,) in self._resolved.sources:
                yield f"{name}={_shown(name, value)}"
        for section, members in self._resolved.sections.items():
            if members:
                said = (f"{name!r}: {_shown_all(values)}" for name, values in members.items())
                yield f"{section}={{{', '.join(said)}}}"


def _path_of(setting: str) -> Path:
    path = parse_dotted(setting)
    match path:
        case ("brokers", name, key) if name == DEFAULT_BROKER and is_known((key,)):
            return (key,)
        case tuple() if is_known(path) and not is_table(path):
            return path
        case _:
            section, _, rest = setting.partition(".")
            name, _, key = rest.rpartition(".")
            wrong = (section, name, key) if section in SECTIONS and name else (section,)
            nearest = dotted(nearest_path(wrong))
            raise UnknownSetting(f"unknown setting: {setting}; the nearest known is {nearest}")


def _stranger(source: Source, one: str, name: str, names: Collection[str]) -> UnknownSetting:
    nearest = closest(name, names)
    known = f"the nearest is {nearest!r}" if nearest else "it has none at all"
    return UnknownSetting(f"{source}: the application has no {one} {name!r}; {known}")


def _check_folded(source: Source, one: str, folded: str, names: Collection[str]) -> None:
    fitting = sorted(name for name in names if fold(name) == folded)
    if not fitting:
        raise _stranger(source, one, folded.lower(), names)
    if len(fitting) > 1:
        raise ConfigurationError(
            f"{source}: fits the {one}s {fitting[0]!r} and {fitting[1]!r}; "
            "say it in msgkit.toml, where names are as in code"
        )


def _shown(key: str, value: object) -> str:
    if key == "options":
        return repr(hidden(cast("Mapping[str, object]", value)))
    return repr(redact(value) if isinstance(value, str) else value)


def _shown_all(values: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{key!r}: {_shown(key, value)}" for key, value in values.items()) + "}"
