"""Where settings stand outside of code; imported by `Settings.load`, for pydantic's weight."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path as File
from typing import cast

from pydantic_settings import DotEnvSettingsSource, TomlConfigSettingsSource

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.settings.layers import Entry, Layer, SecretFile, Source, leaves, tabled
from msgkit.settings.model import Values
from msgkit.settings.naming import (
    FILE_SUFFIX,
    PREFIX,
    SECRETS_DIR,
    Path,
    dotted,
    is_known,
    is_table,
    nearest_variable,
    parse_variable,
)

__all__ = ["DEFAULT_SECRETS_DIR", "read"]

DEFAULT_SECRETS_DIR = "/run/secrets"
_TEST_PREFIX = "MSGKIT_TEST_"
_SETTINGS_FILE = "msgkit.toml"
_PROJECT_FILE = "pyproject.toml"
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)")

_Found = tuple[str, str | SecretFile | None, Source]


def read(file: str | PathLike[str] | None) -> list[Layer]:
    """Return what is said outside of code, the strongest layer first."""
    environment = _ours(os.environ.items(), "the environment")
    dotenv = _ours(_dotenv(), ".env")
    everything = {**dotenv, **environment}
    secrets = list(_named_secrets(everything))
    return [
        _layer(_plain(environment, lambda name: f"environment variable {name}")),
        _layer(secrets),
        _layer(_secrets_in(everything, secrets)),
        _layer(_plain(dotenv, lambda _: ".env")),
        _toml(file),
        _toml_table(File(_PROJECT_FILE), _PROJECT_FILE),
    ]


def _ours(variables: Iterable[tuple[str, str | None]], where: str) -> Mapping[str, str | None]:
    ours: dict[str, str | None] = {}
    for spelled, text in variables:
        name = spelled.upper()
        # What is for tests is read by them, and by nothing that runs in production.
        if not name.startswith(PREFIX) or name.startswith(_TEST_PREFIX):
            continue
        if name in ours:
            raise ConfigurationError(f"{name} is set twice in {where}, in upper and lower case")
        ours[name] = text
    return ours


def _dotenv() -> Iterable[tuple[str, str | None]]:
    try:
        source = DotEnvSettingsSource(Values, env_file=".env", case_sensitive=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f".env: cannot be read: {error}") from error
    return source.env_vars.items()


def _target(name: str) -> Path | None:
    path = parse_variable(name)
    return path if path and is_known(path) else None


def _is_file_variable(name: str) -> bool:
    return name.endswith(FILE_SUFFIX) and _target(name.removesuffix(FILE_SUFFIX)) is not None


def _plain(variables: Mapping[str, str | None], origin: Callable[[str], str]) -> Iterator[_Found]:
    for name, text in variables.items():
        if name != SECRETS_DIR and not _is_file_variable(name):
            yield name, text, Source(name, origin(name), folded=True)


def _named_secrets(variables: Mapping[str, str | None]) -> Iterator[_Found]:
    for name, file in variables.items():
        if _is_file_variable(name):
            if not file:
                raise ConfigurationError(f"{name}: names no file")
            # What is no path may be the secret itself, put into the wrong variable.
            shown = file if File(file).is_absolute() else f"named by {name}"
            source = Source(name, f"secret file {shown}", folded=True, secret=True)
            yield name.removesuffix(FILE_SUFFIX), SecretFile(File(file)), source


def _secrets_in(variables: Mapping[str, str | None], named: Iterable[_Found]) -> Iterator[_Found]:
    given = variables.get(SECRETS_DIR, DEFAULT_SECRETS_DIR)
    if not given:
        raise ConfigurationError(f"{SECRETS_DIR}: names no directory")
    directory = File(given)
    if not directory.is_dir():
        if SECRETS_DIR in variables:
            raise ConfigurationError(f"{SECRETS_DIR}: {directory} is no directory")
        return
    elsewhere = {value.path.resolve() for _, value, _ in named if isinstance(value, SecretFile)}
    for file in sorted(_files(directory)):
        name = file.name.upper()
        # A file that a variable names may be called as it likes.
        if name.startswith(PREFIX) and file.resolve() not in elsewhere:
            source = Source(name, f"secret file {file}", folded=True, secret=True)
            yield name, SecretFile(file), source


def _files(directory: File) -> list[File]:
    try:
        return [file for file in directory.iterdir() if file.is_file()]
    except OSError as error:
        raise ConfigurationError(f"{directory}: cannot be read: {error.strerror}") from error


def _layer(found: Iterable[_Found]) -> Layer:
    layer: dict[Path, Entry] = {}
    tables: list[tuple[Path, Entry]] = []
    for name, value, source in found:
        path = _target(name)
        if path is None:
            raise _unknown(name, source)
        if is_table(path):
            tables += _json_leaves(path, value, source)
            continue
        if path in layer:
            raise ConfigurationError(f"{source}: sets the same as {layer[path].source}")
        layer.update(_leaf(path, value, source))
    # A variable of its own says more than a part of a JSON text.
    return {**layer, **{path: entry for path, entry in tables if path not in layer}}


def _leaf(path: Path, value: str | SecretFile | None, source: Source) -> Iterable[tuple[Path, Entry]]:
    return leaves(path, value, lambda _: source)


def _json_leaves(path: Path, value: str | SecretFile | None, source: Source) -> Iterable[tuple[Path, Entry]]:
    text = Entry(value, source).read()
    try:
        table: object = json.loads(cast("str", text))
    except (TypeError, ValueError):
        table = None
    if not isinstance(table, dict):
        raise ConfigurationError(f"{source}: must be a JSON object")
    # Names inside the text are as they are written; a broker's, in the variable, is not.
    folded = len(path) > 1

    def inner(path: Path) -> Source:
        return Source(dotted(path), source.origin, folded=folded, secret=source.secret)

    return leaves(path, cast("object", table), inner)


def _unknown(name: str, source: Source) -> UnknownSetting:
    hint = ""
    if _SERVICE_LINK.fullmatch(name):
        hint = " (if Kubernetes set it for a service, set enableServiceLinks: false)"
    return UnknownSetting(f"unknown setting: {source}; the nearest known is {nearest_variable(name)}{hint}")


def _toml(file: str | PathLike[str] | None) -> Layer:
    if file is None:
        return _toml_table(File(_SETTINGS_FILE), _SETTINGS_FILE)
    path = File(file)
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such file")
    return _toml_table(path, str(path))


def _toml_table(path: File, origin: str) -> Layer:
    try:
        table: object = TomlConfigSettingsSource(Values, path).toml_data
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{origin}: cannot be read: {error}") from error
    if path.name == _PROJECT_FILE:
        for key in ("tool", "msgkit"):
            table = cast("dict[str, object]", table).get(key, {}) if isinstance(table, dict) else 0
    if not isinstance(table, dict):
        raise ConfigurationError(f"{origin}: [tool.msgkit] must be a table")
    return tabled(cast("dict[str, object]", table), origin)
