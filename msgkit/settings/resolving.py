"""From layers to settings: merged, checked, and each value with its source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from msgkit.errors import ConfigurationError
from msgkit.settings.checks import SCALARS
from msgkit.settings.layers import Entry, Layer, Source, merge
from msgkit.settings.naming import Path, closest, dotted, fold, variable
from msgkit.settings.redaction import redact
from msgkit.settings.shape import DEFAULT_BROKER, DEFAULTS, SECTIONS, ScalarSettings

__all__ = ["Resolved", "resolve"]

_Section = Mapping[str, Mapping[str, object]]
_Faults = list[tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """All values as they are to be used, and what is known of their sources."""

    scalars: ScalarSettings
    sections: Mapping[str, _Section]
    sources: Mapping[Path, Source] = field(compare=False)
    written: Mapping[Path, Source] = field(compare=False)
    folded: Mapping[Path, Source] = field(compare=False)

    def name_in(self, section: str, name: str) -> str:
        """Return the name under which the section speaks of this one, if it does."""
        short = fold(name).lower()
        if (section, name) in self.written or (section, short) in self.written:
            return name
        return short

    def member(self, section: str, name: str) -> Mapping[str, object]:
        return self.sections[section].get(self.name_in(section, name), {})


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Lay layers over each other, the strongest first, and check what is left.

    :raises ConfigurationError: naming each bad value and its source, but no secret
    """
    merged = merge(layers)
    given = {path: entry.read() for path, entry in merged.entries.items()}
    checked, faults = _check(_nested(given))
    if faults:
        raise ConfigurationError("\n".join(_complaints(faults, merged.entries, given)))
    scalars = {**DEFAULTS, **{name: checked[name] for name in SCALARS if name in checked}}
    resolved = Resolved(
        scalars=cast("ScalarSettings", scalars),
        sections={name: cast("_Section", checked.get(name, {})) for name in SECTIONS},
        sources={path: entry.source for path, entry in merged.entries.items()},
        written=merged.written,
        folded=merged.folded,
    )
    _check_brokers(resolved)
    return resolved


def _nested(given: Mapping[Path, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for (*parents, key), value in given.items():
        table = nested
        for parent in parents:
            table = cast("dict[str, object]", table.setdefault(parent, {}))
        table[key] = value
    return nested


def _check(nested: Mapping[str, object]) -> tuple[Mapping[str, object], _Faults]:
    if nested.keys() & SECTIONS.keys():
        from msgkit.settings.model import validate  # noqa: PLC0415 -- pydantic is heavy, and most tests need none

        return validate(nested)
    checked: dict[str, object] = {}
    faults: _Faults = []
    for name, value in nested.items():
        try:
            checked[name] = SCALARS[name](value)
        except ValueError as error:
            faults.append(((name,), str(error)))
    return checked, faults


def _complaints(faults: _Faults, entries: Mapping[Path, Entry], given: Mapping[Path, object]) -> Iterator[str]:
    for path, reason in faults:
        source = entries[path].source
        secret = source.secret or path[-1] == "url" or "options" in path
        yield f"{source}: {reason}" + ("" if secret else f" (given: {_shown(given[path])})")


def _shown(value: object) -> str:
    return repr(redact(value)[:60] if isinstance(value, str) else value)


def _check_brokers(resolved: Resolved) -> None:
    brokers = resolved.sections["brokers"]
    for name, broker in brokers.items():
        if name != DEFAULT_BROKER and "url" not in broker:
            wanted = ("brokers", name, "url")
            raise ConfigurationError(f"{dotted(wanted)} is missing; set it, or {variable(wanted)}")
    for path, source in resolved.sources.items():
        if path[0] != "brokers" and path[-1] == "broker":
            name = cast("str", resolved.sections[path[0]][path[1]]["broker"])
            if name != DEFAULT_BROKER and "url" not in resolved.member("brokers", name):
                nearest = closest(name, [DEFAULT_BROKER, *brokers])
                raise ConfigurationError(f"{source}: there is no broker {name!r}; the nearest known is {nearest}")
