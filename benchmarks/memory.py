"""What a service holds after so many messages: no two of them alike, and one in a hundred tried again."""

import gc
import sys
from collections.abc import Iterable
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage
from time import perf_counter
from typing import Annotated

from benchmarks.report import Report
from benchmarks.work import ORDER, Arrivals, OrderPlaced
from msgkit import Application, Exchange, Header, Message, Retry, Sender, Settings, listener

__all__ = ["measure"]

_CHECKPOINTS = 10
#: What is sent at once: who sends without a pause has the broker hold what is not handled yet.
_BURST = 1_000

_STATM = Path("/proc/self/statm")

orders = Exchange("orders", OrderPlaced, key=lambda order: order.id, subject=lambda order: f"placed.{order.id}")
billing = orders.queue("billing", "placed.*")


async def measure(*, messages: int) -> Report:
    """Look ten times, evenly; what grows shows between the first and the last."""
    arrivals = Arrivals()

    @listener(billing, concurrency=8)
    async def bill(order: Message[OrderPlaced], trace: Annotated[str, Header("x-trace")]) -> None:
        if order.attempt == 1 and order.payload.total % 100 == 0:
            raise Retry(after=0.001)
        arrivals.one(order.payload, trace)

    async with Application([bill], settings=Settings(url="memory://memory?transient=true")) as shop:
        part = max(1, messages // _CHECKPOINTS)
        runs: list[dict[str, float]] = []
        for first in range(0, part * _CHECKPOINTS, part):
            began = perf_counter()
            for number in range(first, first + part, _BURST):
                burst = range(number, min(number + _BURST, first + part))
                arrivals.expect(len(burst))
                await _place(shop.template, burst)
                await arrivals.all_there()
            runs.append(_checkpoint(first + part, (perf_counter() - began) / part * 1e6))
    return _report(runs)


async def _place(sender: Sender, numbers: Iterable[int]) -> None:
    for number in numbers:
        order = ORDER.model_copy(update={"id": str(number), "total": number})
        await sender.send(orders, order, headers={"x-trace": f"trace-{number}"})


def _checkpoint(messages: int, time: float) -> dict[str, float]:
    gc.collect()
    return {
        "messages": messages,
        "rss_kib": _resident() / 1024,
        "blocks": sys.getallocatedblocks(),
        "us_a_message": time,
    }


def _resident() -> int:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * getpagesize()
    # Elsewhere only the most that it ever was can be had, which will do to see it grow.
    most = getrusage(RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _report(runs: list[dict[str, float]]) -> Report:
    first, last = runs[0], runs[-1]
    messages = last["messages"] - first["messages"]
    grown = (last["rss_kib"] - first["rss_kib"]) * 1024 / messages
    blocks = last["blocks"] - first["blocks"]
    note = f"from the first look to the last: {grown:+.2f} bytes a message, and {blocks:+,.0f} memory blocks in all"
    return Report(
        benchmark="memory",
        unit="bytes/message",
        results={"msgkit": grown},
        runs=runs,
        notes=(note,),
    )
