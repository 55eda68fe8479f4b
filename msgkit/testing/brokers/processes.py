"""Brokers as processes of this machine, each under a keeper of its own."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgkit.errors import MessagingError
from msgkit.testing.brokers import keeper
from msgkit.testing.brokers.ports import Ports
from msgkit.testing.brokers.programs import LOOPBACK, Host, Program, Running

__all__ = ["Keeper", "ProcessHost"]

#: Seconds that the keeper has for one order, or for its end.
_PATIENCE = 30.0
_LOOK = 0.02
#: Seconds that a command of the broker's may take.
_EXECUTING = 120.0


class Keeper:
    """The small process that ends everything of one broker, however this process ends."""

    def __init__(self, instance: str) -> None:
        self._lock = threading.Lock()
        self._given_up = False
        self._process = subprocess.Popen(  # noqa: S603 -- this project's own
            # -P: what lies beside the script is no library of its.
            [sys.executable, "-P", str(Path(keeper.__file__)), instance],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.home = Path(self._answer()["home"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, **order: object) -> Sequence[int]:
        """Have something done, and return the living processes of the program that it was done to.

        :raises MessagingError: when it could not be done, or the keeper is gone
        """
        self.check()
        with self._lock:
            if self._process.stdin is None or self._process.stdin.closed:
                msg = "the broker has been closed"
                raise MessagingError(msg)
            try:
                self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                msg = "the keeper of the broker's processes is gone, and they with it"
                raise MessagingError(msg) from None
            answer = self._answer()
        if "error" in answer:
            raise MessagingError(str(answer["error"]))
        pids: Sequence[int] = answer["pids"]
        return pids

    def give_up(self) -> None:
        """Have whatever is under way fail soon."""
        self._given_up = True

    def check(self) -> None:
        """Go on, unless the start was given up.

        :raises MessagingError: when it was
        """
        if self._given_up:
            msg = "the start of the broker was given up"
            raise MessagingError(msg)

    def _answer(self) -> dict[str, Any]:
        out = self._process.stdout
        if out is not None and not select.select([out], [], [], _PATIENCE)[0]:
            msg = f"the keeper of the broker's processes did not answer within {_PATIENCE:g} s"
            raise MessagingError(msg)
        line = out.readline() if out else b""
        if not line:
            msg = "the keeper of the broker's processes is gone, and they with it"
            raise MessagingError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End all that is kept; returns when it is gone."""
        with self._lock:
            if self._process.stdin is not None and not self._process.stdin.closed:
                try:
                    self._process.stdin.write(b'{"do": "end"}\n')
                    self._process.stdin.close()
                except BrokenPipeError:
                    pass
                self._process.wait(_PATIENCE)
            if self._process.stdout is not None:
                self._process.stdout.close()


class ProcessHost(Host):
    """The machine that the test runs on."""

    bind = LOOPBACK
    address = LOOPBACK

    def __init__(self, instance: str) -> None:
        self._ports = Ports()
        self._keeper = Keeper(instance)
        self.home = str(self._keeper.home)

    def reserve(self, *also: int) -> int:
        return self._ports.reserve(*also)

    def add(self, program: Program) -> Running:
        return _Process(self._keeper, program)

    def name_of(self, program: str) -> str:
        del program
        return LOOPBACK

    def give_up(self) -> None:
        self._keeper.give_up()

    def close(self) -> None:
        try:
            self._keeper.close()
        finally:
            self._ports.close()


class _Process(Running):
    def __init__(self, keeper: Keeper, program: Program) -> None:
        self._keeper = keeper
        self._program = program
        self._log = keeper.home / f"{program.name}.log"
        self._env = {**os.environ, "HOME": str(keeper.home), **program.env}

    def start(self) -> None:
        for name, text in self._program.files.items():
            file = self._keeper.home / name
            file.parent.mkdir(parents=True, exist_ok=True)
            # A cookie may be read by its owner alone, or Erlang refuses it.
            file.unlink(missing_ok=True)
            file.touch(mode=0o600)
            file.write_text(text)
        self._keeper.ask(
            "start",
            name=self._program.name,
            command=["sh", "-c", self._program.script],
            env=self._env,
            cwd=str(self._keeper.home),
            log=str(self._log),
        )

    def stop(self, within: float) -> None:
        self._signal(signal.SIGTERM, all_of_it=False)
        # What is frozen hears of it only so.
        self.resume()
        try:
            self._wait_until_gone(within)
        except TimeoutError:
            self.kill()
            raise

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._wait_until_gone(_PATIENCE)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def is_alive(self) -> bool:
        return bool(self._keeper.ask("look", name=self._program.name))

    def execute(self, command: Sequence[str]) -> str:
        if not self.is_alive():
            msg = f"{shlex.join(command)} cannot be run in {self._program.name}: it is not running"
            raise MessagingError(msg)
        done = subprocess.run(  # noqa: S603 -- a test says what is run
            command,
            env=self._env,
            cwd=self._keeper.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_EXECUTING,
        )
        if done.returncode:
            msg = f"{shlex.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            raise MessagingError(msg)
        return done.stdout

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _signal(self, number: signal.Signals, *, all_of_it: bool = True) -> None:
        self._keeper.ask("signal", name=self._program.name, signal=int(number), all=all_of_it)

    def _wait_until_gone(self, within: float) -> None:
        until = time.monotonic() + within
        while pids := self._keeper.ask("look", name=self._program.name):
            if time.monotonic() > until:
                msg = f"{self._program.name} had not ended after {within:g} s: processes {', '.join(map(str, pids))}"
                raise TimeoutError(msg)
            time.sleep(_LOOK)
