import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers.cache import cache, disk_used
from msgkit.testing.brokers.install import distributions, jars
from msgkit.testing.brokers.install.distributions import DISTRIBUTIONS, PINS, Distribution
from msgkit.testing.brokers.install.java import java
from msgkit.testing.brokers.trouble import Trouble
from tests.brokers import toys
from tests.brokers.toys import JARS

PROGRAM = Path(toys.__file__)
ROOT = PROGRAM.parent.parent.parent
VERSIONS = [(name, version) for name, distribution in DISTRIBUTIONS.items() for version in distribution.versions]
INSTALL = "msgkit.testing.brokers.install"


class Said(list[str]):
    """What was told on the way."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def toybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Maven finds the jars of the toy, which is all there is, with a cache that is empty."""
    box = toys.lay_out(tmp_path)
    toys.use(tmp_path, monkeypatch)
    return box


def runs(box: Path) -> int:
    """Return how often Maven was run."""
    file = Path(f"{box}.runs")
    return len(file.read_text().splitlines()) if file.exists() else 0


# -- the cache


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({"MSGKIT_TEST_CACHE": "/somewhere"}, "/somewhere"),
        ({"MSGKIT_TEST_CACHE": "/somewhere", "XDG_CACHE_HOME": "/xdg"}, "/somewhere"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/msgkit"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/msgkit"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    env: Mapping[str, str], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MSGKIT_TEST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert cache() == Path(where)


def test_what_a_cache_takes_is_told_whether_it_exists_or_not(tmp_path: Path) -> None:
    assert disk_used(tmp_path / "none") == 0
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= disk_used(tmp_path) < 200_000


# -- what is pinned


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_every_jar_of_a_version_is_pinned(name: str, version: str) -> None:
    pinned = distributions.pins(name, version)
    for artifact in DISTRIBUTIONS[name].artifacts:
        assert f"{artifact}-{version}.jar" in pinned
    assert all(jar.endswith(".jar") and re.fullmatch("[0-9a-f]{64}", pin) for jar, pin in pinned.items())


def test_pins_are_of_versions_that_are_listed_and_of_no_others() -> None:
    assert {path.stem for path in PINS.iterdir()} == {f"{name}-{version}" for name, version in VERSIONS}


def test_the_project_for_maven_names_the_version_and_nothing_that_is_found_elsewhere() -> None:
    pom = DISTRIBUTIONS["rocketmq"].pom("5.3.3")
    assert pom.count("<version>5.3.3</version>") == len(DISTRIBUTIONS["rocketmq"].artifacts)
    assert "<artifactId>rocketmq-broker</artifactId>" in pom
    assert "<repositor" not in pom


@pytest.mark.parametrize(
    ("asked", "meant"),
    [(None, "4.1.0"), ("4", "4.1.0"), ("4.1", "4.1.0"), ("4.1.0", "4.1.0"), ("4.10", None), ("3.9", None)],
)
def test_a_version_may_be_told_by_its_beginning(asked: str | None, meant: str | None) -> None:
    kafka = Distribution(title="", group="", artifacts=(), versions=("4.1.0", "4.3.1"))
    assert kafka.pinned(asked) == meant


def test_versions_begin_with_the_default() -> None:
    assert jars.versions("kafka")[0] == "4.1.0"
    assert jars.versions("rocketmq")[0] == "5.3.3"


def test_what_is_not_pinned_is_not_found_and_not_fetched(toybox: Path, said: Said) -> None:
    assert jars.find("toy", "9") is None
    with pytest.raises(ConfigurationError, match=r"Toy 9 .* pinned: 1\.0\.0, 1\.1\.0"):
        jars.fetch("toy", "9", said)
    assert runs(toybox) == 0


# -- fetching


def test_jars_are_fetched_once_and_then_found(toybox: Path, said: Said) -> None:
    assert jars.find("toy") is None
    folder = jars.fetch("toy", None, said)
    assert folder == cache() / "jars" / "toy-1.0.0"
    assert {path.name for path in folder.glob("*.jar")} == JARS.keys()
    assert jars.find("toy", "1.0") == folder
    assert jars.fetch("toy", "1.0.0", said) == folder
    assert runs(toybox) == 1
    assert said[-1] == "Toy 1.0.0: its jars are in the cache"


def damaged(box: Path) -> None:
    (box / "wheel-2.jar").write_bytes(b"what it runs in")


def missing(box: Path) -> None:
    (box / "wheel-2.jar").unlink()


def unknown(box: Path) -> None:
    (box / "stowaway.jar").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (damaged, r"wheel-2.jar is not .* wanted ddc87a2507e7.*, found 0e1bd2b3f5ed"),
        (missing, r"wheel-2.jar is not .* wanted ddc87a2507e7.*, found no such file"),
        (unknown, r"stowaway.jar is not .* wanted no such file, found e3b0c44298fc"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_jars_that_are_not_those_pinned_are_refused_and_not_kept(
    spoil: Callable[[Path], object], told: str, toybox: Path, said: Said
) -> None:
    spoil(toybox)
    with pytest.raises(Trouble, match=told):
        jars.fetch("toy", None, said)
    assert jars.find("toy") is None
    assert list((cache() / "jars").iterdir()) == []


def test_jars_that_changed_in_the_cache_are_fetched_anew(toybox: Path, said: Said) -> None:
    jar = jars.fetch("toy", None, said) / "wheel-2.jar"
    jar.write_bytes(b"half")
    assert jars.find("toy") is None
    jars.fetch("toy", None, said)
    assert jar.read_bytes() == JARS["wheel-2.jar"]
    assert runs(toybox) == 2


def test_a_thorough_look_also_finds_a_change_that_left_the_size_as_it_was(toybox: Path, said: Said) -> None:
    jar = jars.fetch("toy", None, said) / "wheel-2.jar"
    jar.write_bytes(b"what it runs in")
    jars.fetch("toy", None, said)
    assert runs(toybox) == 1
    jars.fetch("toy", None, said, thorough=True)
    assert jar.read_bytes() == JARS["wheel-2.jar"]
    jars.fetch("toy", None, said, thorough=True)
    assert runs(toybox) == 2


@pytest.mark.parametrize("also", [{"axle-3.jar": b"new"}, {"wheel-2.jar": b"what it runs in"}])
def test_new_pins_make_the_old_jars_useless(also: Mapping[str, bytes], toybox: Path, said: Said) -> None:
    jars.fetch("toy", None, said)
    toys.pin(toybox.parent, {**JARS, **also})
    distributions.pins.cache_clear()
    assert jars.find("toy") is None


def test_what_a_killed_run_left_behind_does_not_matter(toybox: Path, said: Said) -> None:
    left = cache() / "jars" / ".toy-1.0.0.part" / "jars"
    left.mkdir(parents=True)
    (left / "half.jar").write_bytes(b"")
    assert jars.fetch("toy", None, said) == jars.find("toy")
    assert not left.parent.exists()
    assert runs(toybox) == 1


def test_the_end_of_what_maven_said_is_told_when_it_fails(toybox: Path, said: Said) -> None:
    Path(f"{toybox}.broken").touch()
    with pytest.raises(Trouble, match="mvn ended with 1:\n    first words\n    no route to the repository"):
        jars.fetch("toy", None, said)
    assert re.fullmatch(r"Toy 1\.0\.0: 2 jars, by Maven: failed after \d\.\d s", said[-1])


def test_without_maven_it_is_said_how_to_get_it(
    toybox: Path, said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "programs" / "mvn").unlink()
    (tmp_path / "programs" / "apt-get").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Trouble) as raised:
        jars.fetch("toy", None, said)
    assert raised.value.why == "missing: maven; only root can install packages"
    assert raised.value.mend == "sudo apt-get install --no-install-recommends maven"
    assert runs(toybox) == 0


async def test_several_processes_fetch_once(toybox: Path) -> None:
    door = Path(f"{toybox}.door")
    os.mkfifo(door)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    async with asyncio.timeout(60):
        first, second = [
            await asyncio.create_subprocess_exec(sys.executable, toys.__file__, toybox.parent, stdout=PIPE, env=env)
            for _ in range(2)
        ]
        assert first.stdout is not None
        assert second.stdout is not None
        # One is at Maven's door, the other waits for it.
        words = [await first.stdout.readline(), await second.stdout.readline()]
        assert sorted(words) == [
            b"Toy 1.0.0: 2 jars, by Maven ...\n",
            b"toy-1.0.0: waiting for another process that is at it\n",
        ]
        await asyncio.to_thread(door.write_text, "go on\n")
        assert [await first.wait(), await second.wait()] == [0, 0]
        said = (await first.stdout.read()) + (await second.stdout.read())
    assert b"Toy 1.0.0: its jars are in the cache\n" in said
    assert runs(toybox) == 1
    assert jars.find("toy") is not None


# -- Java


def java_that_says(folder: Path, line: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{line}' >&2\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("line", "new_enough"),
    [
        ('openjdk version "17.0.15" 2025-04-15', True),
        ('openjdk version "21" 2023-09-19', True),
        ('openjdk version "11.0.2" 2019-01-15', False),
        ('java version "1.8.0_292"', False),
        ("is no Java at all", False),
    ],
)
def test_a_java_is_taken_when_it_is_new_enough(
    line: str, *, new_enough: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = java_that_says(tmp_path, line)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(f"{INSTALL}.java._INSTALLED", tmp_path / "none")
    assert java() == (program if new_enough else None)


def test_the_java_of_java_home_comes_first_then_that_of_the_path_then_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [java_that_says(tmp_path / name, 'openjdk version "21"') for name in ("home", "path", "jvms/other")]
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path}/path/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(f"{INSTALL}.java._INSTALLED", tmp_path / "jvms")
    found = [java()]
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    found.append(java())
    monkeypatch.setenv("PATH", "")
    assert [*found, java()] == programs
