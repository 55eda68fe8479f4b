import asyncio
from collections.abc import Awaitable, Callable

import pytest

from msgkit.container.worker import Interrupted, Watchdog, Worker
from msgkit.testing import VirtualClock
from tests.core.tiny import raw
from tests.core.workshop import until

Handler = Callable[[Worker], Awaitable[object]]


class Bench:
    """A worker that handles what it is given as the core's workers do, one after another."""

    def __init__(self, *handlers: Handler) -> None:
        self.outcomes: list[str] = []
        self._handlers = list(handlers)
        self.worker = Worker(self._work, "test")

    async def _work(self, worker: Worker) -> None:
        for handler in self._handlers:
            worker.begin((raw(),))
            try:
                outcome = repr(await handler(worker))
            except asyncio.CancelledError:
                outcome = repr(worker.cancelled())
            except Exception as error:  # noqa: BLE001 -- as the core does
                outcome = repr(error)
            finally:
                worker.finish()
            self.outcomes.append(outcome)
            # Where it would wait for the next message: what is left of a cancellation would come out here.
            await asyncio.sleep(0)

    async def done(self) -> list[str]:
        async with asyncio.timeout(5):
            await self.worker.task
        assert self.worker.task.cancelling() == 0
        return self.outcomes


async def sleeps(_: Worker) -> None:
    await asyncio.sleep(60)


async def returns(_: Worker) -> str:
    return "done"


async def began(bench: Bench) -> None:
    await until(lambda: bench.worker.raws)
    await asyncio.sleep(0)


async def test_what_is_interrupted_is_cancelled_and_the_worker_goes_on() -> None:
    bench = Bench(sleeps, returns)
    await began(bench)
    bench.worker.interrupt("timeout")
    assert await bench.done() == ["Interrupted('timeout')", "'done'"]


async def test_the_first_reason_counts() -> None:
    bench = Bench(sleeps, returns)
    await began(bench)
    for reason in ("lost", "timeout", "stop"):
        bench.worker.interrupt(reason)
    assert await bench.done() == ["Interrupted('lost')", "'done'"]


async def test_a_handler_may_clean_up_when_it_is_interrupted() -> None:
    cleaned: list[str] = []

    async def cleans_up(_: Worker) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    bench = Bench(cleans_up, returns)
    await began(bench)
    bench.worker.interrupt("timeout")
    assert await bench.done() == ["Interrupted('timeout')", "'done'"]
    assert cleaned == ["up"]


async def test_a_handler_that_swallows_its_cancellation_has_done_its_work() -> None:
    async def swallows(_: Worker) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "done nevertheless"

    bench = Bench(swallows, sleeps, returns)
    await began(bench)
    bench.worker.interrupt("timeout")
    await until(lambda: bench.outcomes)
    await began(bench)
    bench.worker.interrupt("lost")
    assert await bench.done() == ["'done nevertheless'", "Interrupted('lost')", "'done'"]


async def test_a_handler_that_fails_while_it_is_interrupted_has_failed_so() -> None:
    async def fails(_: Worker) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while cleaning up")

    bench = Bench(fails, returns)
    await began(bench)
    bench.worker.interrupt("timeout")
    assert await bench.done() == ["ValueError('while cleaning up')", "'done'"]


async def test_a_time_limit_of_the_handlers_own_is_an_error_of_its_own() -> None:
    async def limited(_: Worker) -> None:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)

    assert await Bench(limited, returns).done() == ["TimeoutError()", "'done'"]


async def test_a_time_limit_inside_does_not_swallow_an_interruption() -> None:
    async def limited(_: Worker) -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(60)

    bench = Bench(limited, returns)
    await began(bench)
    bench.worker.interrupt("timeout")
    assert await bench.done() == ["Interrupted('timeout')", "'done'"]


async def test_an_interruption_reaches_into_a_group_of_tasks() -> None:
    cancelled: list[int] = []

    async def child(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(number)

    async def groups(_: Worker) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(child(number))

    bench = Bench(groups, returns)
    await began(bench)
    bench.worker.interrupt("timeout")
    assert await bench.done() == ["Interrupted('timeout')", "'done'"]
    assert sorted(cancelled) == [0, 1, 2]


@pytest.mark.parametrize("how", ["a future", "a task", "by raising"])
async def test_a_handler_that_is_cancelled_from_within_has_failed_and_the_worker_goes_on(how: str) -> None:
    async def cancelled_within(_: Worker) -> None:
        if how == "by raising":
            raise asyncio.CancelledError
        if how == "a future":
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.cancel)
            await future
        task = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    assert await Bench(cancelled_within, returns).done() == [
        "RuntimeError('the handler was cancelled from within')",
        "'done'",
    ]


async def test_a_handler_whose_task_was_cancelled_has_failed_and_the_worker_ends_with_it() -> None:
    bench = Bench(sleeps)
    await began(bench)
    bench.worker.task.cancel()
    await asyncio.wait({bench.worker.task}, timeout=5)
    assert bench.outcomes == ["RuntimeError('the task of the handler was cancelled')"]
    assert bench.worker.is_dismissed


