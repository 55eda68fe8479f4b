"""Where things run: what is measured on one core, and what it talks to on the others."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["on_the_others", "stay_on_one"]

_LINUX = sys.platform == "linux"
_ALL = os.sched_getaffinity(0) if _LINUX else {0}
_ONE = {max(_ALL)}


def stay_on_one() -> None:
    """Times vary less then; and FastStream, which goes through other threads, takes half of its own."""
    if _LINUX:
        os.sched_setaffinity(0, _ONE)


@contextmanager
def on_the_others() -> Generator[None]:
    """Start something within that is to take no time from what is measured, where there is more than one core."""
    if not _LINUX:
        yield
        return
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _ALL - _ONE or _ALL)
    try:
        yield
    finally:
        os.sched_setaffinity(0, here)
