"""A broker of two jars, and a Maven that brings them: installing, tested without a network."""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from msgkit.testing.brokers.install import distributions, jars
from msgkit.testing.brokers.install.distributions import DISTRIBUTIONS, Distribution

JARS: Mapping[str, bytes] = {"toy-1.0.0.jar": b"a toy", "wheel-2.jar": b"what it runs on"}

# Notes that it ran, waits where there is a door to wait at, and brings what stands in $TOYS.
_MAVEN = """\
#!/bin/sh
for word; do case $word in -DoutputDirectory=*) out=${word#*=};; esac; done
echo ran >> "$TOYS.runs"
if [ -p "$TOYS.door" ]; then read line < "$TOYS.door"; fi
if [ -e "$TOYS.broken" ]; then echo "first words"; echo "no route to the repository"; exit 1; fi
mkdir -p "$out" && cp "$TOYS"/*.jar "$out"
"""


def lay_out(folder: Path) -> Path:
    """Write the jars, their pins and a Maven below a folder, and return where the jars stand."""
    for each in ("toys", "pins", "programs"):
        (folder / each).mkdir()
    for jar, content in JARS.items():
        (folder / "toys" / jar).write_bytes(content)
    pin(folder, JARS)
    maven = folder / "programs" / "mvn"
    maven.write_text(_MAVEN)
    maven.chmod(0o755)
    return folder / "toys"


def pin(folder: Path, contents: Mapping[str, bytes]) -> None:
    lines = (f"{hashlib.sha256(content).hexdigest()}  {jar}\n" for jar, content in contents.items())
    (folder / "pins" / "toy-1.0.0.sha256").write_text("".join(lines))


def use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have what was laid out be all there is, and the cache empty."""
    patch.setenv("MSGKIT_TEST_CACHE", str(folder / "cache"))
    patch.setenv("TOYS", str(folder / "toys"))
    patch.setenv("PATH", f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}")
    patch.setattr(distributions, "PINS", folder / "pins")
    toy = Distribution(title="Toy", group="org.example", artifacts=("toy",), versions=("1.0.0", "1.1.0"))
    patch.setitem(DISTRIBUTIONS, "toy", toy)
    distributions.pins.cache_clear()


def main(folder: str) -> None:
    """Fetch the jars as a process of its own, and tell what is told on the way."""
    with pytest.MonkeyPatch.context() as patch:
        use(Path(folder), patch)
        jars.fetch("toy", None, _say)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
