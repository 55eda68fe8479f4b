"""Starting, stopping and working for long: nothing is lost, nothing comes twice, and nothing is left."""

import asyncio
import gc
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from msgkit import Application, Message, MessageTemplate, Queue, Reject, Retry, Settings, listener
from msgkit.testing.conformance.leaks import Leaks
from tests.core.workshop import Place, at_rest, until

jobs = Queue("jobs", int)

#: How many messages wait at most, so that there is always something to do and never too much.
_BACKLOG = 200


class Load:
    """Numbers that are sent for as long as a test runs, and which of them were handled."""

    def __init__(self, place: Place, template: MessageTemplate) -> None:
        self.sent = 0
        self.handled: list[int] = []
        self.is_over = False
        self._place = place
        self._template = template

    async def send(self) -> None:
        while not self.is_over:
            if self._place.waiting < _BACKLOG:
                numbers = list(range(self.sent, self.sent + 20))
                await self._template.send_many(jobs, numbers, key=str(self.sent % 7))
                self.sent += len(numbers)
            await asyncio.sleep(0.0005)

    def judge(self) -> None:
        assert [number for number, count in Counter(self.handled).items() if count > 1] == []
        assert set(self.handled) == set(range(self.sent))


@asynccontextmanager
async def under_load(place: Place, listens: Callable[[Load], Callable[..., Any]]) -> AsyncGenerator[tuple[Load, Any]]:
    """Have numbers sent meanwhile, and handled to the last when the block is left."""
    async with place.template(jobs) as template:
        load = Load(place, template)
        listening = listens(load)
        sending = asyncio.create_task(load.send())
        try:
            yield load, listening
        finally:
            load.is_over = True
            await sending
        async with Application([listening], settings=place.settings(drain=10)) as app:
            await until(lambda: place.waiting == 0)
            await at_rest(app, "jobs")
        load.judge()


def on_the_loop(load: Load) -> Callable[..., Any]:
    draw = random.Random(1)  # noqa: S311 -- the same history each time

    @listener(jobs, concurrency=4)
    async def handle(number: int) -> None:
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
        load.handled.append(number)

    return handle


def in_threads(load: Load) -> Callable[..., Any]:
    draw = random.Random(2)  # noqa: S311 -- as above

    @listener(jobs, concurrency=4)
    def handle(number: int) -> None:
        time.sleep(draw.choice([0, 0, 0.0002]))
        load.handled.append(number)

    return handle


@pytest.fixture(autouse=True)
def _undisturbed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that asyncio complains of goes unnoticed."""
    caplog.set_level(logging.ERROR, "msgkit")
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("listens", [on_the_loop, in_threads])
async def test_a_thousand_starts_and_stops_lose_nothing_and_handle_nothing_twice(
    listens: Callable[[Load], Callable[..., Any]], place: Place
) -> None:
    leaks = Leaks()
    async with under_load(place, listens) as (load, listening):
        app = Application([listening], settings=place.settings(drain=10))
        for _ in range(1000):
            before = len(load.handled)
            async with app:
                await until(lambda before=before: len(load.handled) > before)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert len(load.handled) >= 1000
    await until(lambda: not leaks.found())
    assert not place.broker.clients


async def test_handlers_that_are_cancelled_at_a_thousand_stops_are_run_again_and_counted_once(place: Place) -> None:
    """There is no time to finish: whatever waits is cancelled, and its message goes back."""
    leaks = Leaks()
    cancelled: list[int] = []
    attempts: set[int] = set()

    def listens(load: Load) -> Callable[..., Any]:
        draw = random.Random(3)  # noqa: S311 -- as above

        @listener(jobs, concurrency=4)
        async def handle(message: Message[int]) -> None:
            attempts.add(message.attempt)
            try:
                await asyncio.sleep(draw.choice([0, 0.0005, 0.002]))
            except asyncio.CancelledError:
                cancelled.append(message.payload)
                raise
            load.handled.append(message.payload)

        return handle

    async with under_load(place, listens) as (_, listening):
        app = Application([listening], settings=place.settings(drain=0))
        draw = random.Random(4)  # noqa: S311 -- as above
        for _ in range(1000):
            async with app:
                await asyncio.sleep(draw.choice([0, 0.001, 0.003]))
    assert len(cancelled) > 100
    assert attempts == {1}
    await until(lambda: not leaks.found())


@pytest.mark.parametrize("debug", [False, True])
async def test_runs_that_are_cancelled_anywhere_leave_nothing_behind(debug: bool, place: Place) -> None:  # noqa: FBT001 -- a parameter of a test
    """In the middle of the start, of the work, and of the stop."""
    asyncio.get_running_loop().set_debug(debug)
    asyncio.get_running_loop().slow_callback_duration = 60
    leaks = Leaks()
    async with under_load(place, on_the_loop) as (_, listening):
        draw = random.Random(5)  # noqa: S311 -- as above

        async def run() -> None:
            async with Application([listening], settings=place.settings(drain=10)):
                await asyncio.sleep(0.002)

        for _ in range(200 if debug else 1000):
            task = asyncio.create_task(run())
            for _ in range(draw.randrange(40)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
    await until(lambda: not leaks.found())
    assert not place.broker.clients


async def test_pausing_and_resuming_under_load_loses_nothing_and_handles_nothing_twice(place: Place) -> None:
    leaks = Leaks()
    async with (
        under_load(place, on_the_loop) as (load, listening),
        Application([listening], settings=place.settings(drain=10)) as app,
    ):
        for _ in range(500):
            before = len(load.handled)
            await until(lambda before=before: len(load.handled) > before)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            await app.pause(jobs)
            paused = len(load.handled)
            await asyncio.sleep(0)
            assert len(load.handled) == paused
            await app.resume(jobs)
    await until(lambda: not leaks.found())


@pytest.mark.slow
async def test_memory_stays_flat_over_two_hundred_thousand_messages_with_retries_and_dead_letters(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "msgkit")
    done = 0
    dead = 0

    @listener(jobs, concurrency=8)
    async def handle(message: Message[int]) -> None:
        nonlocal done
        if message.payload % 50 == 1 and message.attempt == 1:
            raise Retry(0)
        if message.payload % 50 == 2:
            raise Reject(f"no {message.payload}")
        done += 1

    @listener(jobs.dead_letters)
    async def bury(_: bytes) -> None:
        nonlocal dead
        dead += 1

    settings = Settings(url=f"{place.url}?retain=0")
    async with Application([handle, bury], settings=settings) as app:

        async def pass_through(first: int, count: int) -> int:
            for start in range(first, first + count, 500):
                numbers = range(start, start + 500)
                await asyncio.gather(
                    *(app.template.send(jobs, each, key=str(each), headers={"x": str(each)}) for each in numbers)
                )
                await until(lambda start=start: done + dead == start + 500)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            await at_rest(app, "jobs")
            gc.collect()
            return sys.getallocatedblocks()

        before = await pass_through(0, 50_000)
        after = await pass_through(50_000, 150_000)
    assert (done, dead) == (196_000, 4_000)
    # What is left to grow is cached: ids that sort, a few strings.
    assert after - before < 1000


async def test_threads_end_with_their_application(place: Place) -> None:
    before = threading.active_count()

    @listener(jobs, concurrency=16)
    def handle(number: int) -> None:
        time.sleep(0.001 if number else 0)

    for _ in range(20):
        async with Application([handle], settings=place.settings()) as app:
            await app.template.send_many(jobs, list(range(32)))
            await until(lambda: place.waiting == 0)
            await at_rest(app, "jobs")
            assert threading.active_count() > before
        await until(lambda: threading.active_count() == before)
