"""What a message costs, in time, Python calls and memory: beside FastStream and beside bare JSON."""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import perf_counter
from types import FrameType

from benchmarks.bare_json import bare_json
from benchmarks.on_faststream import faststream, faststream_consume_only, faststream_payload_only
from benchmarks.on_msgkit import msgkit
from benchmarks.report import Report, compared
from benchmarks.work import Side

__all__ = ["measure"]

_SIDES = (msgkit, faststream, faststream_payload_only, faststream_consume_only, bare_json)

#: Messages enough for what does not vary.
_ENOUGH = 200
#: Seconds after which a message that has not arrived is lost.
_PATIENCE = 120.0


async def measure(*, messages: int, rounds: int) -> Report:
    """Measure all in turns, round by round, so that a busy machine is busy for each of them."""
    few = min(messages, _ENOUGH)
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(side()) for side in _SIDES]
        for side in sides:
            await _run(side, few)
        runs = [
            {side.name: await _time(side, max(1, messages // side.slower)) for side in sides} for _ in range(rounds)
        ]
        others = [await _calls(sides, few), await _allocations(sides)]
        return compared("overhead", "us/message", runs, *_notes(runs)).and_also(*others)


async def _run(side: Side, messages: int) -> None:
    async with asyncio.timeout(_PATIENCE):
        await side.run(messages)


async def _time(side: Side, messages: int) -> float:
    gc.collect()
    began = perf_counter()
    await _run(side, messages)
    return (perf_counter() - began) / messages * 1e6


def _notes(runs: Sequence[dict[str, float]]) -> list[str]:
    results = compared("", "", runs).results
    mine, bare = results["msgkit"], results["bare_json"]
    notes = [f"msgkit takes {mine - bare:.1f} us a message beyond the bare JSON"]
    for name, value in results.items():
        if name.startswith("faststream"):
            notes.append(f"and 1/{value / mine:.1f} of the time of {name}")
    return notes


async def _calls(sides: Sequence[Side], messages: int) -> Report:
    count = 0

    def counting(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    figures: dict[str, float] = {}
    for side in sides:
        count = 0
        sys.setprofile(counting)
        try:
            await _run(side, messages)
        finally:
            sys.setprofile(None)
        figures[side.name] = count / messages
    note = "Python functions entered and coroutines resumed; FastStream's in other threads are not seen"
    return compared("calls", "calls/message", [figures], note)


async def _allocations(sides: Sequence[Side]) -> Report:
    tracemalloc.start()
    try:
        runs = [{side.name: await _most_at_once(side) for side in sides} for _ in range(10)]
    finally:
        tracemalloc.stop()
    note = "what is allocated at once, at most, while one message is on its way"
    return compared("allocations", "bytes/message", runs[1:], note)


async def _most_at_once(side: Side) -> float:
    async with asyncio.timeout(_PATIENCE):
        gc.collect()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        await side.run(1)
        _, peak = tracemalloc.get_traced_memory()
        return peak - before
