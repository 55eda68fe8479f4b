"""Turns of those compared, round by round, and what comes out: messages a second, CPU time, and how they compare."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients.work import Cost
from benchmarks.cores import on_the_others
from benchmarks.report import Report, compared
from msgkit.testing.brokers import Broker

__all__ = ["MSGKIT", "Turn", "running", "side_by_side", "taken", "turn_of"]

_ROOT = Path(__file__).parent.parent.parent

#: The kinds of work that a turn measures.
_WHAT = ("publish", "publish_pipelined", "consume")

_Costs = Mapping[str, Cost]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A process of its own for one side, and the figures that are taken from it."""

    #: `package.module:name`
    side: str
    #: By kind of work: as what it is reported.
    figures: Mapping[str, str]
    #: It is given so many times fewer messages, that it takes no longer than the others.
    fewer: int = 1


def turn_of(side: str) -> Turn:
    """Return a turn from which all is taken, and reported as of the side's name."""
    who = side.partition(":")[2]
    return Turn(side=side, figures={what: f"{who}.{what}" for what in _WHAT})


#: The same on every broker, and what the others are compared with.
MSGKIT = turn_of("benchmarks.clients.on_msgkit:msgkit")


@asynccontextmanager
async def running(broker: Callable[[], Broker], named: str) -> AsyncGenerator[str]:
    """Give the URL that an environment variable says, or that of a broker that is started."""
    async with AsyncExitStack() as stack:
        if (url := os.environ.get(named)) is None:
            with on_the_others():
                url = (await stack.enter_async_context(broker())).url
        yield url


async def taken(program: str, turns: Sequence[Turn], messages: int, *more: str, **environment: str) -> _Costs:
    """Give each a process of its own, one after the other, so that none has what another one left."""
    costs: dict[str, Cost] = {}
    for turn in turns:
        arguments = turn.side, str(max(1, messages // turn.fewer)), *more
        found = await _taken(program, *arguments, **environment)
        costs.update((name, found[what]) for what, name in turn.figures.items())
    return costs


async def _taken(program: str, *arguments: str, **environment: str) -> _Costs:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", program, *arguments),
        cwd=_ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        # It has said why.
        sys.exit(f"the turn of {arguments[0].partition(':')[2]} failed")
    return {what: Cost(**cost) for what, cost in json.loads(printed).items()}


def side_by_side(benchmark: str, turns: Sequence[Turn], rounds: Sequence[_Costs], *notes: str) -> Report:
    """Return what rounds of these turns came to; ratios compare within a round."""
    kinds = {turn.figures[what]: what for what in _WHAT for turn in turns if what in turn.figures}
    rates = [{name: costs[name].rate for name in kinds} for costs in rounds]
    cpu = [{name: costs[name].cpu_us for name in kinds} for costs in rounds]
    mine = MSGKIT.figures
    ratios = [
        {name: run[mine[what]] / run[name] for name, what in kinds.items() if name != mine[what]} for run in rates
    ]
    return compared(benchmark, "messages/s", rates, *notes).and_also(
        compared("cpu_us", "us/message", cpu, "CPU time of the client's process"),
        compared("ratios", "msgkit/other", ratios, "how many times as many messages a second"),
    )
