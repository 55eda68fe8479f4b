"""A small process that brokers run under, so that none of them outlives the test that started it.

It is run as a script, knows nothing of msgkit, and takes orders as lines of JSON on its standard
input. When that ends, or its parent is gone, it ends every process below it, removes the
containers of its label, and deletes its folder.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__: list[str] = []

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
#: Where these stand in /proc/<pid>/stat, counted from behind the parent.
_THREADS, _STARTED = 15, 17
#: Bytes of a line in /proc, and more.
_ENOUGH = 4096
#: Seconds between two looks at whether the parent is alive, where its pipe was inherited by others.
_LOOK = 0.5
#: Seconds that a thread may take to stop: one that waits for a disk does so later.
_STOPPING = 5.0
#: Seconds for which containers are looked for after a parent died: one may have been in the making.
_MAKING = 10.0


@dataclass(frozen=True, slots=True)
class _Process:
    """A process, known by when it started: numbers are given again."""

    pid: int
    started: int
    parent: int = field(compare=False)


class _Keeper:
    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._parent = os.getppid()
        self._home = Path(tempfile.mkdtemp(prefix=f"msgkit-{instance}-"))
        self._programs: dict[str, set[_Process]] = {}
        self._containers = False

    def serve(self) -> None:
        died = True
        try:
            # Who does not hear an answer any more is gone.
            with suppress(BrokenPipeError):
                _say({"home": str(self._home)})
                died = not self._obey()
        finally:
            try:
                _end_all()
                shutil.rmtree(self._home, ignore_errors=True)
            finally:
                if self._containers:
                    _remove_containers(self._instance, patience=_MAKING if died else 0.0)

    def _obey(self) -> bool:
        """Do what is asked until the parent asks for the end or is gone; True when it asked."""
        buffer = b""
        while True:
            ready, _, _ = select.select([0], [], [], _LOOK)
            _reap()
            if os.getppid() != self._parent:
                return False
            if not ready:
                continue
            got = os.read(0, 65536)
            if not got:
                return False
            *lines, buffer = (buffer + got).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if order["do"] == "end":
                    return True
                _say(self._do(order))

    def _do(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "start":
                try:
                    self._programs[order["name"]] = {_start(order)}
                except OSError as error:
                    return {"error": f"{order['command'][0]}: {error.strerror}"}
            case "signal":
                pids = self._living(order["name"])
                for pid in pids if order["all"] else pids[:1]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, order["signal"])
                if order["signal"] == signal.SIGSTOP:
                    _wait_until_stopped(pids)
            case "containers":
                self._containers = True
            case _:
                pass
        _reap()
        return {"pids": self._living(order["name"]) if "name" in order else []}

    def _living(self, name: str) -> list[int]:
        """Return the living processes of a program, the oldest first.

        Those seen once are remembered: who loses its parent belongs to the program all the same.
        """
        living = list(_processes())
        own = self._programs.get(name, set()).intersection(living)
        self._programs[name] = own.union(_below(living, {each.pid for each in own}))
        return [each.pid for each in sorted(self._programs[name], key=lambda each: (each.started, each.pid))]


def _say(answer: dict[str, Any]) -> None:
    # Past the buffer, which would be written once more at the end.
    os.write(1, json.dumps(answer).encode() + b"\n")


def _start(order: dict[str, Any]) -> _Process:
    with Path(order["log"]).open("ab") as log:
        # Reaped by `_reap`, like everything else below this process.
        pid = subprocess.Popen(  # noqa: S603 -- a broker's script, from the parent
            order["command"],
            env=order["env"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid
    # It may have ended already, but was not reaped yet.
    return next(each for each in _processes(dead=True) if each.pid == pid)


def _wait_until_stopped(pids: list[int]) -> None:
    """Return when no thread runs any more: a signal is only on its way when `kill` returns."""
    until = time.monotonic() + _STOPPING
    for pid in pids:
        while any(state not in "TtZX" for state in _threads(pid)) and time.monotonic() < until:
            time.sleep(0.001)


def _threads(pid: int) -> Iterator[str]:
    """Yield the state of each thread of a process."""
    with suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            yield (thread / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_all() -> None:
    """Kill every process below this one; what they leave behind comes here, and is killed too."""
    while living := _below(list(_processes()), {os.getpid()}):
        for each in living:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        time.sleep(0.01)
        _reap()


def _below(processes: list[_Process], pids: set[int]) -> list[_Process]:
    """Return what these processes started, however far down."""
    found: list[_Process] = []
    while layer := [each for each in processes if each.parent in pids]:
        found += layer
        pids = {each.pid for each in layer}
    return found


def _processes(*, dead: bool = False) -> Iterator[_Process]:
    """Yield each living process of this machine. Where there is no /proc, only containers are kept."""
    # It is asked twenty times a second while a broker starts: by paths it would take a sixth of a processor.
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():  # noqa: PTH208 -- see above
        if name.isdecimal():
            # One that ends meanwhile takes its file with it.
            with suppress(OSError, ValueError):
                # What comes after the name, which may hold anything.
                state, parent, *rest = _read(f"{_PROC}/{name}/stat").rpartition(b")")[2].split()
                # One that was killed has its files, and its ports, until the last of its threads has ended.
                if dead or state not in b"ZX" or int(rest[_THREADS]) > 1:
                    yield _Process(int(name), int(rest[_STARTED]), int(parent))


def _read(file: str) -> bytes:
    opened = os.open(file, os.O_RDONLY)
    try:
        return os.read(opened, _ENOUGH)
    finally:
        os.close(opened)


def _remove_containers(instance: str, *, patience: float) -> None:
    import docker  # noqa: PLC0415 -- heavy, and processes do without it
    from docker.errors import APIError, DockerException  # noqa: PLC0415 -- as above

    engine: Any = docker.from_env()  # its stubs say less than it takes
    until = time.monotonic() + patience
    label = {"label": f"msgkit.instance={instance}"}
    while True:
        # An engine may be gone, or be back a moment later.
        with suppress(DockerException, OSError):
            for container in engine.containers.list(all=True, filters=label):
                with suppress(APIError):
                    container.remove(force=True, v=True)
            for network in engine.networks.list(filters=label):
                with suppress(APIError):
                    network.remove()
        if time.monotonic() >= until:
            return
        time.sleep(1.0)


def _no_matter(number: int, frame: object) -> None:
    del number, frame


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Ctrl-C and a closing terminal are for the parent, whose end is this one's. They are caught
        # rather than ignored: what is ignored stays so in the programs that are started.
        signal.signal(number, _no_matter)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _Keeper(sys.argv[1]).serve()


if __name__ == "__main__":
    _main()
