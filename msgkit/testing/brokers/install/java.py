"""Finding a Java that is new enough."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgkit.testing.brokers.install.running import program, run
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["OLDEST_JAVA", "java"]

OLDEST_JAVA = 17
_INSTALLED = Path("/usr/lib/jvm")
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def java() -> Path | None:
    """Return a `java` of version 17 or newer: that of JAVA_HOME, of the PATH, or else an installed one."""
    return next((path for path in _candidates() if path.is_file() and _major(path) >= OLDEST_JAVA), None)


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if (found := program("java")) is not None:
        yield found
    yield from sorted(_INSTALLED.glob("*/bin/java"), reverse=True)


@cache
def _major(path: Path) -> int:
    try:
        found = _VERSION.search(run(path, "-version", mend="", within=30))
    except Trouble:
        return 0
    return int(found[1]) if found else 0
