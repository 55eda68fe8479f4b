"""Subjects and their patterns: words between dots, `*` one word, `#` any number, as in AMQP."""

import re
from collections.abc import Callable
from functools import lru_cache

from msgkit.errors import ConfigurationError

__all__ = ["MATCH_ALL", "compile_pattern"]

MATCH_ALL = "#"


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
    if "*" not in words and "#" not in words:
        return pattern.__eq__
    matches = re.compile(_expression(words), re.DOTALL).fullmatch
    if set(words) == {"#"}:
        return lambda subject: matches(subject) is not None
    # A subject without any text has no words at all, as in AMQP: no `*` takes it.
    return lambda subject: subject != "" and matches(subject) is not None


def _anything(_: str) -> bool:
    return True


def _expression(words: list[str]) -> str:
    """Translate word by word; `#` takes its dot with it when it stands for nothing.

    Runs of `#` are one, so that a pattern cannot make the matching explode.
    """
    merged = [word for place, word in enumerate(words) if word != "#" or place == 0 or words[place - 1] != "#"]
    parts: list[str] = []
    for place, word in enumerate(merged):
        last = place == len(merged) - 1
        if word != "#":
            parts.append(
                (r"[^.]*" if word == "*" else re.escape(word)) + ("" if last or merged[place + 1 :] == ["#"] else r"\.")
            )
        elif last:
            parts.append(r"(?:\..*)?" if place else r".*")
        else:
            parts.append(r"(?:[^.]*\.)*")
    return "".join(parts)
