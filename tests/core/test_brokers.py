import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from msgkit import Application, MessageTemplate, Queue, Settings, listener
from msgkit.brokers import Links, binding_for, register_binding
from msgkit.clock import SYSTEM
from msgkit.errors import BrokerUnavailable, Closed, ConfigurationError
from msgkit.spi import BindingOptions, Capabilities, Event
from msgkit_memory import Broker, MemoryBinding
from tests.core.workshop import Place, refusal_at_start

jobs = Queue("jobs", int)
ENTRY_POINTS = distribution("msgkit-messaging").entry_points
PROGRAM = """
import asyncio, sys
from msgkit import Application, Queue, Settings, listener
from msgkit.errors import ConfigurationError

@listener(Queue("jobs", int))
async def handle(number: int) -> None: ...

async def main() -> None:
    try:
        async with Application([handle], settings=Settings(url=sys.argv[1])):
            print("started")
    except ConfigurationError as error:
        print(error)

asyncio.run(main())
"""


# -- which binding


async def test_a_scheme_that_nobody_serves_is_refused_with_those_that_are_known(place: Place) -> None:
    @listener(jobs)
    async def handle(number: int) -> None:
        raise AssertionError(number)

    said = await refusal_at_start(ConfigurationError, place, [handle], url="rabitmq://user:secret@host/")
    assert said.startswith("no binding serves 'rabitmq://user:***@host/'; the known ones are ")
    assert "memory://" in said.split("; ")[1]
    assert "secret" not in said


@pytest.mark.parametrize("url", ["://host", "memory", "memory:", "", " memory://", "memory://\n"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a URL such as memory:// or "):
        Settings(url=url)


def test_a_scheme_is_taken_in_any_case() -> None:
    assert binding_for("Memory://x") is MemoryBinding


def test_a_binding_that_no_package_offers_can_be_registered(place: Place) -> None:
    class Ours(MemoryBinding):
        """Ours alone."""

    register_binding("ours", Ours)
    assert binding_for("ours://x") is Ours
    with pytest.raises(ConfigurationError, match="ours://"):
        binding_for("theirs://x")
    assert place.is_untouched


def offer(folder: Path, name: str, value: str, code: str) -> None:
    """Put into a folder what an installed distribution of ours would be, with one more binding."""
    info = folder / "msgkit_messaging-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: msgkit-messaging\nVersion: 9\n")
    lines: list[str] = []
    for group in sorted({point.group for point in ENTRY_POINTS}):
        lines.append(f"[{group}]")
        lines += [f"{point.name} = {point.value}" for point in ENTRY_POINTS if point.group == group]
        lines += [f"{name} = {value}"] if group == "msgkit.bindings" else []
    (info / "entry_points.txt").write_text("\n".join(lines))
    (folder / "msgkit_elsewhere.py").write_text(code)


def started_with(folder: Path, url: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-c", PROGRAM, url]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (
            "msgkit_elsewhere:Binding [else]",
            "import elsewhere_client",
            "elsewhere:// needs the package 'elsewhere_client'; run: pip install 'msgkit-messaging[else]'",
        ),
        (
            "msgkit_elsewhere:Binding",
            "from elsewhere.client import Client",
            "elsewhere:// needs the package 'elsewhere'; run: pip install 'msgkit-messaging[elsewhere]'",
        ),
        ("msgkit_elsewhere:Binding", "from msgkit_memory import MemoryBinding as Binding", None),
    ],
    ids=["with an extra of its own", "with the extra of its scheme", "installed"],
)
def test_a_binding_whose_client_library_is_missing_says_what_to_install(
    value: str, code: str, said: str | None, tmp_path: Path
) -> None:
    offer(tmp_path, "elsewhere", value, code)
    output = started_with(tmp_path, "elsewhere://host")
    if said is None:
        assert output == "memory:// is not for URLs of the scheme 'elsewhere'"
    else:
        assert output == said


