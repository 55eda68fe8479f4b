"""One layer for each place where settings stand, and what is left when they are merged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import cast

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.settings.naming import Path, dotted, fold, is_known, is_table, nearest_path

__all__ = ["Entry", "Layer", "Merged", "SecretFile", "Source", "leaves", "merge", "tabled"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from, and what it is called there."""

    label: str
    origin: str
    #: Spelled as the environment spells names: `ORDERS_PLACED` for `orders.placed`.
    folded: bool = False
    #: Never shown, whatever it sets.
    secret: bool = False

    def __str__(self) -> str:
        if self.origin.endswith(f" {self.label}"):
            return self.origin
        return f"{self.label} ({self.origin})"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A value that stands in a file, which is read only if nothing overrides it."""

    path: File

    def read(self, source: Source) -> str:
        try:
            return self.path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise ConfigurationError(f"{source}: cannot be read: {reason}") from None


@dataclass(frozen=True, slots=True)
class Entry:
    """One value, and its source."""

    value: object = field(repr=False)
    source: Source

    def read(self) -> object:
        return self.value.read(self.source) if isinstance(self.value, SecretFile) else self.value


Layer = Mapping[Path, Entry]


@dataclass(frozen=True, slots=True)
class Merged:
    """What is left, and which names were said: as they are written, or folded."""

    entries: Mapping[Path, Entry]
    written: Mapping[Path, Source]
    folded: Mapping[Path, Source]


def tabled(values: Mapping[str, object], origin: str) -> Layer:
    """Return the layer that nested mappings make.

    :raises UnknownSetting: naming what was probably meant
    """
    return dict(leaves((), values, lambda path: Source(dotted(path), origin)))


def leaves(path: Path, value: object, source: Callable[[Path], Source]) -> Iterator[tuple[Path, Entry]]:
    """Walk what stands beneath a path."""
    if value is None:
        raise ConfigurationError(f"{source(path)}: has no value; leave it out to keep the default")
    if not is_table(path):
        yield path, Entry(value, source(path))
        return
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{source(path)}: must be a table, not {type(value).__name__}")
    for key, inner in cast("Mapping[object, object]", value).items():
        yield from leaves(_child(path, key, inner, source), inner, source)


def _child(path: Path, key: object, inner: object, source: Callable[[Path], Source]) -> Path:
    if not isinstance(key, str) or not key:
        raise ConfigurationError(f"{source(path)}: holds the name {key!r}, which is no text")
    child = (*path, key)
    if is_known(child):
        return child
    nearest = nearest_path(child)
    hint = ""
    if isinstance(inner, Mapping) and path and not is_table(nearest):
        hint = f'; a name with dots is quoted: {path[0]}."{path[1]}.{key}"'
    said = f"unknown setting: {source(child)}; the nearest known is {dotted(nearest)}{hint}"
    raise UnknownSetting(said)


def merge(layers: Sequence[Layer]) -> Merged:
    """Lay layers over each other, the strongest first."""
    named = [(path, entry.source) for layer in layers for path, entry in layer.items() if len(path) > 1]
    written: dict[Path, Source] = {}
    folded: dict[Path, Source] = {}
    for (section, name, *_), source in named:
        if source.folded:
            folded.setdefault((section, fold(name)), source)
        else:
            written.setdefault((section, name), source)
    entries: dict[Path, Entry] = {}
    for layer in layers:
        for path, entry in layer.items():
            entries.setdefault(_as_written(path, entry.source, written), entry)
    return Merged(entries, written, folded)


def _as_written(path: Path, source: Source, written: Mapping[Path, Source]) -> Path:
    if not source.folded or len(path) == 1:
        return path
    section, folded, *rest = path
    names = [name for where, name in written if where == section and fold(name) == fold(folded)]
    if len(names) > 1:
        raise ConfigurationError(f"{source}: fits both {names[0]!r} and {names[1]!r}")
    return (section, names[0] if names else folded, *rest)
