"""Making the Spring program: its jars from Maven, held against their pins, and its sources compiled, once each."""

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

_HERE = Path(__file__).parent
_POM, _PINS = _HERE / "pom.xml", _HERE / "jars.sha256"
_SOURCES = sorted(_HERE.glob("src/main/java/**/*.java"))
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_SMALL = ("-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def command() -> Sequence[str]:
    """Return the words that run the program, which is made before when it is not in the cache. Blocks.

    :raises Unavailable: when there is no Java or no Maven, or Maven cannot fetch the jars
    :raises Trouble: when a jar is not the one that is pinned, or the sources do not compile
    """
    jre = java()
    if jre is None:
        msg = f"the Spring program needs Java: {installing([JAVA])}"
        raise Unavailable(msg)
    with locked("spring", _say_nothing):
        jars = _made(cache() / "jars" / f"spring-{_digest(_POM, _PINS)}", _fetch)
        classes = _made(
            cache() / "classes" / f"spring-{_digest(_POM, *_SOURCES)}", lambda folder: _compile(jre, jars, folder)
        )
    return (str(jre), *_SMALL, "-cp", f"{classes}:{jars}/*", "shop.Program")


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


def _fetch(folder: Path) -> None:
    maven = program("mvn")
    if maven is None:
        msg = f"the jars of the Spring program are fetched by Maven: {installing(['maven'])}"
        raise Unavailable(msg)
    try:
        run(maven, "-q", "-B", "-f", _POM, _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}", mend="")
    except Trouble as trouble:
        msg = f"the jars of the Spring program could not be fetched: {trouble.why}"
        raise Unavailable(msg) from trouble
    verify(folder, {jar: checksum for checksum, jar in map(str.split, _PINS.read_text().splitlines())})


def _compile(jre: Path, jars: Path, folder: Path) -> None:
    (compiler,) = jars.glob("ecj-*.jar")
    libraries = ":".join(str(jar) for jar in sorted(jars.glob("*.jar")))
    options = ("-17", "-proc:none", "-encoding", "UTF-8", "-cp", libraries, "-d", folder)
    run(jre, "-jar", compiler, *options, *_SOURCES, mend="mend the sources of the Spring program")


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"\n{file.relative_to(_HERE)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _say_nothing(line: str) -> None:
    """A test has nobody to tell what it waits for."""
