"""All of them in turns, round by round, against one RabbitMQ: messages a second, CPU time, and how they compare."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.cores import on_the_others
from benchmarks.rabbitmq.turn import URL
from benchmarks.report import Report, compared
from msgkit.testing.brokers import RabbitMQ

__all__ = ["measure"]

_ROOT = Path(__file__).parent.parent.parent

_WHO = ("msgkit", "aio_pika", "faststream")
_WHAT = ("publish", "publish_pipelined", "consume")

#: Of each of them, what each kind of work took.
_Round = Mapping[str, Mapping[str, Mapping[str, float]]]


async def measure(*, messages: int, rounds: int) -> Report:
    """Give each a process of its own, one after the other, so that none has what another one left."""
    async with _rabbitmq() as url:
        measured = [{who: await _turn(who, messages, url) for who in _WHO} for _ in range(rounds)]
    rates = [_each(one, "rate") for one in measured]
    return compared("rabbitmq", "messages/s", rates).and_also(
        compared(
            "cpu_us", "us/message", [_each(one, "cpu_us") for one in measured], "CPU time of the client's process"
        ),
        compared("ratios", "msgkit/other", [_ratios(run) for run in rates], "how many times as many messages a second"),
    )


@asynccontextmanager
async def _rabbitmq() -> AsyncGenerator[str]:
    """Give the URL of the one that the environment names, or start one."""
    async with AsyncExitStack() as stack:
        if (url := os.environ.get(URL)) is None:
            with on_the_others():
                broker = await stack.enter_async_context(RabbitMQ(provider="process"))
            url = broker.url
        yield url


async def _turn(who: str, messages: int, url: str) -> Mapping[str, Mapping[str, float]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.rabbitmq.turn", who, str(messages)),
        cwd=_ROOT,
        env={**os.environ, URL: url},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        # It has said why.
        sys.exit(f"the turn of {who} failed")
    costs: Mapping[str, Mapping[str, float]] = json.loads(printed)
    return costs


def _each(measured: _Round, figure: str) -> dict[str, float]:
    return {f"{who}.{what}": measured[who][what][figure] for what in _WHAT for who in _WHO}


def _ratios(rates: Mapping[str, float]) -> dict[str, float]:
    mine, *others = _WHO
    return {f"{who}.{what}": rates[f"{mine}.{what}"] / rates[f"{who}.{what}"] for what in _WHAT for who in others}
