"""Subjects and their patterns: words between dots, `*` one word, `#` any number, as in AMQP."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from msgkit.errors import ConfigurationError

__all__ = ["MATCH_ALL", "compile_pattern"]

MATCH_ALL = "#"
_ANY_WORDS = r"(?:[^.]*\.)*"


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a test for subjects, compiled once for each pattern."""
    if pattern == MATCH_ALL:
        return _anything
    words = pattern.split(".")
    for word in words:
        if len(word) > 1 and ("*" in word or "#" in word):
            msg = f"the pattern {pattern!r} mixes a wildcard with letters in {word!r}; a wildcard is a whole word"
            raise ConfigurationError(msg)
    if set(words) == {"#"}:
        return _anything
    if "*" not in words and "#" not in words:
        return pattern.__eq__
    matches = re.compile(_expression(words)).fullmatch
    # Every word ends with a dot; a subject without any text has no words at all, as in AMQP.
    return lambda subject: matches(subject and f"{subject}.") is not None


def _anything(_: str) -> bool:
    return True


def _expression(words: list[str]) -> str:
    """Translate what stands between the `#`s, piece by piece.

    A piece between two of them is best where it is found first, so that what was found is never
    looked at again (`?>`): a pattern cannot make the matching explode.
    """
    first, *others = [_piece(words) for words in _between_hashes(words)]
    if not others:
        return first
    *inner, last = others
    return first + "".join(rf"(?>{_ANY_WORDS}?{piece})" for piece in inner) + _ANY_WORDS + last


def _between_hashes(words: list[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    for word in words:
        if word == "#":
            yield piece
            piece = []
        else:
            piece.append(word)
    yield piece


def _piece(words: list[str]) -> str:
    return "".join((r"[^.]*" if word == "*" else re.escape(word)) + r"\." for word in words)
