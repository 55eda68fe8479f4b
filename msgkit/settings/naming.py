"""What a setting is called in files and in the environment, and which one was meant."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from msgkit.settings.shape import DEFAULT_BROKER, DEFAULTS, SECTIONS

__all__ = [
    "FILE_SUFFIX",
    "PREFIX",
    "SECRETS_DIR",
    "Path",
    "closest",
    "dotted",
    "fold",
    "is_known",
    "is_table",
    "nearest_path",
    "nearest_variable",
    "parse_dotted",
    "parse_variable",
    "variable",
]

Path = tuple[str, ...]

PREFIX = "MSGKIT_"
FILE_SUFFIX = "_FILE"
SECRETS_DIR = "MSGKIT_SECRETS_DIR"

_OPTIONS = "options"
_TOP = (*DEFAULTS, *SECTIONS)
_MEMBERS = {
    section: re.compile(rf"(?P<name>.+)(?:__|\.)(?P<key>{'|'.join(keys)})", re.DOTALL)
    for section, keys in SECTIONS.items()
}
_BROKER_OPTIONS = re.compile(r"(?P<name>.+?)(?:__|\.)options(?:(?:__|\.)(?P<option>.+))?", re.DOTALL)


def fold(name: str) -> str:
    """Return how the environment spells the name of a queue, an exchange or a broker."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def dotted(path: Path) -> str:
    return ".".join(path)


def variable(path: Path) -> str:
    """Return the environment variable that sets this."""
    return PREFIX + "__".join(fold(part) for part in path)


def parse_variable(name: str) -> Path | None:
    """Return what a variable sets, with folded names in lower case; None if it is unknown."""
    section, _, rest = name[len(PREFIX) :].lower().partition("__")
    path = _parse(section, rest)
    if path is None or len(path) == 1:
        return path
    return (path[0], fold(path[1]).lower(), *path[2:])


def parse_dotted(name: str) -> Path | None:
    """Return what `queues.orders.placed.concurrency` means; names may have dots in them."""
    section, _, rest = name.partition(".")
    return _parse(section, rest)


def _parse(section: str, rest: str) -> Path | None:
    if not rest:
        return (section,) if section in _TOP else None
    if section not in SECTIONS:
        return None
    if section == "brokers" and (found := _BROKER_OPTIONS.fullmatch(rest)):
        option = found["option"]
        return (section, found["name"], _OPTIONS, *((option,) if option else ()))
    found = _MEMBERS[section].fullmatch(rest)
    return (section, found["name"], found["key"]) if found else None


def is_table(path: Path) -> bool:
    """Tell a group of settings from a single one."""
    match path:
        case () | (_, _) | (_, _, "options"):
            return True
        case (section,):
            return section in SECTIONS
        case _:
            return False


def is_known(path: Path) -> bool:
    """Tell whether there is such a setting, or such a group."""
    match path:
        case (top,):
            return top in _TOP
        case ("brokers", name, key) if name == DEFAULT_BROKER:
            # All else of the default broker has a name of its own, and two names for
            # one setting would need a rule about which of them wins.
            return key == _OPTIONS
        case (section, _, key):
            return key in SECTIONS[section]
        case _:
            return True


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar name, however little it is so; None if there is none at all."""
    return next(iter(get_close_matches(name, list(known), 1, 0.0)), None)


def nearest_path(path: Path) -> Path:
    """Return the known setting beside an unknown one that resembles it most."""
    *parents, key = path
    match parents:
        case ["brokers", name] if name == DEFAULT_BROKER and key in DEFAULTS:
            return (key,)
        case [section, _]:
            known = SECTIONS[section]
        case _:
            known = _TOP
    return (*parents, closest(key.lower(), known) or key)


def nearest_variable(name: str) -> str:
    """Return the known variable that resembles an unknown one most."""
    suffix = FILE_SUFFIX if name.upper().endswith(FILE_SUFFIX) else ""
    words = name[len(PREFIX) :].lower().removesuffix(suffix.lower())
    first, _, rest = words.partition("_")
    section = next(iter(get_close_matches(first, SECTIONS, 1, 0.75)), None)
    if section and rest.strip("_"):
        return variable(_member(section, rest.strip("_"))) + suffix
    known = [variable((top,)) for top in _TOP] + [SECRETS_DIR]
    return (closest(PREFIX + words.upper(), known) or name) + suffix


def _member(section: str, rest: str) -> Path:
    keys = SECTIONS[section]
    exact = [key for key in keys if rest.endswith(f"_{key}")]
    if exact:
        path = (section, rest.removesuffix(exact[0]).strip("_"), exact[0])
        return path if is_known(path) else nearest_path(path)
    name, _, key = rest.rpartition("__" if "__" in rest else "_")
    similar = get_close_matches(key, keys, 1, 0.0 if "__" in rest else 0.6)
    return (section, name.strip("_"), similar[0]) if similar else (section, rest, keys[0])
