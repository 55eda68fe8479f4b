"""A container engine: the one that answers, or else Debian's own, installed and started."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install.locks import locked
from msgkit.testing.brokers.install.packages import obstacle, require
from msgkit.testing.brokers.install.running import program, run, search_path, tail
from msgkit.testing.brokers.install.telling import Say, timed
from msgkit.testing.brokers.install.trouble import Trouble

__all__ = ["PACKAGES", "Daemon", "answer", "connected", "ensure", "trouble"]

PACKAGES = ("docker.io", "iptables")
#: Seconds that an engine may take to answer, and one that was started to do so at all.
_ANSWER = 5
_START = 60.0
_LOOK = 0.1
#: What a second dockerd says.
_TAKEN = ("pid file found", "is still running")
#: What a kernel says that cannot do what iptables asks of it.
_FILTERING = ("iptables", "ip6tables", "nf_tables", "nft")
#: Ports are published by dockerd's own proxy then, which is all that test containers need.
_WITHOUT_FILTERING = ("--iptables=false", "--ip6tables=false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """An engine that can be started on this machine; the default is where Debian has its own."""

    socket: Path = Path("/var/run/docker.sock")
    #: Process ids that a daemon left behind when the machine was stopped hard, and whose they are.
    pids: tuple[tuple[Path, str], ...] = (
        (Path("/var/run/docker.pid"), "dockerd"),
        (Path("/var/run/docker/containerd/containerd.pid"), "containerd"),
    )
    arguments: tuple[str, ...] = ()
    #: Is a service manager there that starts it as it is to be?
    managed: bool = Path("/run/systemd/system").is_dir()

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"


@contextmanager
def connected(host: str | None = None, *, within: float = _ANSWER) -> Generator[docker.DockerClient]:
    """Talk to the engine that the environment names, or to the one at `host`.

    :raises Trouble: when none answers
    """
    environment = {**os.environ, "DOCKER_HOST": host} if host else None
    try:
        client = docker.from_env(timeout=round(within), environment=environment)
    except DockerException as error:
        raise _unanswered(error) from error
    try:
        yield client
    finally:
        client.close()


def answer(host: str | None = None) -> str | None:
    """Return the version of the engine that answers, if any does."""
    try:
        with connected(host) as client:
            return str(client.version()["Version"])
    except (Trouble, DockerException):
        return None


def trouble() -> Trouble | None:
    """Say why no container can be had here, if so."""
    try:
        with connected():
            return None
    except Trouble as trouble:
        return trouble


def ensure(say: Say, daemon: Daemon | None = None) -> None:
    """See that an engine answers: install one and start it where none does.

    :raises Trouble: when that cannot be done, or fails
    """
    host = daemon.host if daemon else None
    if (found := answer(host)) is None:
        _provide(daemon or _startable(), say)
        found = answer(host)
    if found is None:
        raise Trouble(
            "an engine was started, but the Docker context in use is another", mend="docker context use default"
        )
    say(f"a container engine answers: {found}")


def _startable() -> Daemon:
    """Return this machine's engine, unless the environment names another, which is somebody else's to start."""
    daemon = Daemon()
    if os.environ.get("DOCKER_HOST", daemon.host) not in {daemon.host, daemon.host.replace("/var/run/", "/run/")}:
        raise Trouble("the engine that DOCKER_HOST names does not answer", mend="start it, or unset DOCKER_HOST")
    return daemon


def _provide(daemon: Daemon, say: Say) -> None:
    require(PACKAGES, say)
    if (why := obstacle()) is not None:
        raise Trouble(f"no container engine answers; {why}, or start one", mend="sudo systemctl start docker")
    with locked("engine", say):
        # Another process may have been faster.
        if answer(daemon.host) is None:
            with timed(say, "starting a container engine"):
                _start(daemon, say)


def _start(daemon: Daemon, say: Say) -> None:
    if daemon.managed:
        run("systemctl", "start", "docker", mend="journalctl -u docker")
        _wait(daemon, pid=None, log=None)
        return
    log = cache() / "engine" / "dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        _launch(daemon, log, ())
    except Trouble as failed:
        if not any(word in failed.why for word in _FILTERING):
            raise
        say("the engine did not start with packet filtering, and is started without")
        _launch(daemon, log, _WITHOUT_FILTERING)


def _launch(daemon: Daemon, log: Path, more: tuple[str, ...]) -> None:
    for file, name in daemon.pids:
        _forget_the_dead(file, name)
    dockerd = program("dockerd")
    if dockerd is None:
        raise Trouble("there is no dockerd", mend="sudo apt-get install docker.io")
    log.write_bytes(b"")
    # In a session of its own, so that it outlives this process and is not reached by its Ctrl-C.
    pid = os.posix_spawn(
        dockerd,
        [str(dockerd), *daemon.arguments, *more],
        {**os.environ, "PATH": search_path()},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    log.with_suffix(".pid").write_text(f"{pid}\n")
    _wait(daemon, pid=pid, log=log)


def _forget_the_dead(file: Path, name: str) -> None:
    """Remove a file that tells of a process which has ended, and whose number may be another's by now."""
    try:
        pid = int(file.read_text())
    except (FileNotFoundError, ValueError):
        return
    with suppress(FileNotFoundError):
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return
    file.unlink(missing_ok=True)


def _wait(daemon: Daemon, *, pid: int | None, log: Path | None) -> None:
    until = time.monotonic() + _START
    while answer(daemon.host) is None:
        if pid is not None and log is not None and os.waitpid(pid, os.WNOHANG)[0]:
            if not any(word in log.read_text() for word in _TAKEN):
                raise _failed("dockerd ended", log)
            # Somebody else's is starting.
            pid = None
        if time.monotonic() > until:
            raise _failed(f"the engine did not answer within {_START:g} s", log)
        time.sleep(_LOOK)


def _failed(what: str, log: Path | None) -> Trouble:
    if log is None:
        return Trouble(what, mend="journalctl -u docker")
    return Trouble(f"{what}:\n{tail(log.read_bytes())}", mend=f"see {log}")


def _unanswered(error: DockerException) -> Trouble:
    if "PermissionError" in str(error):
        mend = "sudo usermod -aG docker $USER, and log in anew"
        return Trouble("a container engine is there, but this user may not use it", mend=mend)
    mend = "start one, or as root: python -m msgkit.testing.brokers install --provider container"
    return Trouble("no container engine answers", mend=mend)
