import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from msgkit import Application, Exchange, Queue
from msgkit.cli import main
from msgkit.cli.loading import load_application
from msgkit.cli.planning import plan_lines
from msgkit.errors import ConfigurationError
from msgkit.spi import Power
from tests.core.workshop import Place, narrow

pytestmark = pytest.mark.usefixtures("folder")

SHOP = """
from msgkit import Application, Exchange, Queue, listener

orders = Exchange("orders", int)
billing = orders.queue("billing")

@listener(billing)
async def bill(number: int) -> None: ...

app = Application([bill])
"""


# -- what is named


@pytest.mark.parametrize("reference", ["shop", "shop:app", "shop.py", "shop.py:app", "./shop.py", "inner.shop:app"])
def test_an_application_is_named_by_its_module_or_its_file(reference: str, folder: Path) -> None:
    (folder / "inner").mkdir()
    for place in (folder, folder / "inner"):
        (place / "shop.py").write_text(SHOP)
    assert [queue.name for queue in load_application(reference).queues] == ["billing"]


def test_a_function_that_returns_an_application_is_called(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP + "\ndef make(): return app\nclass Inner:\n    made = staticmethod(make)\n")
    assert load_application("shop:make") is load_application("shop:Inner.made") is load_application("shop:app")


def test_what_stands_beside_a_file_can_be_imported_by_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "shop.py").write_text("from shop_queues import *\n" + SHOP)
    (folder / "inner" / "shop_queues.py").write_text("name = 1\n")
    monkeypatch.chdir("/")
    assert load_application(str(folder / "inner" / "shop.py")).queues


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        ("shop", None, "there is no module 'shop' in {folder} or among what is installed"),
        ("shop.inner:app", SHOP, "there is no module 'shop.inner' in {folder} or among what is installed"),
        ("shop.py", None, "there is no file 'shop.py'"),
        ("elsewhere/shop.py:app", SHOP, "there is no file 'elsewhere/shop.py'"),
        ("shop:ap", SHOP, "shop:ap is no Application, and no function that returns one"),
        ("shop:orders", SHOP, "shop:orders is no Application, and no function that returns one"),
        (
            "shop:main",
            SHOP + "async def main(): ...",
            "shop:main is no Application, and no function that returns one",
        ),
        ("shop:app.missing", SHOP, "shop:app.missing is no Application, and no function that returns one"),
        ("shop", "", "shop has none at its top level; name one: shop:app"),
        (
            "shop.py",
            SHOP + "other = Application([bill])",
            "shop has several (app, other) at its top level; name one: shop:app",
        ),
        (
            "shop",
            SHOP + "other = Application([bill])",
            "shop has several (app, other) at its top level; name one: shop:app",
        ),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["plan"], ["prune"], ["seek", "billing", "earliest"]])
