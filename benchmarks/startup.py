"""What a program waits for: the import, and all until its first message is handled. Each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Report, compared

__all__ = ["measure"]

_ROOT = Path(__file__).parent.parent

_IMPORT = """
import time
{given}
began = time.perf_counter()
{wanted}
print(time.perf_counter() - began)
"""

_FIRST_MESSAGE = """
import time
began = time.perf_counter()
import asyncio
from benchmarks.on_{name} import {name}

async def main():
    async with {name}() as side:
        await side.run(1)
        print(time.perf_counter() - began)

asyncio.run(main())
"""

_BEYOND_ASYNCIO = {
    "msgkit_import": "import msgkit",
    "pydantic_import": "from pydantic import BaseModel",
    "faststream_import": "from faststream import FastStream",
}

_PROGRAMS = {
    "asyncio_import": _IMPORT.format(given="", wanted="import asyncio"),
    **{name: _IMPORT.format(given="import asyncio", wanted=wanted) for name, wanted in _BEYOND_ASYNCIO.items()},
    "msgkit_first_message": _FIRST_MESSAGE.format(name="msgkit"),
    "faststream_first_message": _FIRST_MESSAGE.format(name="faststream"),
}


def measure(*, rounds: int) -> Report:
    """Measure all in turns, with bytecode at hand, as an installer leaves it; the first time writes it."""
    with TemporaryDirectory() as bytecode:
        for program in _PROGRAMS.values():
            _milliseconds(program, bytecode)
        runs = [{name: _milliseconds(program, bytecode) for name, program in _PROGRAMS.items()} for _ in range(rounds)]
    return compared("startup", "ms", runs, "imports are what they add to asyncio's")


def _milliseconds(program: str, bytecode: str) -> float:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=_ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(ran.stdout) * 1000
