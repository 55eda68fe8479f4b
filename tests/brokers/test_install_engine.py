import multiprocessing
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path

import pytest

from msgkit.testing.brokers.install import engine
from msgkit.testing.brokers.install.engine import Daemon, answer, ensure, trouble
from msgkit.testing.brokers.install.running import program
from msgkit.testing.brokers.trouble import Trouble

# A port of this machine where nobody listens.
NOBODY = "tcp://127.0.0.1:9"
_START = 'exec unshare --net "$REAL" "$@"'


def unheard(line: str) -> None:
    del line


# -- finding one


def test_an_engine_that_does_not_answer_is_told_from_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    assert answer() is None
    found = trouble()
    assert found is not None
    assert found.why == f"the container engine at {NOBODY} does not answer"
    assert found.mend == "start it, or unset DOCKER_HOST and say `docker context use default`"


def test_nothing_is_started_in_place_of_the_engine_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    (tmp_path / "dockerd").write_text(f"#!/bin/sh\ntouch {started}\n")
    (tmp_path / "dockerd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    with pytest.raises(Trouble, match=NOBODY):
        ensure(unheard)
    assert not started.exists()


def test_those_who_may_start_none_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    daemon = Daemon(socket=tmp_path / "none.sock")
    monkeypatch.setattr(engine, "_OWN", {daemon.host})
    with pytest.raises(Trouble) as raised:
        ensure(unheard, daemon)
    assert raised.value.why == "no container engine answers"
    assert "as root: python -m msgkit.testing.brokers install" in raised.value.mend


# -- starting one


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short name, for the sake of sockets in it, which is also the cache."""
    if os.geteuid() or program("dockerd") is None:
        pytest.skip("starting an engine takes root and dockerd; get it: python -m msgkit.testing.brokers install")
    with tempfile.TemporaryDirectory(prefix="msgkit-", dir="/tmp") as folder:
        monkeypatch.setenv("MSGKIT_TEST_CACHE", folder)
        yield Path(folder)


@pytest.fixture
def daemon(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """An engine beside the machine's own, of which it does not touch the files nor, far more delicate, the network."""
    monkeypatch.setenv("REAL", str(program("dockerd")))
    (place / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}")
    dockerd(place, _START)
    words = {"data-root": place / "data", "exec-root": place / "run", "pidfile": place / "pid"}
    options = (f"--{word}={value}" for word, value in words.items())
    yield Daemon(
        socket=place / "sock",
        pids=((place / "pid", "dockerd"), (place / "run/containerd/containerd.pid", "containerd")),
        arguments=(*options, f"--host=unix://{place / 'sock'}"),
        managed=False,
    )
    end(place / "pid")


def dockerd(place: Path, script: str) -> None:
    """Say what the dockerd is that is found first."""
    (place / "bin" / "dockerd").write_text(f"#!/bin/sh\n{script}\n")
    (place / "bin" / "dockerd").chmod(0o755)


def end(file: Path) -> None:
    """Have a daemon end, and wait until it has."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 30
        while alive(pid) and time.monotonic() < until:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.broker
def test_an_engine_is_started_where_none_answers_and_then_is_found(daemon: Daemon, place: Path) -> None:
    assert answer(daemon.host) is None
    ensure(unheard, daemon)
    first = (place / "pid").read_text()
    assert answer(daemon.host) is not None
    assert (place / "engine" / "dockerd.pid").read_text().strip() == first.strip()
    ensure(unheard, daemon)
    assert (place / "pid").read_text() == first


@pytest.mark.broker
def test_what_an_engine_left_behind_that_was_stopped_hard_does_not_matter(daemon: Daemon) -> None:
    # Its number, and that of its containerd, are given to others by now.
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        try:
            for file, _ in daemon.pids:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{other.pid}")
            ensure(unheard, daemon)
            assert answer(daemon.host) is not None
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.broker
def test_an_engine_that_is_dead_and_not_yet_buried_does_not_matter(daemon: Daemon, place: Path) -> None:
    (place / "dockerd").write_text("#!/bin/sh\n")
    (place / "dockerd").chmod(0o755)
    with subprocess.Popen([place / "dockerd"]) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        (place / "pid").write_text(f"{dead.pid}\n")
        ensure(unheard, daemon)
        assert (place / "pid").read_text().strip() != f"{dead.pid}"


@pytest.mark.broker
def test_two_processes_start_one_engine(daemon: Daemon, place: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_ensure, args=(daemon,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        # Not to be had where the engine holds on to what it inherited.
        assert connection.wait([process.sentinel], timeout=30)
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert answer(daemon.host) is not None
    log = (place / "engine" / "dockerd.log").read_text()
    assert log.count("Starting up") == 1
    for process in processes:
        process.close()


def _ensure(daemon: Daemon) -> None:
    ensure(unheard, daemon)


@pytest.mark.broker
def test_an_engine_that_cannot_filter_packets_is_started_without(daemon: Daemon, place: Path) -> None:
    dockerd(place, f'case "$*" in *--iptables=false*) {_START};; esac\necho "iptables failed: no chain"; exit 1')
    said: list[str] = []
    ensure(said.append, daemon)
    assert "the engine did not start with packet filtering, and is started without" in said
    assert answer(daemon.host) is not None


@pytest.mark.broker
def test_where_a_service_manager_runs_it_starts_the_engine(daemon: Daemon, place: Path) -> None:
    manager = place / "bin" / "systemctl"
    start = shlex.join([str(place / "bin" / "dockerd"), *daemon.arguments])
    manager.write_text(f"#!/bin/sh\necho $* > {place}/asked\nexec setsid --fork {start} > /dev/null 2>&1\n")
    manager.chmod(0o755)
    ensure(unheard, replace(daemon, managed=True))
    assert (place / "asked").read_text() == "start docker\n"
    assert answer(daemon.host) is not None


@pytest.mark.broker
def test_the_end_of_its_log_tells_why_an_engine_did_not_start(daemon: Daemon, place: Path) -> None:
    dockerd(place, "echo 'no space left on device'; exit 1")
    with pytest.raises(Trouble, match=r"dockerd ended:\n    no space left on device") as raised:
        ensure(unheard, daemon)
    assert raised.value.mend == f"see {place / 'engine' / 'dockerd.log'}"


@pytest.mark.broker
def test_an_engine_that_says_nothing_is_waited_for_no_longer_than_said(
    daemon: Daemon, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerd(place, "echo 'thinking'; exec sleep 600")
    monkeypatch.setattr(engine, "_START", 0.5)
    with pytest.raises(Trouble, match=r"did not answer within 0.5 s:\n    thinking"):
        ensure(unheard, daemon)
    assert not alive(int((place / "engine" / "dockerd.pid").read_text()))