def test_what_names_no_application_ends_with_2_and_says_why(
    command: list[str], reference: str, code: str | None, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if code is not None:
        (folder / "shop.py").write_text(code)
    assert main([command[0], reference, *command[1:]]) == 2
    assert capsys.readouterr().err == f"msgkit: {said.format(folder=folder)}\n"


def test_a_name_that_two_names_have_is_one_application(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP + "application = app\n")
    assert load_application("shop") is load_application("shop:app")


def test_what_is_missing_inside_of_a_module_is_not_taken_for_the_module(folder: Path) -> None:
    (folder / "shop.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        load_application("shop")


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["start", "shop"], ["plan", "shop", "more"], ["--log-level", "x", "plan", "shop"]]
)
def test_what_is_no_command_line_ends_with_2_and_shows_how(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: msgkit ")


# -- plans


def plan(folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch, code: str = SHOP, command: str = "plan") -> int:
    (folder / "shop.py").write_text(code)
    monkeypatch.setenv("MSGKIT_URL", place.url)
    return main([command, "shop.py"])


def test_a_plan_of_what_is_not_there_yet_ends_with_1_and_makes_nothing(
    folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, place, monkeypatch) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "broker 'default': memory"
    assert "  + create   queue billing" in lines
    assert "  + create   exchange orders: kind='topic'" in lines
    assert f"    {'delay=':<50} native" in lines
    assert place.is_untouched


def test_a_plan_of_what_is_there_ends_with_0(
    folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_text(SHOP)

    async def declare() -> None:
        async with Application([], topology=[Exchange("orders", int).queue("billing")], settings=place.settings()):
            pass

    asyncio.run(declare())
    assert plan(folder, place, monkeypatch) == 0
    assert "    exists   queue billing" in capsys.readouterr().out.splitlines()


def test_a_plan_of_what_is_stale_ends_with_1_and_pruning_takes_it_away(
    folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def declare() -> None:
        topology = [Exchange("orders", int).queue("billing", pattern) for pattern in ("old",)]
        async with Application([], topology=topology, settings=place.settings()):
            pass

    asyncio.run(declare())
    assert plan(folder, place, monkeypatch) == 1
    out = capsys.readouterr().out
    assert "  - stale    " in out
    assert "  + create   " in out
    assert plan(folder, place, monkeypatch, command="prune") == 0
    assert plan(folder, place, monkeypatch) == 0


def test_a_broker_that_cannot_prune_ends_with_2_and_says_why(
    folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_text(SHOP)
    monkeypatch.setenv("MSGKIT_URL", narrow(place, Power.PRUNE))
    assert main(["prune", "shop.py"]) == 2
    assert capsys.readouterr().err == (
        "msgkit: pruning broker 'default' asks for prune stale routes, which memory cannot do: "
        "it was taken away; use a broker that has it\n"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MSGKIT_URL", "nowhere://host", "msgkit: no binding serves 'nowhere://host'; the known ones are "),
        ("MSGKIT_DRIAN", "5", "msgkit: "),
        ("MSGKIT_QUEUES__BILING__CONCURRENCY", "5", "msgkit: "),
    ],
)
def test_a_plan_that_cannot_be_made_ends_with_2_and_says_why(
    variable: str,
    value: str,
    said: str,
    folder: Path,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    (folder / "shop.py").write_text(SHOP)
    if variable != "MSGKIT_URL":
        monkeypatch.setenv("MSGKIT_URL", place.url)
    assert main(["plan", "shop"]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_a_broker_that_cannot_be_reached_ends_with_2_and_says_so(
    folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.broker.faults.stop()
    monkeypatch.setenv("MSGKIT_WAIT_FOR_BROKER", "0")
    assert plan(folder, place, monkeypatch) == 2
    assert capsys.readouterr().err.startswith("msgkit: BrokerUnavailable: ")


def test_a_plan_says_what_the_broker_can_do(place: Place) -> None:
    async def lines() -> list[str]:
        app = Application([], topology=[Queue("q")], settings=place.settings(url=narrow(place)))
        return list(plan_lines(await app.plan()))

    shown = asyncio.run(lines())
    assert "    outlives a restart                                 no" in shown
    assert "    shared by                                          one process" in shown
    assert "    ordered queues                                     by key" in shown


# -- running

SERVICE = """
import asyncio, os, time
from msgkit import Application, Backoff, Queue, Settings, listener

jobs = Queue("jobs", float)

@listener(jobs, concurrency=2)
{kind} work(seconds: float) -> None:
    os.write(1, b"begun\\n")
    {wait}(seconds)
    os.write(1, b"done\\n")

class Service(Application):
    async def __aenter__(self):
        await super().__aenter__()
        await self.template.send_many(jobs, {seconds})
        return self

    async def __aexit__(self, *exc):
        await super().__aexit__(*exc)
        print("left", flush=True)

app = Service([work], settings=Settings(url="memory://service", drain=20))
"""


@asynccontextmanager
async def service(folder: Path, seconds: list[float], *, in_threads: bool) -> AsyncGenerator[Process]:
    """Run a service by the command line, from when its handlers have begun."""
    kind, wait = ("def", "time.sleep") if in_threads else ("async def", "await asyncio.sleep")
    (folder / "service.py").write_text(SERVICE.format(kind=kind, wait=wait, seconds=seconds))
    command = (sys.executable, "-m", "msgkit.cli", "run", "service:app")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(30):
            for _ in seconds:
                assert await line(process) == "begun"
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def end(process: Process) -> tuple[int | None, list[str], str]:
    out, error = await process.communicate()
    return process.returncode, out.decode().split(), error.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("in_threads", [False, True])
async def test_at_a_signal_what_runs_finishes_and_the_program_ends_well(
    number: signal.Signals,
    in_threads: bool,  # noqa: FBT001 -- a parameter of a test
    folder: Path,
) -> None:
    async with service(folder, [0.5, 0.5], in_threads=in_threads) as process:
        process.send_signal(number)
        code, out, error = await end(process)
    assert (code, out) == (0, ["done", "done", "left"])
    assert f"{number.name}: finishing what runs" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("in_threads", [False, True])
async def test_at_a_second_signal_the_program_ends_at_once(
    number: signal.Signals,
    in_threads: bool,  # noqa: FBT001 -- a parameter of a test
    folder: Path,
) -> None:
    async with service(folder, [15.0], in_threads=in_threads) as process:
        process.send_signal(number)
        assert process.stderr is not None
        while b"finishing what runs" not in await process.stderr.readline():
            pass
        start = time.monotonic()
        process.send_signal(number)
        code, out, error = await end(process)
        assert time.monotonic() - start < 5
    assert code == 128 + number
    assert "done" not in out
    assert f"{number.name} again: stopping at once" in error
    assert "Traceback" not in error


async def test_a_service_that_cannot_start_ends_with_2_and_without_a_traceback(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP)
    command = (sys.executable, "-m", "msgkit.cli", "run", "shop")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MSGKIT_URL": "nowhere://host"}
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE)
    code, _, error = await end(process)
    assert code == 2
    assert "msgkit: no binding serves 'nowhere://host'" in error
    assert "Traceback" not in error


def test_a_configuration_error_is_what_the_loader_raises() -> None:
    with pytest.raises(ConfigurationError):
        load_application("nothing_of_this_name")
