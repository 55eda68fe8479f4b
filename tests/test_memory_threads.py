import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from msgkit.settlement import ACCEPT
from msgkit.spi import BindingOptions, QueueSpec
from msgkit_memory import Broker, MemoryBinding
from tests.memory_client import Bench, message, until

ORDERED = QueueSpec(name="jobs", ordered=True)
JOBS = QueueSpec(name="jobs")


class Thread(threading.Thread):
    """Runs a coroutine on a loop of its own; `join` raises what it raised."""

    def __init__(self, work: Callable[[], Awaitable[None]], *, debug: bool = False) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._debug = debug
        self._error: BaseException | None = None

    def run(self) -> None:
        async def work() -> None:
            await self._work()

        try:
            asyncio.run(work(), debug=self._debug)
        except BaseException as error:  # noqa: BLE001 -- raised again in the thread of the test
            self._error = error

    def finish(self) -> None:
        self.join(60)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("spec", [JOBS, ORDERED])
def test_loops_in_two_threads_share_a_broker_and_nothing_is_lost_or_doubled(
    spec: QueueSpec,
    debug: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    url = f"memory://threads-{spec.ordered}-{debug}"
    number = 2_000 if debug else 20_000
    got: list[Counter[str]] = [Counter(), Counter()]
    order: dict[str, list[int]] = {}
    declared = threading.Barrier(2, timeout=30)

    async def work(me: int) -> None:
        async with Bench.open(url) as bench:
            await bench.declare(spec)
            sink = await bench.consume(spec, settle=ACCEPT)
            declared.wait()
            for sent in range(number // 2):
                key = f"{me}-{sent % 50}"
                await bench.binding.send(message(f"{me}-{sent}", key=key))
            async with asyncio.timeout(60):
                while got[0].total() + got[1].total() < number:
                    fresh, sink.got = sink.got, []
                    for delivery in fresh:
                        body = delivery.envelope.body.decode()
                        got[me][body] += 1
                        if spec.ordered:
                            key = delivery.envelope.key or ""
                            order.setdefault(key, []).append(int(body.partition("-")[2]))
                    await asyncio.sleep(0)

    threads = [Thread(partial(work, me), debug=debug) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.finish()
    Broker.forget(url)
    both = got[0] + got[1]
    assert len(both) == number
    assert set(both.values()) == {1}
    assert all(counter for counter in got)


def test_a_client_whose_loop_was_closed_without_goodbye_counts_as_crashed() -> None:
    url = "memory://abandoned-loop"

    async def leave_without_a_word() -> None:
        bench = Bench(MemoryBinding(BindingOptions(url=url)))
        await bench.binding.connect(bench.events.append)
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send("seen")
        await sink.has(1)

    asyncio.run(leave_without_a_word())

    async def take_over() -> None:
        async with Bench.open(url) as bench:
            await bench.send("unseen")
            sink = await bench.consume(JOBS)
            await sink.has(2)
            assert sink.bodies == ["seen", "unseen"]
            assert [each.crashes for each in sink.got] == [1, 0]
            assert len(bench.broker.clients) == 1

    asyncio.run(take_over())
    Broker.forget(url)


def test_a_client_without_consumers_whose_loop_was_closed_is_forgotten() -> None:
    url = "memory://abandoned-sender"

    async def leave_without_a_word() -> None:
        bench = Bench(MemoryBinding(BindingOptions(url=url)))
        await bench.binding.connect(bench.events.append)

    asyncio.run(leave_without_a_word())
    broker = Broker.at(url)
    assert len(broker.clients) == 1
    broker.faults.disconnect()
    assert len(broker.clients) == 0
    Broker.forget(url)


def test_a_loop_that_is_busy_keeps_nobody_else_waiting() -> None:
    url = "memory://busy-loop"
    ready, done = threading.Event(), threading.Event()

    async def be_busy() -> None:
        async with Bench.open(url) as bench:
            await bench.declare(JOBS)
            await bench.consume(JOBS, credit=1)
            ready.set()
            done.wait(30)

    thread = Thread(be_busy)
    thread.start()
    assert ready.wait(30)

    async def work() -> None:
        async with Bench.open(url) as bench:
            sink = await bench.consume(JOBS, settle=ACCEPT)
            for number in range(10):
                await bench.send(str(number))
            # One may be with the busy one, all others come.
            await sink.has(9)
            await bench.send("later", delay=0.01)
            await until(lambda: "later" in sink.bodies)

    asyncio.run(work())
    done.set()
    thread.finish()
    Broker.forget(url)


def test_faults_reach_clients_in_other_threads() -> None:
    url = "memory://remote-faults"
    ready, done = threading.Event(), threading.Event()
    events: list[str] = []

    async def serve() -> None:
        async with Bench.open(url) as bench:
            await bench.declare(JOBS)
            await bench.consume(JOBS, settle=ACCEPT)
            ready.set()
            await until(lambda: len(bench.events) >= 2)
            events.extend(type(event).__name__ for event in bench.events)
            while not done.is_set():  # noqa: ASYNC110 -- an event of threads
                await asyncio.sleep(0.001)

    thread = Thread(serve)
    thread.start()
    assert ready.wait(30)
    broker = Broker.at(url)
    broker.faults.disconnect()

    async def send() -> None:
        async with Bench.open(url) as bench:
            await bench.send("x")
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                depth = await bench.depth(JOBS)
                if depth.agrees(ready=0):
                    return
                await asyncio.sleep(0.001)
            pytest.fail("the message was not handled")

    asyncio.run(send())
    done.set()
    thread.finish()
    Broker.forget(url)
    assert events[:2] == ["Down", "Up"]


def test_a_transient_broker_goes_with_its_last_client() -> None:
    async def use() -> None:
        async with Bench.open("memory://passing?transient=true") as bench:
            await bench.declare(JOBS)
            await bench.send()

    asyncio.run(use())
    assert Broker.at("memory://passing").depths() == {}
    Broker.forget("memory://passing")
    gc.collect()
