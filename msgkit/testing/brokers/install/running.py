"""Running programs of this machine, quietly as long as they work."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgkit.testing.brokers.trouble import Trouble

__all__ = ["program", "run", "search_path", "tail"]

# Where a user's own PATH may not lead.
_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_TAIL = 25
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def program(name: str) -> Path | None:
    """Return where a program stands, on the PATH or among those of the system's administrator."""
    found = shutil.which(name, path=search_path())
    return Path(found) if found else None


def run(*command: str | Path, mend: str, env: Mapping[str, str] | None = None, within: float = 900) -> str:
    """Run a program to its end, and return what it printed.

    :raises Trouble: with the end of what it printed, when it failed or took longer than `within` seconds
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: S603 -- package managers and the like, with words of our own
            words,
            env={**os.environ, "PATH": search_path(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Trouble(f"{words[0]} was not done after {within:g} s:\n{tail(late.output)}", mend=mend) from late
    except OSError as error:
        raise Trouble(f"{words[0]} cannot be run: {error.strerror}", mend=mend) from error
    if done.returncode:
        raise Trouble(f"{Path(words[0]).name} ended with {done.returncode}:\n{tail(done.stdout)}", mend=mend)
    return done.stdout.decode(errors="replace")


def search_path() -> str:
    """Return the PATH, with what the system's administrator has on it."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM))


def tail(printed: bytes | None) -> str:
    """Return the last lines of what a program printed, indented."""
    lines = _COLOUR.sub("", (printed or b"").decode(errors="replace")).strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-_TAIL:])
