"""Folders with tests of somebody's own, run by pytest in a process of its own as he would run them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree as ET

__all__ = ["SERVICE", "STAND_IN", "Outcome", "Scratch"]

_REPORT = "report.xml"

#: A service, and all that most tests of it need.
SERVICE = """
import pytest

from msgkit import Application, Backoff, MessageTemplate, Queue, Settings, listener
from msgkit.testing.plugin import ProbeApp

jobs = Queue("jobs", int)


@listener(jobs, retry=Backoff(attempts=2, first=0.2, jitter=0))
async def work(number: int) -> None:
    if number < 0:
        raise ValueError("negative")


app = Application([work])
"""

#: What stands in for the package of real brokers: RabbitMQ is a `memory://` in real time whose life is written down,
#: and of the others there is none.
STAND_IN = """
import sys
from pathlib import Path
from types import ModuleType

from msgkit.errors import ConfigurationError, MessagingError

LIFE = Path(__file__).with_name("life.txt")


class Unavailable(MessagingError):
    pass


class Proxy:
    async def heal(self):
        lives("heal")


class Node:
    def __init__(self, proxied):
        self.proxied = proxied

    @property
    def proxy(self):
        if self.proxied:
            return Proxy()
        raise ConfigurationError("there is no proxy")


def lives(how):
    with LIFE.open("a") as life:
        print(how, file=life)


class RabbitMQ:
    name = "rabbitmq"
    url = "memory://stand-in"
    nodes = (Node(proxied=True), Node(proxied=False))

    def __init__(self, **options):
        self.options = options

    async def __aenter__(self):
        lives("started")
        return self

    async def __aexit__(self, *exc):
        lives("ended")

    async def log(self):
        return "-- one\\n" + "\\n".join(f"line {number}" for number in range(100))

    async def start(self):
        lives("start")

    async def resume(self):
        lives("resume")

    async def kill(self):
        lives("kill")


class Kafka(RabbitMQ):
    name = "kafka"

    async def __aenter__(self):
        raise Unavailable("no Kafka can be had here\\n  process: there is no Java: fetch one")


class RocketMQ(Kafka):
    name = "rocketmq"


brokers = ModuleType("msgkit.testing.brokers")
for kind in (RabbitMQ, Kafka, RocketMQ, Unavailable):
    setattr(brokers, kind.__name__, kind)
sys.modules[brokers.__name__] = brokers
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of pytest ended, and each of its tests; `error` is a failure in a fixture."""

    code: int
    text: str
    tests: dict[str, str]


class Scratch:
    """An empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, *texts: str) -> None:
        (self.folder / name).write_text("\n".join(dedent(text) for text in texts))

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def run(self, *arguments: str, **environment: str) -> Outcome:
        """Run pytest there, knowing nothing of this run's settings."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MSGKIT_", "PYTEST_"))}
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={_REPORT}", *arguments],
            cwd=self.folder,
            env={**plain, **environment},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        report = self.read(_REPORT)
        return Outcome(ran.returncode, ran.stdout, dict(_results(report)) if report else {})


def _results(report: str) -> Iterator[tuple[str, str]]:
    for test in ET.fromstring(report).iter("testcase"):  # noqa: S314 -- pytest wrote it
        ends = [end.tag for end in test if end.tag in {"failure", "error", "skipped"}]
        yield test.attrib["name"], ends[0] if ends else "passed"
