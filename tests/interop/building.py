"""Making a program in Java: its jars from Maven, held against their pins, and its sources compiled, once each."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from msgkit.testing.brokers import Unavailable
from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install.jars import verify
from msgkit.testing.brokers.install.java import java
from msgkit.testing.brokers.install.locks import locked
from msgkit.testing.brokers.install.packages import JAVA, installing
from msgkit.testing.brokers.install.running import program, run
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["command"]

_ROOT = Path(__file__).parents[2]
#: What all programs have.
_SHARED = sorted(Path(__file__).parent.glob("java/**/*.java"))
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_SMALL = ("-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def command(name: str, folder: Path, *, main: str = "shop.Program", options: Sequence[str] = _SMALL) -> Sequence[str]:
    """Return the words that run a program, which is made before when it is not in the cache. Blocks.

    Its folder holds a `pom.xml`, the checksums of the jars that this asks for, and sources beside the shared ones.

    :param main: its class, of the sources or of a jar
    :param options: what the Java is told before that
    :raises Unavailable: when there is no Java or no Maven, or Maven cannot fetch the jars
    :raises Trouble: when a jar is not the one that is pinned, or the sources do not compile
    """
    jre = java()
    if jre is None:
        msg = f"the program {name} needs Java: {installing([JAVA])}"
        raise Unavailable(msg)
    pom, pins, sources = folder / "pom.xml", folder / "jars.sha256", [*_SHARED, *sorted(folder.glob("src/**/*.java"))]
    with locked(name, _say_nothing):
        jars = _made(cache() / "jars" / f"{name}-{_digest(pom, pins)}", lambda made: _fetch(name, pom, pins, made))
        classes = _made(
            cache() / "classes" / f"{name}-{_digest(pom, *sources)}", lambda made: _compile(jre, jars, sources, made)
        )
    return (str(jre), *options, "-cp", f"{classes}:{jars}/*", main)


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that is whole as soon as it is there."""
    if not folder.is_dir():
        scratch = folder.with_name(f".{folder.name}.part")
        # What an earlier run left that was ended in the middle.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            make(scratch)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _fetch(name: str, pom: Path, pins: Path, folder: Path) -> None:
    maven = program("mvn")
    if maven is None:
        msg = f"the jars of the program {name} are fetched by Maven: {installing(['maven'])}"
        raise Unavailable(msg)
    try:
        run(maven, "-q", "-B", "-f", pom, _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}", mend="")
    except Trouble as trouble:
        msg = f"the jars of the program {name} could not be fetched: {trouble.why}"
        raise Unavailable(msg) from trouble
    verify(folder, {jar: checksum for checksum, jar in map(str.split, pins.read_text().splitlines())})


def _compile(jre: Path, jars: Path, sources: Sequence[Path], folder: Path) -> None:
    (compiler,) = jars.glob("ecj-*.jar")
    libraries = ":".join(str(jar) for jar in sorted(jars.glob("*.jar")))
    options = ("-17", "-proc:none", "-encoding", "UTF-8", "-cp", libraries, "-d", folder)
    run(jre, "-jar", compiler, *options, *sources, mend="mend its sources")


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"\n{file.relative_to(_ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _say_nothing(line: str) -> None:
    """A test has nobody to tell what it waits for."""
