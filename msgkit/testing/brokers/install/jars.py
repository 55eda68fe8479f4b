"""The jars of Kafka and RocketMQ: fetched by Maven, checked against their pins, kept in the cache."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install.distributions import DISTRIBUTIONS, Distribution, pins
from msgkit.testing.brokers.install.locks import locked
from msgkit.testing.brokers.install.packages import installing, require
from msgkit.testing.brokers.install.running import program, run
from msgkit.testing.brokers.install.telling import Say, timed
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["download", "fetch", "find", "verify", "versions"]

#: Stands in each folder of the cache: the size and the pin of each jar that was found right.
_COMPLETE = "complete"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def versions(name: str) -> tuple[str, ...]:
    """Return the pinned versions of "kafka" or "rocketmq", the default first."""
    return DISTRIBUTIONS[name].versions


def find(name: str, version: str | None = None) -> Path | None:
    """Return the folder of a broker's jars, when the cache has them.

    No version is the default one, and "4.1" is 4.1.0. This is a cheap check, by names and sizes: the
    checksums were right when the jars came.
    """
    full = DISTRIBUTIONS[name].pinned(version)
    if full is None:
        return None
    folder = _folder(name, full)
    return folder if _is_complete(folder, pins(name, full)) else None


def fetch(name: str, version: str | None, say: Say, *, thorough: bool = False) -> Path:
    """Return the folder of a broker's jars, and fetch them before when the cache does not have them.

    Those that are there have their checksums taken anew only when that is asked for.

    :raises ConfigurationError: for a version that is not pinned
    :raises Trouble: when Maven is missing or fails, or a jar is not the one that is pinned
    """
    distribution, full = _asked(name, version)
    with locked(f"{name}-{full}", say):
        found = find(name, full)
        if found is not None and thorough:
            found = found if _is_right(found, pins(name, full), say) else None
        if found is not None:
            say(f"{distribution.title} {full}: its jars are in the cache")
            return found
        return _fetch(distribution, name, full, say)


def verify(folder: Path, pinned: Mapping[str, str]) -> None:
    """Hold each jar of a folder against its pin.

    :raises Trouble: for one that is missing, that nobody asked for, or that differs
    """
    there = {path.name: path for path in folder.glob("*.jar")}
    if missing := sorted(pinned.keys() - there.keys()):
        raise _refused(missing[0], wanted=pinned[missing[0]], found="no such file")
    if extra := sorted(there.keys() - pinned.keys()):
        raise _refused(extra[0], wanted="no such file", found=_checksum(there[extra[0]]))
    for jar, wanted in pinned.items():
        if (found := _checksum(there[jar])) != wanted:
            raise _refused(jar, wanted=wanted, found=found)


def download(distribution: Distribution, version: str, folder: Path, *options: str) -> Path:
    """Have Maven put the jars of a version below a new folder, and return where. They are not yet verified."""
    maven = program("mvn")
    if maven is None:
        raise Trouble("there is no Maven (mvn), which fetches the jars", mend=installing(["maven"]))
    pom, jars = folder / "pom.xml", folder / "jars"
    folder.mkdir(parents=True)
    pom.write_text(distribution.pom(version))
    goal = (_COPY, "-DincludeScope=runtime", f"-DoutputDirectory={jars}")
    mend = "see that mvn reaches its repositories; a mirror can be named in its settings.xml"
    run(maven, "-q", "-B", *options, "-f", pom, *goal, mend=mend)
    return jars


def _asked(name: str, version: str | None) -> tuple[Distribution, str]:
    distribution = DISTRIBUTIONS[name]
    full = distribution.pinned(version)
    if full is None:
        known = ", ".join(distribution.versions)
        raise ConfigurationError(f"{distribution.title} {version} is not among those whose jars are pinned: {known}")
    return distribution, full


def _fetch(distribution: Distribution, name: str, version: str, say: Say) -> Path:
    folder, pinned = _folder(name, version), pins(name, version)
    scratch = folder.with_name(f".{folder.name}.part")
    require(["maven"], say)
    # What an earlier run left that was ended in the middle.
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with timed(say, f"{distribution.title} {version}: {len(pinned)} jars, by Maven"):
            jars = download(distribution, version, scratch)
            verify(jars, pinned)
            (jars / _COMPLETE).write_text(_inventory(jars, pinned))
        shutil.rmtree(folder, ignore_errors=True)
        return jars.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _folder(name: str, version: str) -> Path:
    return cache() / "jars" / f"{name}-{version}"


def _is_complete(folder: Path, pinned: Mapping[str, str]) -> bool:
    try:
        return (folder / _COMPLETE).read_text() == _inventory(folder, pinned)
    except FileNotFoundError:
        return False


def _inventory(folder: Path, pinned: Mapping[str, str]) -> str:
    """Write down what a folder holds, and what it was checked against."""
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.jar")}
    return "".join(f"{pinned.get(jar)}  {sizes.get(jar)}  {jar}\n" for jar in sorted(sizes.keys() | pinned.keys()))


def _is_right(folder: Path, pinned: Mapping[str, str], say: Say) -> bool:
    try:
        verify(folder, pinned)
    except Trouble as trouble:
        say(f"{folder.name}: fetched again, for {trouble.why}")
        return False
    return True


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(jar: str, *, wanted: str, found: str) -> Trouble:
    return Trouble(
        f"{jar} is not the jar that is pinned: wanted {wanted}, found {found}",
        mend="look at where Maven fetches from; if its own cache (~/.m2) holds a damaged file, delete that",
    )