def test_a_scheme_that_is_offered_is_among_those_that_are_known(tmp_path: Path) -> None:
    offer(tmp_path, "elsewhere", "msgkit_elsewhere:Binding [else]", "import elsewhere_client")
    said = started_with(tmp_path, "nowhere://host")
    assert said.startswith("no binding serves 'nowhere://host'; the known ones are ")
    assert "elsewhere://, " in said


# -- connecting


class Counted(MemoryBinding):
    """Counts its connections, and takes its time over each; some fail."""

    connections = 0
    failures = 0

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        Counted.connections += 1
        await asyncio.sleep(0.01)
        if Counted.failures:
            Counted.failures -= 1
            msg = "it is not there yet"
            raise BrokerUnavailable(msg)
        return await super().connect(on_event)


@pytest.fixture
def counted(place: Place) -> str:
    def make(options: BindingOptions) -> Counted:
        return Counted(BindingOptions(url=place.url, name=options.name))

    register_binding("counted", make)
    Counted.connections = Counted.failures = 0
    return "counted://"


async def test_many_who_use_a_broker_first_at_once_connect_once(counted: str) -> None:
    links = Links(Settings(url=counted), SYSTEM)
    first, *others = await asyncio.gather(*(links.get("default") for _ in range(50)))
    assert all(link is first for link in others)
    assert Counted.connections == 1
    assert first.connected
    await links.close(1)


async def test_many_sends_at_once_through_a_new_template_connect_once(counted: str, place: Place) -> None:
    async with place.template(jobs), MessageTemplate(Settings(url=counted)) as template:
        await asyncio.gather(*(template.send(jobs, number) for number in range(50)))
        assert Counted.connections == 1
        assert place.waiting == 50


async def test_whoever_comes_after_a_connection_that_failed_tries_again(counted: str) -> None:
    links = Links(Settings(url=counted), SYSTEM)
    Counted.failures = 1
    results = await asyncio.gather(*(links.get("default") for _ in range(3)), return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["BrokerUnavailable", "Link", "Link"]
    assert Counted.connections == 2
    await links.close(1)


async def test_one_broker_is_connected_while_another_is_not(counted: str, place: Place) -> None:
    brokers: dict[str, Any] = {"slow": {"url": counted}}
    links = Links(place.settings(brokers=brokers), SYSTEM)
    assert [link.broker.name for link in links] == []
    await links.get("default")
    assert [link.broker.name for link in links] == ["default"]
    assert Counted.connections == 0
    await links.close(1)


async def test_links_that_are_closed_connect_no_more(place: Place) -> None:
    links = Links(place.settings(), SYSTEM)
    await links.get("default")
    await links.close(1)
    with pytest.raises(Closed) as caught:
        await links.get("default")
    assert str(caught.value) == "the connection to broker 'default' is closed"


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_closing_that_is_cancelled_lets_go_of_every_broker_all_the_same(turns: int, place: Place) -> None:
    brokers: Any = {"other": {"url": f"{place.url}-other?transient=true"}}
    links = Links(place.settings(brokers=brokers), SYSTEM)
    for name in ("default", "other"):
        await links.get(name)
    other = Broker.at(f"{place.url}-other")
    closing = asyncio.create_task(links.close(5))
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    # One that was cancelled before it began has closed nothing, and is asked again.
    await links.close(5)
    assert not place.broker.clients
    assert not other.clients


async def test_a_broker_that_nobody_chose_is_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MSGKIT_URL", raising=False)
    async with Application([], topology=[jobs]):
        pass
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.message == (
        "no broker was chosen, so messages are kept in this process only and end with it; "
        "set MSGKIT_URL (memory:// says that this is meant)"
    )
    caplog.clear()
    monkeypatch.setenv("MSGKIT_URL", "memory://chosen?transient=true")
    async with Application([], topology=[jobs]):
        pass
    assert caplog.records == []
