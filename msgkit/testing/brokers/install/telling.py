"""Telling whoever waits what is going on, line by line."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import perf_counter

__all__ = ["Say", "timed"]

#: Takes one line of progress.
Say = Callable[[str], None]


@contextmanager
def timed(say: Say, what: str) -> Generator[None]:
    """Say that something begins, and how it ended after how many seconds."""
    say(f"{what} ...")
    began = perf_counter()
    ended = "failed after"
    try:
        yield
        ended = "done in"
    finally:
        say(f"{what}: {ended} {perf_counter() - began:.1f} s")
