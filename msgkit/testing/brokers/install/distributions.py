"""What the brokers in Java consist of: which versions, and which jars with which checksums."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from msgkit.errors import ConfigurationError

__all__ = ["DISTRIBUTIONS", "PINS", "Distribution", "matches", "pins"]

#: A file for each version, a line for each jar: its SHA-256, two blanks, its name.
PINS = Path(__file__).parent / "pins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A broker as the repositories of Maven have it."""

    title: str
    group: str
    artifacts: tuple[str, ...]
    #: What comes along: group, artifact, version.
    along: tuple[tuple[str, str, str], ...] = ()
    #: Those that are pinned, the default first.
    versions: tuple[str, ...]

    def pinned(self, version: str | None) -> str | None:
        """Return the pinned version that is meant, as 4.1.0 is by 4.1 and by none at all."""
        if version is None:
            return self.versions[0]
        return next((each for each in self.versions if matches(each, version)), None)

    def pom(self, version: str) -> str:
        """Return the project that depends on this distribution and on nothing else."""
        own = [(self.group, artifact, version) for artifact in self.artifacts]
        return _POM.format(
            dependencies="".join(
                _DEPENDENCY.format(group=group, artifact=artifact, version=version)
                for group, artifact, version in [*own, *self.along]
            )
        )


DISTRIBUTIONS: dict[str, Distribution] = {
    "kafka": Distribution(
        title="Kafka",
        group="org.apache.kafka",
        artifacts=("kafka_2.13",),
        # Without it a Kafka says nothing of itself.
        along=(("org.slf4j", "slf4j-simple", "1.7.36"),),
        versions=("4.1.0", "4.3.1"),
    ),
    "rocketmq": Distribution(
        title="RocketMQ",
        group="org.apache.rocketmq",
        artifacts=("rocketmq-namesrv", "rocketmq-broker", "rocketmq-tools"),
        versions=("5.3.3", "5.5.0"),
    ),
}


def matches(full: str, asked: str) -> bool:
    """Is a version the one that was asked for, perhaps by its beginning?"""
    return f"{full}.".startswith(f"{asked}.")


@cache
def pins(name: str, version: str) -> Mapping[str, str]:
    """Return the checksum of each jar of a pinned version."""
    file = PINS / f"{name}-{version}.sha256"
    if not file.is_file():
        raise ConfigurationError(f"{name} {version} is not pinned: there is no {file.name}")
    lines = (line.split() for line in file.read_text().splitlines() if line)
    return {jar: checksum for checksum, jar in lines}


_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>msgkit</groupId>
  <artifactId>jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>{dependencies}
  </dependencies>
</project>
"""

_DEPENDENCY = """
    <dependency>
      <groupId>{group}</groupId>
      <artifactId>{artifact}</artifactId>
      <version>{version}</version>
    </dependency>"""
