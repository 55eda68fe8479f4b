import asyncio
import traceback
from collections.abc import AsyncGenerator
from contextvars import ContextVar

import pytest

from msgkit import Application, Queue, Retry, listener
from msgkit.dispatch import isolated
from msgkit.testing import probe

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
jobs = Queue("jobs", int)


async def test_what_is_set_inside_is_seen_inside_and_not_outside() -> None:
    async def inside() -> list[str]:
        seen = [tenant.get()]
        token = tenant.set("inner")
        await asyncio.sleep(0)
        seen.append(tenant.get())
        tenant.reset(token)
        seen.append(tenant.get())
        tenant.set("left behind")
        return seen

    tenant.set("outer")
    assert await isolated(inside()) == ["outer", "inner", "outer"]
    assert tenant.get() == "outer"


async def test_what_is_set_outside_in_the_meantime_is_not_seen_inside() -> None:
    go_on = asyncio.Event()

    async def inside() -> str:
        await go_on.wait()
        return tenant.get()

    async def change() -> None:
        tenant.set("changed")
        go_on.set()

    tenant.set("outer")
    change_it = asyncio.create_task(change())
    assert await isolated(inside()) == "outer"
    await change_it


async def test_tasks_and_callbacks_begun_inside_have_the_context_of_inside() -> None:
    seen: list[str] = []

    async def note() -> None:
        seen.append(tenant.get())

    async def inside() -> None:
        tenant.set("inner")
        asyncio.get_running_loop().call_soon(lambda: seen.append(tenant.get()))
        async with asyncio.TaskGroup() as group:
            group.create_task(note())

    await isolated(inside())
    assert seen == ["inner", "inner"]


async def test_the_task_is_the_same_so_that_time_limits_work() -> None:
    async def inside() -> asyncio.Task[None] | None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        return asyncio.current_task()

    assert await isolated(inside()) is asyncio.current_task()


async def test_asynchronous_generators_run_inside() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            for number in range(3):
                await asyncio.sleep(0)
                tenant.set(f"generator {number}")
                yield number
        finally:
            closed.append(tenant.get())

    async def inside() -> list[int]:
        got = [number async for number in numbers()]
        generator = numbers()
        got.append(await anext(generator))
        await generator.aclose()
        return got

    assert await isolated(inside()) == [0, 1, 2, 0]
    assert closed == ["generator 2", "generator 0"]
    assert tenant.get() == "nobody"


async def test_an_error_comes_out_with_its_traceback() -> None:
    async def deep() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def inside() -> None:
        await deep()

    with pytest.raises(ValueError, match="no") as caught:
        await isolated(inside())
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-2:] == ["inside", "deep"]
    assert caught.value.__context__ is None


async def test_a_stop_iteration_is_an_error_and_no_result() -> None:
    async def inside() -> int:
        raise StopIteration(5)

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        await isolated(inside())


async def test_a_cancellation_reaches_inside_and_comes_out() -> None:
    seen: list[str] = []
    begun = asyncio.Event()

    async def inside() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    async def outside() -> None:
        await isolated(inside())

    task = asyncio.create_task(outside())
    await begun.wait()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert seen == ["cancelled", "cleaned up"]


async def test_a_cancellation_may_be_answered_with_a_result() -> None:
    begun = asyncio.Event()

    async def inside() -> str:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done nevertheless"
        return "done"

    async def outside() -> str:
        return await isolated(inside())

    task = asyncio.create_task(outside())
    await begun.wait()
    task.cancel()
    assert await task == "done nevertheless"


def test_what_is_closed_from_outside_is_closed_inside() -> None:
    closed: list[str] = []

    async def inside() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append("inside")

    async def outside() -> None:
        await isolated(inside())

    coroutine = outside()
    coroutine.send(None)
    coroutine.close()
    assert closed == ["inside"]


async def test_a_coroutine_that_never_waits_costs_no_turn_of_the_loop() -> None:
    turns: list[int] = []

    async def inside() -> int:
        return 5

    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert await isolated(inside()) == 5
    assert turns == []


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_what_one_handler_sets_does_not_reach_the_next_message(kind: str) -> None:
    seen: list[str] = []

    @listener(Queue("async", int))
    async def asynchronous(number: int) -> Retry | None:
        seen.append(tenant.get())
        tenant.set(f"tenant {number}")
        await asyncio.sleep(0)
        return Retry(0) if len(seen) == 1 else None

    @listener(Queue("thread", int))
    def in_a_thread(number: int) -> Retry | None:
        seen.append(tenant.get())
        tenant.set(f"tenant {number}")
        return Retry(0) if len(seen) == 1 else None

    async with probe(Application([asynchronous, in_a_thread])) as probed:
        await probed.template.send_many(Queue(kind, int), [1, 2, 3])
        await probed.idle()
    assert seen == ["nobody"] * 4
