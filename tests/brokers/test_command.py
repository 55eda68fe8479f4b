import asyncio
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from msgkit.testing.brokers import Unavailable
from msgkit.testing.brokers.command import main
from msgkit.testing.brokers.install import distributions
from msgkit.testing.brokers.install.distributions import DISTRIBUTIONS, PINS
from msgkit.testing.brokers.install.installing import wishes
from msgkit.testing.brokers.install.recipes import NEWER
from tests.brokers import toys
from tests.brokers.requiring import unavailable

NOBODY = "tcp://127.0.0.1:9"
RUN = (sys.executable, "-m", "msgkit.testing.brokers")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(more or {})}


@pytest.fixture(autouse=True)
def _nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MSGKIT_TEST_") and name != "MSGKIT_TEST_REQUIRE"]:
        if name != "MSGKIT_TEST_CACHE":
            monkeypatch.delenv(name)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it, for somebody who is not root; its Kafka is a toy that Maven can bring."""
    toys.lay_out(tmp_path)
    toys.use(tmp_path, monkeypatch)
    (tmp_path / "pins" / "toy-1.0.0.sha256").rename(tmp_path / "pins" / "kafka-1.0.0.sha256")
    shutil.copy(PINS / "rocketmq-5.3.3.sha256", tmp_path / "pins")
    monkeypatch.setitem(DISTRIBUTIONS, "kafka", DISTRIBUTIONS["toy"])
    distributions.pins.cache_clear()
    for name in ("apt-get", "java"):
        (tmp_path / "programs" / name).write_text("#!/bin/sh\necho 'openjdk version \"21\"'\n")
        (tmp_path / "programs" / name).chmod(0o755)
    for name in ("cp", "mkdir", "sh"):
        (tmp_path / "programs" / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setattr("msgkit.testing.brokers.install.running._SYSTEM", ())
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


# -- install


def test_what_was_had_is_told_and_the_code_is_0(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "kafka", "--provider", "process"]) == 0
    first = capsys.readouterr().out
    assert "  Toy 1.0.0: 2 jars, by Maven: done in " in first
    assert f"Kafka           process    yes  kafka-1.0.0, run by {bare / 'programs' / 'java'}\n" in first
    assert main(["install", "kafka", "--provider", "process"]) == 0
    again = capsys.readouterr().out
    assert again.startswith("  Toy 1.0.0: its jars are in the cache\n")
    assert f"; the cache in {bare / 'cache'} takes 0 MB\n" in again


def test_what_was_not_had_is_told_with_what_mends_it_and_the_code_is_1(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare / "toys" / "wheel-2.jar").write_bytes(b"damaged")
    assert main(["install"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert f"RabbitMQ        container  no   the container engine at {NOBODY} does not answer" in out
    assert "RabbitMQ        process    no   missing: rabbitmq-server; only root can install packages" in out
    assert "                                -> sudo apt-get install --no-install-recommends rabbitmq-server" in out
    assert "Kafka           container  no   for the same reason" in out
    (jars,) = [line for line in out if line.startswith("Kafka           process")]
    assert "no   wheel-2.jar is not the jar that is pinned: wanted ddc87a2507e7" in jars


def test_one_thing_that_fails_is_not_the_end_of_the_others(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "rabbitmq", "kafka", "--provider", "process"]) == 1
    out = capsys.readouterr().out
    assert "RabbitMQ        process    no " in out
    assert "Kafka           process    yes" in out
    assert bare.exists()


def test_newer_ones_are_wanted_beside_the_usual_ones_where_there_are_any() -> None:
    wanted = wishes(["rabbitmq", "kafka"], ["container", "process"], newer=True)
    assert [(wish.name, wish.provider, wish.version) for wish in wanted] == [
        ("rabbitmq", "container", None),
        ("rabbitmq", "process", None),
        ("kafka", "container", None),
        ("kafka", "process", None),
        ("rabbitmq", "container", NEWER["rabbitmq"]),
        ("kafka", "container", NEWER["kafka"]),
        ("kafka", "process", NEWER["kafka"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["install", "zeromq"], "'zeromq' is none of rabbitmq, kafka, rocketmq"),
        (["install", "--provider", "external"], "invalid choice: 'external'"),
        (["install", "--images", "/nowhere"], "/nowhere holds no recipes of images"),
        (["up"], "the following arguments are required: BROKER"),
        ([], "the following arguments are required: command"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert told in capsys.readouterr().err


async def test_sigterm_ends_an_installation_like_ctrl_c(bare: Path) -> None:
    door = bare / "toys.door"
    os.mkfifo(door)
    program = "import sys; from tests.brokers.test_command import installing; sys.exit(installing(sys.argv[1]))"
    async with asyncio.timeout(60):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, bare, stdout=PIPE, env=environment({"PATH": os.defpath})
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"  Toy 1.0.0: 2 jars, by Maven ...\n"
        # Maven is at its door, and comes to no good.
        with await asyncio.to_thread(door.open, "w"):
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 130
    assert list((bare / "cache" / "jars").iterdir()) == []


def installing(folder: str) -> int:
    """Install the toy, in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        toys.use(Path(folder), patch)
        patch.setitem(DISTRIBUTIONS, "kafka", DISTRIBUTIONS["toy"])
        return main(["install", "kafka", "--provider", "process"])


