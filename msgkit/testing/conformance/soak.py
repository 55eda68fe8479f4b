"""Anything at any time: seeded random producers, consumers and faults, settled by the ledger.

`python -m msgkit.testing.conformance.soak --url memory:// --seeds 20 --seconds 3`
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from random import Random

from msgkit.application import Application
from msgkit.message import Message, SendOptions
from msgkit.policy import Backoff
from msgkit.settlement import Reject, Retry
from msgkit.spi import Power
from msgkit.testing.conformance.handlers import Boom, Handler, Outcome, accept
from msgkit.testing.conformance.harness import Fault, Harness
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.ledger.records import FaultKind
from msgkit.topology import Exchange, Queue

__all__ = ["PlainHarness", "Soak", "main"]

_LONGEST_DELAY = 0.2
#: How long consumers are left alone after a judgement, in units of what it took.
_RECOVERY = 9
_KEYS = ("a", "b", "c", "d", None)


class PlainHarness(Harness):
    """A broker that is there already, with nothing done to it."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def url(self) -> str:
        return self._url


class Soak:
    """One seeded run."""

    def __init__(self, lab: Lab, seed: int, *, faults: bool = True) -> None:
        self._lab = lab
        self._random = Random(seed)  # noqa: S311 -- for repeating a run, not for secrets
        self._faulty = faults
        self._sent = 0
        self._consumers = 0
        self._stop = asyncio.Event()
        self._running: set[Application] = set()
        self._exchange = lab.exchange("soak")
        self._queues = self._topology(self._exchange)
        self._retry = Backoff(4, first=0.01, factor=2.0, limit=0.1)

    def _topology(self, exchange: Exchange[str]) -> list[Queue[str]]:
        lab = self._lab
        queues = [lab.queue("loose", exchange.where("*.x")), lab.queue("direct")]
        if not lab.keeps_no_order:
            queues.append(lab.queue("ordered", exchange.where(), ordered=True))
        return queues

    async def run(self, seconds: float) -> None:
        """Go on for a while, then let everything come to rest."""
        await self._lab.declare(*self._queues)
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(self._produce(f"producer-{number}"))
            for _ in range(2):
                group.create_task(self._consume())
            if self._faulty:
                group.create_task(self._disturb())
            await asyncio.sleep(seconds)
            self._stop.set()
        await self._lab.harness.heal()
        await self._come_to_rest()

    # -- producers

    async def _produce(self, name: str) -> None:
        while not self._stop.is_set():
            self._sent += 1
            key = self._random.choice(_KEYS)
            to = self._random.choice((self._exchange, self._queues[1]))
            subject = self._random.choice(("a.x", "a.y"))
            await self._offer(to, f"{name}-{self._sent}", key, subject, name)
            await asyncio.sleep(self._random.expovariate(300))

    async def _offer(
        self, to: Exchange[str] | Queue[str], payload: str, key: str | None, subject: str, by: str
    ) -> None:
        options = SendOptions(subject=subject)
        if key is not None:
            options["key"] = key
        if self._random.random() < 0.1 and not self._lab.refused(Power.DELAY):
            options["delay"] = self._random.uniform(0, _LONGEST_DELAY)
        await self._lab.offer(to, payload, sender=by, **options)

    # -- consumers that come and go

    async def _consume(self) -> None:
        while not self._stop.is_set():
            drain = self._random.choice((0.0, 0.05, 1.0))
            # It may begin during an outage, which takes as long as the machine takes to start a broker.
            settings = self._lab.harness.settings(drain=drain, wait_for_broker=5 * self._lab.patience)
            handlers = self._handlers(self._behave)
            async with self._lab.application(*handlers, settings=settings) as app:
                self._running.add(app)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._random.uniform(0.1, 1.0)):
                        await self._stop.wait()
                self._running.discard(app)

    def _handlers(self, behave: Callable[[Message[str]], Awaitable[Outcome]]) -> list[Handler]:
        self._consumers += 1
        return [
            self._lab.handler(queue, f"{queue.name}-c{self._consumers}", retry=self._retry).does(
                behave,
                concurrency=self._random.randint(1, 4),
                max_in_flight=self._random.choice((4, 16)),
                on_lost=self._random.choice(("cancel", "finish")),
            )
            for queue in self._queues
        ]

    async def _behave(self, _message: Message[str]) -> Outcome:
        """Mostly accept; now and then fail, be slow, ask for a retry or reject."""
        luck = self._random.random()
        if luck < 0.3:
            await asyncio.sleep(self._random.expovariate(100))
        match int(luck * 100) % 20:
            case 0 | 1:
                raise Boom
            case 2:
                return Retry(after=self._random.uniform(0, 0.05))
            case 3:
                return Reject("bad luck")
            case _:
                return None

    # -- faults

    async def _disturb(self) -> None:
        faults = [fault for fault in self._FAULTS if fault in self._lab.harness.faults]
        while faults and not self._stop.is_set():
            await asyncio.sleep(self._random.uniform(0.0, 0.2))
            fault = self._random.choice(faults)
            await self._FAULTS[fault](self)

    async def _cut(self) -> None:
        await self._touching("connection-loss", self._lab.harness.cut_connections)

    async def _restart(self) -> None:
        await self._outage("broker-stop", self._lab.harness.stop, self._lab.harness.start)

    async def _kill(self) -> None:
        await self._outage("broker-kill", self._lab.harness.kill, self._lab.harness.start)

    async def _freeze(self) -> None:
        await self._outage("pause", self._lab.harness.pause, self._lab.harness.resume)

    async def _expire(self) -> None:
        queue = self._random.choice(self._queues)
        await self._touching("lease-expiry", lambda: self._lab.harness.expire_leases(queue))

    async def _revoke(self) -> None:
        queue = self._random.choice(self._queues)
        await self._touching("revoke", lambda: self._lab.harness.revoke(queue, 0.05))

    async def _lose_confirms(self) -> None:
        stored = self._random.random() < 0.5

        async def lose() -> None:
            await self._lab.harness.lose_confirm(stored=stored)
            await self._flows()

        await self._touching("connection-loss", lose)

    async def _slow(self) -> None:
        await self._lab.harness.slow(self._random.uniform(0, 0.01))
        await asyncio.sleep(self._random.uniform(0, 0.1))
        await self._lab.harness.slow(0)

    async def _fail_settlements(self) -> None:
        # To a consumer it is as if the broker answered nothing; and until a settlement has been
        # taken at last, any other fault may undo it.
        n = self._random.randint(1, 5)
        await self._touching("pause", lambda: self._lab.harness.fail_settlements(n))

    async def _outage(
        self,
        kind: FaultKind,
        begin: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        async def both() -> None:
            await begin()
            await asyncio.sleep(self._random.uniform(0, 0.2))
            await end()

        await self._touching(kind, both)

    async def _touching(self, kind: FaultKind, do: Callable[[], Awaitable[None]]) -> None:
        """Do a fault, and take it for over when messages flow again and what it lost is known."""
        async with self._lab.fault(kind):
            await do()
            await self._lab.until(self._flows, "a message confirmed after the fault")
            await self._lab.until(self._is_well, "every application well after the fault")
            await asyncio.sleep(5 * self._lab.harness.tolerance)

    async def _flows(self) -> bool:
        self._sent += 1
        outcome = await self._lab.offer(self._exchange, f"probe-{self._sent}", sender="probe", subject="a.x")
        return outcome == "confirmed"

    async def _is_well(self) -> bool:
        return all([await self._lab.is_healthy(app) for app in tuple(self._running)])

    _FAULTS = {  # noqa: RUF012 -- a table of methods, which nobody changes
        Fault.CUT: _cut,
        Fault.STOP: _restart,
        Fault.KILL: _kill,
        Fault.PAUSE: _freeze,
        Fault.EXPIRE: _expire,
        Fault.REVOKE: _revoke,
        Fault.LOSE_CONFIRM: _lose_confirms,
        Fault.SLOW: _slow,
        Fault.FAIL_SETTLEMENTS: _fail_settlements,
    }

    # -- the end

    async def _come_to_rest(self) -> None:
        async with self._lab.application(*self._handlers(accept)):
            # What was sent to the exchange with a delay is in no queue until it is due.
            afterwards = self._lab.harness.afterwards if self._faulty else 0.0
            await asyncio.sleep(_LONGEST_DELAY + self._lab.capabilities.delay.lateness + afterwards)
            await self._all_handled()
            for queue in self._queues:
                await self._lab.until(
                    partial(self._lab.is_settled, queue),
                    f"{queue.name} empty at last",
                    within=5 * self._lab.patience,
                )

    async def _all_handled(self) -> None:
        try:
            await self._lab.until(self._is_handled, "everything handled at last", within=self._lab.patience)
        except AssertionError as error:
            # Where much was sent judging takes long, and the last look may have been long ago.
            found = self._lab.ledger.judge(self._lab.harness.tolerance)
            if "handled" in found.rules:
                # Which messages lack is what helps to find out why.
                raise AssertionError(f"{error}\n{found}") from None

    async def _is_handled(self) -> bool:
        began = time.perf_counter()
        is_handled = "handled" not in self._lab.ledger.judge(self._lab.harness.tolerance).rules
        # Nothing is handled meanwhile, and it takes longer the more was sent.
        await asyncio.sleep(_RECOVERY * (time.perf_counter() - began))
        return is_handled


async def _soak(harness: Harness, seed: int, seconds: float) -> str:
    async with Lab(harness, f"soak-{seed}") as lab:
        await Soak(lab, seed).run(seconds)
    # The lab has read the dead letters on leaving, and judged: here it is only told.
    return str(lab.ledger.judge(harness.tolerance)).splitlines()[0]


async def _main(arguments: argparse.Namespace) -> int:
    failures = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        began = time.monotonic()
        async with _harness(arguments) as harness:
            try:
                told = await _soak(harness, seed, arguments.seconds)
            except Exception as error:  # noqa: BLE001 -- whatever went wrong is what was looked for
                failures += 1
                told = f"FAILED: {type(error).__name__}: {error}"
        sys.stdout.write(f"seed {seed}, {time.monotonic() - began:.1f} s: {told}\n")
    return min(failures, 1)


def _harness(arguments: argparse.Namespace) -> Harness:
    if arguments.harness is None:
        return PlainHarness(arguments.url)
    module, _, name = arguments.harness.partition(":")
    make: Callable[[], Harness] = getattr(import_module(module), name)
    return make()


def main() -> int:
    """Run from the command line; 1 when a run broke a promise."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--url", default="memory://", help="a broker to which nothing is done")
    parser.add_argument("--harness", help="module:Class of a harness, for faults")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each seed")
    logging.disable(logging.CRITICAL)
    return asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
