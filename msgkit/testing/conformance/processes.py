"""Consumers in processes of their own, and their stand-in where a broker ends with this one.

`python -m msgkit.testing.conformance.processes module:factory` runs one.
"""

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Self

from msgkit.application import Application
from msgkit.settings import Settings
from msgkit.testing.conformance.ledger import Ledger

__all__ = ["Emulated", "Factory", "Process", "Subprocess", "load"]

#: Makes the application of a process from its settings and environment; what its handlers see
#: goes into the ledger.
Factory = Callable[[Settings, Mapping[str, str], Ledger], Application]


class Process(ABC):
    """A consumer that somebody else runs."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.on_line: Callable[[str], None] | None = None

    def hear(self, line: str) -> None:
        """Take a line of its ledger; kept until somebody listens."""
        self._lines.append(line)
        if self.on_line is not None:
            lines, self._lines = self._lines, []
            for each in lines:
                self.on_line(each)

    def listen(self, on_line: Callable[[str], None]) -> None:
        """Give each line of its ledger to `on_line`, those included that have come already."""
        self.on_line = on_line
        for line in self._lines:
            on_line(line)
        self._lines = []

    @abstractmethod
    async def kill(self) -> None:
        """End it without a warning; returns when it is gone."""

    @abstractmethod
    async def stop(self) -> None:
        """Ask it to end, and wait until it has."""


class Subprocess(Process):
    """A real one."""

    _process: asyncio.subprocess.Process
    _reading: asyncio.Task[None]

    @classmethod
    async def start(cls, app: str, env: Mapping[str, str]) -> Self:
        process = cls()
        process._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, app, env={**os.environ, **env}, stdin=PIPE, stdout=PIPE
        )
        process._reading = asyncio.create_task(process._read(), name=f"reads {app}")
        return process

    async def _read(self) -> None:
        out = self._process.stdout
        while out is not None and (line := await out.readline()):
            self.hear(line.decode())

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._gone()

    async def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._gone()

    async def _gone(self) -> None:
        await self._process.wait()
        await self._reading


class Emulated(Process):
    """A consumer in this process, for a broker that lives in it.

    `sever` must let go of the application's client at once, as the broker would of a dead one's:
    from then on nothing that it does reaches the broker.
    """

    _app: Application

    def __init__(self, sever: Callable[[Application], Awaitable[None]]) -> None:
        super().__init__()
        self._sever = sever
        self._alive = True

    @classmethod
    async def start(
        cls,
        app: str,
        env: Mapping[str, str],
        settings: Settings,
        sever: Callable[[Application], Awaitable[None]],
    ) -> Self:
        process = cls(sever)
        process._app = load(app)(settings, env, Ledger(writer=env["WRITER"], write=process.write))
        await process._app.__aenter__()
        return process

    def write(self, line: str) -> None:
        # The dead write nothing down.
        if self._alive:
            self.hear(line)

    async def kill(self) -> None:
        self._alive = False
        await self._sever(self._app)
        await self._app.__aexit__(None, None, None)

    async def stop(self) -> None:
        await self._app.__aexit__(None, None, None)


def load(app: str) -> Factory:
    """Return the factory that `module:name` stands for."""
    module, _, name = app.partition(":")
    factory: Factory = getattr(import_module(module), name)
    return factory


async def _main(app: str) -> None:
    """Run one until its standard input ends."""
    ledger = Ledger(writer=os.environ["WRITER"], write=_print)
    async with load(app)(Settings.load(), os.environ, ledger):
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
