import asyncio
import os
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer

from msgkit.testing.brokers import Broker, Kafka, Provider, RabbitMQ
from tests.brokers.conftest import KINDS, PROVIDERS
from tests.brokers.running import started
from tests.brokers.traces import gone, traces

pytestmark = pytest.mark.broker

OWNER = Path(__file__).with_name("owner.py")
ROOT = Path(__file__).parent.parent.parent
#: How often a broker comes and goes. Fifty times is for those who have half an hour.
ROUNDS = int(os.environ.get("MSGKIT_TEST_ROUNDS", "2"))

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
each_provider = pytest.mark.parametrize("provider", PROVIDERS)


async def owner(kind: type[Broker], provider: Provider) -> tuple[Process, str]:
    """Start a process that has a broker, and return it with the name of the instance."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, OWNER, kind.name, provider, stdout=PIPE, env=environment
    )
    return process, await word(process)


async def word(process: Process) -> str:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 120)
    assert line, "the owner ended"
    return line.decode().strip()


@each_kind
@each_provider
async def test_nothing_is_left_a_minute_after_its_process_was_killed(kind: type[Broker], provider: Provider) -> None:
    process, instance = await owner(kind, provider)
    assert await word(process) == "started"
    assert traces(instance, provider)
    process.kill()
    await process.wait()
    await gone(instance, provider, within=60)


@each_kind
@each_provider
@pytest.mark.parametrize("after", [0.1, 0.5, 1.5])
async def test_nothing_is_left_when_its_process_was_killed_while_it_started(
    kind: type[Broker], provider: Provider, after: float
) -> None:
    process, instance = await owner(kind, provider)
    # However far it has come by then: each moment is one in which people press Ctrl-C twice.
    await asyncio.sleep(after)
    process.kill()
    await process.wait()
    await gone(instance, provider, within=60)


@each_kind
@each_provider
@pytest.mark.parametrize("after", [0.2, 0.7, 2.0])
async def test_nothing_is_left_when_a_start_is_cancelled(kind: type[Broker], provider: Provider, after: float) -> None:
    broker = kind(provider=provider, proxied=True)

    async def start() -> None:
        async with started(broker):
            await asyncio.Event().wait()

    starting = asyncio.create_task(start())
    await asyncio.wait([starting], timeout=after)
    starting.cancel()
    await asyncio.wait([starting], timeout=30)
    assert starting.cancelled()
    assert traces(broker.instance, provider) == []


async def test_what_an_engine_makes_late_is_removed_when_a_start_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    start = DockerContainer.start

    def slowly(made: DockerContainer) -> DockerContainer:
        begun.set()
        time.sleep(2)
        return start(made)

    monkeypatch.setattr(DockerContainer, "start", slowly)
    broker = RabbitMQ(provider="container")
    starting = asyncio.create_task(broker.__aenter__())
    await asyncio.to_thread(begun.wait, 30)
    starting.cancel()
    await asyncio.wait([starting], timeout=30)
    assert starting.cancelled()
    assert traces(broker.instance, "container") == []


@each_kind
@each_provider
async def test_starts_and_stops_leave_nothing(kind: type[Broker], provider: Provider) -> None:
    async with started(kind(provider=provider)):
        pass
    before = (_open_files(), _threads())
    for _ in range(ROUNDS):
        broker = kind(provider=provider, proxied=True)
        async with started(broker):
            ports = [address.port for address in (*broker.addresses, *broker.direct)]
        assert traces(broker.instance, provider) == []
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
    assert (_open_files(), _threads()) == before


@pytest.mark.parametrize("kind", [RabbitMQ, Kafka], ids=lambda kind: kind.name)
async def test_a_process_listens_to_this_machine_alone(kind: type[Broker]) -> None:
    # Of RocketMQ this does not hold, as its docstring says.
    async with started(kind(provider="process", proxied=True)) as broker:
        sockets = {inode for pid in _pids(broker.instance) for inode in _sockets(pid)}
        heard = {address for inode, address in _listening() if inode in sockets}
        assert heard
        # 127.0.0.1, as it stands there, as IPv4, IPv4 in IPv6, and ::1.
        assert {address.removeprefix("0000000000000000FFFF0000") for address in heard} <= {
            "0100007F",
            "00000000000000000000000001000000",
        }


@each_kind
async def test_a_folder_may_have_a_blank_in_its_name(
    kind: type[Broker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    async with started(kind(provider="process")) as broker:
        assert all([await node.is_alive() for node in broker.nodes])
    assert list(folder.iterdir()) == []


@each_kind
@each_provider
async def test_what_is_frozen_or_dead_can_be_stopped(kind: type[Broker], provider: Provider) -> None:
    async with started(kind(provider=provider)) as broker:
        await broker.pause()
        await broker.stop()
        assert not any([await node.is_alive() for node in broker.nodes])
        await broker.stop()
        await broker.kill()


async def test_a_cookie_is_known_to_its_broker_alone() -> None:
    async with started(RabbitMQ(provider="process")) as one, started(RabbitMQ(provider="process")) as other:
        cookies = [await broker.nodes[0].execute("cat", ".erlang.cookie") for broker in (one, other)]
        assert len(set(cookies)) == 2
        assert min(map(len, cookies)) >= 20


@each_kind
async def test_several_run_at_once_and_know_nothing_of_each_other(kind: type[Broker]) -> None:
    async with started(kind(provider="process")) as one, started(kind(provider="process")) as other:
        assert set(one.addresses).isdisjoint(other.addresses)
        await one.kill()
        assert all([await node.is_alive() for node in other.nodes])


def _pids(instance: str) -> list[str]:
    return [trace.split()[1].rstrip(":") for trace in traces(instance, "process") if trace.startswith("process")]


def _sockets(pid: str) -> Iterator[str]:
    """Yield the inode of each socket that a process has open."""
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(file.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]


def _listening() -> Iterator[tuple[str, str]]:
    """Yield the inode and the address of each socket of this machine that takes connections."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A":
                yield rest[5], local.partition(":")[0]


def _threads() -> list[str]:
    """Name what runs beside the test, without the loop's own workers, who come and stay."""
    return sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


LONG = """
import pathlib, time

def test_that_takes_long(rabbitmq, kafka):
    told = pathlib.Path(__file__).with_name("told")
    told.with_suffix(".part").write_text(f"{rabbitmq.instance} {rabbitmq.provider} {kafka.instance} {kafka.provider}")
    told.with_suffix(".part").rename(told)
    time.sleep(600)
"""


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "with xdist"])
async def test_nothing_is_left_a_minute_after_pytest_was_killed(tmp_path: Path, workers: list[str]) -> None:
    (tmp_path / "test_long.py").write_text(LONG)
    told = tmp_path / "told"
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers, "test_long.py"),
        cwd=tmp_path,
        stdout=PIPE,
    )
    async with asyncio.timeout(120):
        while not told.exists():
            assert killed.returncode is None, (await killed.communicate())[0].decode()
            await asyncio.sleep(0.1)
    killed.kill()
    await killed.wait()
    names = told.read_text().split()
    for instance, provider in zip(names[::2], names[1::2], strict=True):
        await gone(instance, "container" if provider == "container" else "process", within=60)
