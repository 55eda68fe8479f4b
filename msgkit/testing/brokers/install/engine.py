"""A container engine: the one that answers, or else Debian's own, installed and started."""

import os
import signal
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import DockerException

from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install.locks import locked
from msgkit.testing.brokers.install.packages import obstacle, require
from msgkit.testing.brokers.install.running import program, run, search_path, tail
from msgkit.testing.brokers.install.telling import Say, timed
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["PACKAGES", "Daemon", "answer", "connected", "ensure", "trouble"]

PACKAGES = ("docker.io", "iptables")
#: Seconds that an engine may take to answer, and one that was started to do so at all.
_ANSWER = 5
_START = 60.0
_LOOK = 0.1
#: The last of the three that every program has open.
_STANDARD = 2
#: Where this machine's own engine is.
_OWN = {"unix:///var/run/docker.sock", "unix:///run/docker.sock"}
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
    """Talk to the engine at `host`, or to the one that the environment names.

    :raises Trouble: when none answers
    """
    where = host or _named()
    try:
        # The client would leave its socket open where nobody listens.
        _reach(where)
        client = docker.from_env(timeout=round(within), environment={**os.environ, "DOCKER_HOST": where})
    except (DockerException, OSError) as error:
        raise _unanswered(where, error) from error
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


def trouble(host: str | None = None) -> Trouble | None:
    """Say why no container can be had here, if so."""
    try:
        with connected(host):
            return None
    except Trouble as trouble:
        return trouble


def ensure(say: Say, daemon: Daemon | None = None) -> None:
    """See that an engine answers: install one and start it where none does.

    :raises Trouble: when that cannot be done, or fails
    """
    host = daemon.host if daemon else None
    if (lacking := trouble(host)) is not None:
        # One that the environment names is somebody else's to start.
        if obstacle() is not None or (host or _named()) not in _OWN | {host}:
            raise lacking
        _provide(daemon or Daemon(), say)
    say(f"a container engine answers: {answer(host)}")


def _named() -> str:
    """Return where the environment, or else the configuration of Docker, has its engine."""
    if named := os.environ.get("DOCKER_HOST"):
        return named
    # There is none of a name that is not known, which the stub does not tell.
    context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    return str(getattr(context, "Host", None) or Daemon().host)


def _reach(host: str) -> None:
    parts = urlsplit(host)
    if parts.scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_ANSWER)
            door.connect(parts.path)


def _provide(daemon: Daemon, say: Say) -> None:
    require(PACKAGES, say)
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
            *((os.POSIX_SPAWN_CLOSE, number) for number in _inherited()),
        ],
        setsid=True,
    )
    log.with_suffix(".pid").write_text(f"{pid}\n")
    _wait(daemon, pid=pid, log=log)


def _inherited() -> Iterator[int]:
    """Yield what a child would hold open as long as it lives: the pipes of those who wait for this process to end."""
    for number in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if number > _STANDARD and os.get_inheritable(number):
                yield number


def _forget_the_dead(file: Path, name: str) -> None:
    """Remove a file that tells of a process which has ended, and whose number may be another's by now."""
    try:
        number = file.read_text().strip()
    except FileNotFoundError:
        return
    with suppress(FileNotFoundError):
        found, _, state = Path(f"/proc/{number}/stat").read_text().partition("(")[2].rpartition(")")
        # Not every first process of a machine buries the dead.
        if found == name and state.split()[0] != "Z":
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
            if pid is not None:
                _end(pid)
            raise _failed(f"the engine did not answer within {_START:g} s", log)
        time.sleep(_LOOK)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _ANSWER
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK)


def _failed(what: str, log: Path | None) -> Trouble:
    if log is None:
        return Trouble(what, mend="journalctl -u docker")
    return Trouble(f"{what}:\n{tail(log.read_bytes())}", mend=f"see {log}")


def _unanswered(host: str, error: Exception) -> Trouble:
    if isinstance(error, PermissionError):
        mend = "sudo usermod -aG docker $USER, and log in anew"
        return Trouble("a container engine is there, but this user may not use it", mend=mend)
    if host not in _OWN:
        mend = "start it, or unset DOCKER_HOST and say `docker context use default`"
        return Trouble(f"the container engine at {host} does not answer", mend=mend)
    mend = "start one, or as root: python -m msgkit.testing.brokers install --provider container"
    return Trouble("no container engine answers", mend=mend)