# -- status


def test_the_status_tells_of_each_broker_by_each_provider(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSGKIT_TEST_RABBITMQ_URL", "amqp://me:secret@broker.example/")
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    for line in (
        "RabbitMQ  external   yes  what MSGKIT_TEST_RABBITMQ_URL names",
        f"RabbitMQ  container  no   the container engine at {NOBODY} does not answer",
        "RabbitMQ  process    no   there is no rabbitmq-server",
        "                          -> sudo apt-get install --no-install-recommends rabbitmq-server",
        "Kafka     external   no   MSGKIT_TEST_KAFKA_URL is not set",
        "Kafka     process    no   its jars are not in the cache",
        "                          -> python -m msgkit.testing.brokers install kafka --provider process",
        "RocketMQ  container  no   for the same reason",
    ):
        assert f"{line}\n" in out
    assert "secret" not in out
    assert not (bare / "toys.runs").exists()


def test_what_needs_the_extra_says_so() -> None:
    program = (
        "import sys; sys.modules['docker'] = None; from msgkit.testing.brokers.command import main; sys.exit(main())"
    )
    for command in ("status", "install"):
        ran = subprocess.run(
            [sys.executable, "-c", program, command], check=False, capture_output=True, text=True, env=environment()
        )
        assert ran.returncode == 2
        assert ran.stderr == "docker is missing: pip install 'msgkit-messaging[testing]'\n"


# -- up


def test_a_version_is_of_one_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "rabbitmq", "kafka", "--version", "4"]) == 2
    assert capsys.readouterr().err == "--version is of one broker, and several are named\n"


def test_a_broker_that_cannot_be_had_is_told_of(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "kafka", "--provider", "process"]) == 1
    assert "the jars of version 1.0.0 are not in the cache" in capsys.readouterr().err
    assert bare.exists()


@asynccontextmanager
async def up(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *RUN, "up", *arguments, stdout=PIPE, stderr=PIPE, env=environment(env)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    """Return the line of a broker, or skip the test where it cannot be had."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stdout.readline(), 120)
    if not line:
        unavailable("rabbitmq", Unavailable((await process.stderr.read()).decode()))
    return line.decode()


async def listens(url: str) -> bool:
    host, _, port = url.rpartition("@")[2].strip("/").partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.broker
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
async def test_a_broker_is_up_until_it_is_told_to_end(end: signal.Signals) -> None:
    async with up("rabbitmq") as process:
        line = await line_of(process)
        assert line.startswith("MSGKIT_URL=amqp://guest:guest@127.0.0.1:")
        assert line.rstrip().endswith(("container", "process"))
        assert "   # RabbitMQ " in line
        url = line.partition("=")[2].split()[0]
        assert await listens(url)
        process.send_signal(end)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert not await listens(url)


@pytest.mark.broker
async def test_the_password_of_somebody_elses_broker_is_not_printed() -> None:
    async with up("rabbitmq") as first:
        url = (await line_of(first)).partition("=")[2].split()[0]
        async with up("rabbitmq", "--provider", "external", env={"MSGKIT_TEST_RABBITMQ_URL": url}) as second:
            line = await line_of(second)
    assert line.startswith("MSGKIT_URL=$MSGKIT_TEST_RABBITMQ_URL   # RabbitMQ ")
    assert line.endswith(", external\n")


@pytest.mark.broker
async def test_when_one_of_several_cannot_be_had_none_is_left_up() -> None:
    none = {"MSGKIT_TEST_CACHE": "/nonexistent"}
    async with up("rabbitmq", "kafka", "--provider", "process", env=none) as process:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert b"no Kafka can be had here" in err
    assert out.count(b"MSGKIT_URL") <= 1
