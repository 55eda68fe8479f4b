"""Pin the jars of the brokers in Java: `python tools/brokers_pins.py [kafka|rocketmq] [version]`.

Fetches each listed version with a repository of Maven's own that is empty at first, so that every
jar comes anew and is held against the repository's checksum, and writes down what came. Look at the
difference before it is committed: it decides what is trusted from then on.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from msgkit.testing.brokers.install.distributions import DISTRIBUTIONS, PINS
from msgkit.testing.brokers.install.jars import download


def main(name: str | None = None, version: str | None = None) -> None:
    for each, distribution in DISTRIBUTIONS.items():
        for full in distribution.versions:
            if name in {None, each} and version in {None, full}:
                print(f"{each} {full}: {pin(each, full)} jars")


def pin(name: str, version: str) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        options = ("--strict-checksums", f"-Dmaven.repo.local={scratch}/repository")
        jars = sorted(download(DISTRIBUTIONS[name], version, Path(scratch) / "jars", *options).glob("*.jar"))
        lines = [f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in jars]
    (PINS / f"{name}-{version}.sha256").write_text("".join(lines))
    return len(jars)


if __name__ == "__main__":
    main(*sys.argv[1:])
