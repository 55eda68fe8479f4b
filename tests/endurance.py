"""What goes wrong again and again, on any real broker: consumers killed, everything at once. The ledger judges."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from msgkit.testing.conformance.handlers import accept, takes
from msgkit.testing.conformance.harness import Harness
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.ledger.records import Began
from msgkit.testing.conformance.soak import Soak
from msgkit.topology import Queue

__all__ = ["KILLS", "SECONDS", "SEEDS", "has_some", "kill_consumers", "of_version", "run_at_random", "sending", "visit"]

#: A few here; many on demand.
KILLS = int(os.environ.get("MSGKIT_TEST_ROUNDS", "5"))
VISITS = 20
_ASKED = {"MSGKIT_TEST_SEED", "MSGKIT_TEST_SEEDS"} & os.environ.keys()
_FIRST, _SEVERAL = int(os.environ.get("MSGKIT_TEST_SEED", "1")), int(os.environ.get("MSGKIT_TEST_SEEDS", "20"))
#: For each broker.
SEEDS = range(_FIRST, _FIRST + _SEVERAL)
SECONDS = float(os.environ.get("MSGKIT_TEST_SECONDS", "3"))
#: How many are sent before it is looked whether they are handled, and how many may wait.
_BURST, _MOST = 50, 1000
#: Seconds within which somebody handles something.
_OUTAGE = 120.0


async def kill_consumers(harness: Harness) -> None:
    """Kill one process after the other under load, and have the last one handle what is left."""
    async with Lab(harness, "killed") as lab:
        queue = lab.queue()
        await lab.declare(queue)
        async with sending(lab, queue):
            for number in range(KILLS):
                name = f"victim-{number}"
                victim = await lab.spawn(queue, name, concurrency=4)
                await lab.until(partial(_is_at_work, lab, name), f"{name} at work")
                async with lab.fault("consumer-kill", name):
                    await victim.kill()
        heir = lab.handler(queue, "heir").does(accept, concurrency=4)
        async with lab.application(heir):
            await lab.until(lambda: lab.is_settled(queue), "all handled at last")


async def visit(harness: Harness) -> None:
    """Have consumers come and go under load, beside one that stays."""
    async with Lab(harness, "visited") as lab:
        queue = lab.queue()
        host = lab.handler(queue, "host").does(takes(0.005), concurrency=4)
        async with lab.application(host):
            async with sending(lab, queue):
                for number in range(VISITS):
                    name = f"visitor-{number}"
                    visitor = lab.handler(queue, name).does(takes(0.005), concurrency=4)
                    async with lab.application(visitor):
                        await lab.until(partial(has_some, lab, name), f"{name} at work")
            await lab.until(lambda: lab.is_settled(queue), "all handled at last")


def has_some(lab: Lab, consumer: str) -> bool:
    return lab.begun(consumer) > 10


def _begun(lab: Lab) -> int:
    return sum(isinstance(each, Began) for each in lab.ledger.records)


def _is_at_work(lab: Lab, consumer: str) -> bool:
    return lab.begun(consumer) > 20


@asynccontextmanager
async def sending(lab: Lab, queue: Queue[str]) -> AsyncGenerator[None]:
    """Send on and on, whatever becomes of it; a while without consumers is not to make hours of work."""
    done = asyncio.Event()

    async def send() -> None:
        sent = 0

        def is_wanted() -> bool:
            return done.is_set() or sent < _begun(lab) + _MOST

        while not done.is_set():
            for number in range(sent, sent + _BURST):
                await lab.offer(queue, f"job {number}", key=f"{number % 7}")
            sent += _BURST
            await lab.until(is_wanted, "so much handled", within=_OUTAGE)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        done.set()
        await task


def of_version(number: int, versions: int) -> range:
    """Return the seeds for one of a broker's versions: they share them, but each has all that were asked for."""
    return SEEDS if _ASKED else SEEDS[number::versions]


async def run_at_random(harness: Harness, seed: int, seconds: float = SECONDS) -> None:
    async with Lab(harness, f"soak-{seed}") as lab:
        await Soak(lab, seed).run(seconds)
