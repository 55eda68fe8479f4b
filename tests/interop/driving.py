"""Driving a program in Java: orders by lines of JSON, answers and messages by lines of JSON."""

import asyncio
import json
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Self

from tests.interop.building import command

__all__ = ["JavaFailed", "JavaProgram"]

#: Seconds for one order, and for the program to end.
_PATIENCE = 20.0
_LONGEST_LINE = 16 * 1024 * 1024


class JavaFailed(Exception):
    """What the program raised while it carried out an order, or what it wrote before it ended."""


class JavaProgram:
    """One JVM, for as long as a block."""

    _process: Process
    _reading: "asyncio.Task[None]"
    _log: IO[bytes]

    def __init__(self, name: str, folder: Path, *arguments: str, on_told: Callable[[Mapping[str, Any]], None]) -> None:
        """Make ready the program of a folder; what it says that is no answer is handed on."""
        self._name, self._folder, self._arguments = name, folder, arguments
        self._on_told = on_told
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> Self:
        """Start it.

        :raises Unavailable: when there is no Java or no Maven here
        """
        words = await asyncio.to_thread(command, self._name, self._folder)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the block
        self._process = await asyncio.create_subprocess_exec(
            *words, *self._arguments, stdin=PIPE, stdout=PIPE, stderr=self._log, limit=_LONGEST_LINE
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        self._log.close()

    async def order(self, do: str, **what: object) -> Any:
        """Return what is answered to an order.

        :raises JavaFailed: when it could not be carried out
        """
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        # That the program has ended, its reader tells.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps({"id": number, "do": do, **what}).encode() + b"\n")
            await self._process.stdin.drain()
        if self._reading.done():
            self._give_up()
        async with asyncio.timeout(_PATIENCE):
            return await answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "id" in told:
                _settle(self._answers.pop(told["id"]), told)
            else:
                self._on_told(told)
        self._give_up()

    def _give_up(self) -> None:
        self._log.seek(0)
        why = f"the program has ended:\n{self._log.read().decode(errors='replace')}"
        while self._answers:
            _settle(self._answers.popitem()[1], {"error": why})


def _settle(answer: "asyncio.Future[Any]", told: Mapping[str, Any]) -> None:
    if answer.done():
        return
    if "error" in told:
        answer.set_exception(JavaFailed(told["error"]))
    else:
        answer.set_result(told["ok"])