async def test_the_end_of_the_worker_comes_through_an_interruption() -> None:
    """The loop ends while a handler is being interrupted: the worker ends, too."""
    bench = Bench(sleeps)
    await began(bench)
    bench.worker.interrupt("timeout")
    bench.worker.task.cancel()
    await asyncio.wait({bench.worker.task}, timeout=5)
    assert bench.worker.is_dismissed


async def test_a_cancellation_that_a_handler_swallowed_does_not_end_the_next_one() -> None:
    async def swallows(worker: Worker) -> str:
        worker.task.cancel()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "swallowed"
        return "never"

    bench = Bench(swallows, sleeps, returns)
    await until(lambda: bench.outcomes and bench.worker.raws)
    await asyncio.sleep(0)
    bench.worker.interrupt("timeout")
    async with asyncio.timeout(5):
        await bench.worker.task
    assert bench.outcomes == ["'swallowed'", "Interrupted('timeout')", "'done'"]
    assert not bench.worker.is_dismissed


async def test_an_interruption_that_arrives_as_the_handler_ends_hits_nobody_else() -> None:
    """The handler's last wait is over, and its task about to run, when the interruption comes."""
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ends(_: Worker) -> str:
        try:
            await gate
        except asyncio.CancelledError:
            return "was cancelled"
        return "done"

    bench = Bench(ends, sleeps, returns)
    await began(bench)
    gate.set_result(None)
    bench.worker.interrupt("timeout")
    await until(lambda: bench.outcomes)
    assert bench.outcomes == ["'was cancelled'"]
    await began(bench)
    bench.worker.interrupt("lost")
    assert await bench.done() == ["'was cancelled'", "Interrupted('lost')", "'done'"]


async def test_an_interruption_from_the_handlers_own_call_hits_nobody_else() -> None:
    """A send of the handler's may find the connection lost, and with it the delivery at hand."""

    async def loses_itself(worker: Worker) -> str:
        worker.interrupt("lost")
        return "done at once"

    async def is_not_hit(_: Worker) -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    assert await Bench(loses_itself, is_not_hit).done() == ["'done at once'", "'done'"]


async def test_an_interruption_from_the_handlers_own_call_cancels_it_where_it_waits() -> None:
    async def loses_itself_and_goes_on(worker: Worker) -> None:
        worker.interrupt("lost")
        await asyncio.sleep(60)

    assert await Bench(loses_itself_and_goes_on, returns).done() == ["Interrupted('lost')", "'done'"]


async def test_who_has_nothing_at_hand_is_not_interrupted() -> None:
    async def work(worker: Worker) -> str:
        await worker.idle()
        return "woken"

    worker = Worker(work, "test")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- its result is looked at
    await asyncio.sleep(0)
    worker.interrupt("timeout")
    worker.wake()
    worker.wake()
    assert await worker.task == "woken"  # type: ignore[func-returns-value]  # this one returns


# -- the watchdog


class Watched:
    """Workers under a watchdog that notes whose time is up."""

    def __init__(self, number: int) -> None:
        self.clock = VirtualClock(0)
        self.overrun: list[int] = []
        self.workers = [Worker(self._wait, f"test-{each}") for each in range(number)]
        self.watchdog = Watchdog(self.workers, clock=self.clock, overrun=self._note)

    async def _wait(self, worker: Worker) -> None:
        await worker.idle()

    def _note(self, worker: Worker) -> None:
        self.overrun.append(self.workers.index(worker))

    async def end(self) -> None:
        self.watchdog.stop()
        for worker in self.workers:
            worker.wake()
        await asyncio.gather(*(worker.task for worker in self.workers))


async def test_the_watchdog_finds_each_whose_time_is_up_in_time() -> None:
    watched = Watched(3)
    await asyncio.sleep(0)
    for place, seconds in enumerate((30, 10, 20)):
        watched.watchdog.watch(watched.workers[place], seconds)
    for now, overrun in ((9, []), (10, [1]), (19, [1]), (20, [1, 2]), (30, [1, 2, 0]), (1000, [1, 2, 0])):
        watched.clock.advance_to(now)
        assert watched.overrun == overrun
    assert watched.clock.next_due is None
    await watched.end()


async def test_who_is_given_more_time_has_it_and_who_has_finished_is_left_alone() -> None:
    watched = Watched(2)
    await asyncio.sleep(0)
    patient, finished = watched.workers
    watched.watchdog.watch(patient, 10)
    watched.watchdog.watch(finished, 10)
    watched.clock.advance_to(5)
    watched.watchdog.watch(patient, 20)
    finished.finish()
    watched.clock.advance_to(24)
    assert watched.overrun == []
    watched.clock.advance_to(25)
    assert watched.overrun == [0]
    await watched.end()


async def test_one_timer_is_enough_for_all_and_none_is_left_when_the_watch_ends() -> None:
    watched = Watched(5)
    await asyncio.sleep(0)
    for worker in watched.workers:
        for _ in range(100):
            worker.begin((raw(),))
            watched.watchdog.watch(worker, 10)
            worker.finish()
    assert len([timer for _, _, timer in watched.clock._timers if timer.callback]) == 1  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- only it knows
    await watched.end()
    assert watched.clock.next_due is None


def test_an_interruption_says_why() -> None:
    assert str(Interrupted("timeout")) == "timeout"
