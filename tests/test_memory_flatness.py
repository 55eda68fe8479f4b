import asyncio
import gc
import tracemalloc
from collections.abc import Sequence

import pytest

from msgkit.envelope import Kind
from msgkit.settlement import ACCEPT
from msgkit.spi import QueueSpec, RawDelivery, RouteSpec
from tests.memory_client import Bench, Collector, message, turns

SPECS = {
    "unordered": QueueSpec(name="jobs", routes=(RouteSpec(exchange="x"),)),
    "ordered": QueueSpec(name="jobs", routes=(RouteSpec(exchange="x"),), ordered=True),
    "ranked": QueueSpec(name="jobs", routes=(RouteSpec(exchange="x"),), priorities=5),
}


class Forgetting(Collector):
    """A sink that keeps nothing."""

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        for delivery in batch:
            assert self.consumer.settle(delivery, ACCEPT) is None
        self.consumer.credit(len(batch))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
async def test_memory_stays_flat_however_many_messages_pass(spec: QueueSpec) -> None:
    async def pass_messages(number: int) -> int:
        for place in range(number):
            body = str(place)
            sent = message(body, "x", kind=Kind.EXCHANGE, subject=f"s.{place}", key=body)
            await bench.binding.send(sent)
        await turns()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async with Bench.open() as bench:
        await bench.declare(spec)
        await bench.consume(spec, sink=Forgetting())
        tracemalloc.start()
        try:
            first = await pass_messages(4_000)
            second = await pass_messages(12_000)
        finally:
            tracemalloc.stop()
        assert second - first < 100_000


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
async def test_a_message_leaves_no_cycle_for_the_collector(spec: QueueSpec) -> None:
    async with Bench.open("memory://cycles?retain=0&transient=1") as bench:
        await bench.declare(spec)
        await bench.consume(spec, sink=Forgetting())
        await bench.send("x", "x", kind=Kind.EXCHANGE, key="a")
        await turns()
        gc.collect()
        gc.disable()
        try:
            for _ in range(500):
                await bench.send("x", "x", kind=Kind.EXCHANGE, key="a")
            await turns()
            assert gc.collect() < 100
        finally:
            gc.enable()


async def test_what_is_retained_for_replay_is_bounded_in_number_and_in_bytes() -> None:
    async with Bench.open("memory://bounded?retain=100&transient=1") as bench:
        spec = SPECS["unordered"]
        await bench.declare(spec)
        await bench.consume(spec, sink=Forgetting())
        log = bench.broker.content.exchanges["x"].log
        assert log is not None
        for _ in range(300):
            await bench.send("x", "x", kind=Kind.EXCHANGE)
        assert len(list(log.since(None))) == 100
        for _ in range(30):
            await bench.send("x" * 1_000_000, "x", kind=Kind.EXCHANGE)
        assert len(list(log.since(None))) == 8


async def test_a_burst_of_delays_that_were_purged_holds_no_message() -> None:
    async with Bench.open("memory://purged?retain=0&transient=1") as bench:
        spec = SPECS["unordered"]
        await bench.declare(spec)
        tracemalloc.start()
        try:
            for number in range(1000):
                await bench.send(str(number % 10) * 10_000, delay=3600.0)
            assert tracemalloc.get_traced_memory()[0] > 10_000_000
            assert await bench.binding.purge(spec) == 1000
            assert tracemalloc.get_traced_memory()[0] < 1_000_000
        finally:
            tracemalloc.stop()
        assert bench.broker.scheduled() < 100


async def test_under_the_eyes_of_asyncios_debug_mode_nothing_is_amiss() -> None:
    asyncio.get_running_loop().set_debug(enabled=True)
    async with Bench.open() as bench:
        spec = SPECS["ordered"]
        await bench.declare(spec)
        sink = await bench.consume(spec, settle=ACCEPT)
        for number in range(500):
            await bench.send(str(number), key=str(number % 3), delay=0.001 if number % 2 else None)
        bench.broker.faults.disconnect()
        await bench.send("last")
        await sink.has(501)
