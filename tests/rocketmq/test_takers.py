"""Whoever takes from one broker, on a real RocketMQ."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.popping import Filter, Popping, Source
from msgkit_rocketmq.client.taking import Taken
from msgkit_rocketmq.takers import Taker
from tests.rocketmq.operating import PATIENCE, made, new_place, sent

pytestmark = pytest.mark.broker


class Holder:
    """Has room for ten."""

    def __init__(self) -> None:
        self.left = 10
        self.bodies = asyncio.Queue[bytes]()

    async def room(self) -> int:
        room, self.left = self.left, 0
        return room or await asyncio.Event().wait()

    def came(self, _source: Source, taken: Sequence[Taken], room: int, _asked_at: float, /) -> None:
        self.left += room - len(taken)
        for each in taken:
            self.bodies.put_nowait(each.record.body)

    async def body(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.bodies.get()


class Late(Popping):
    """Its answers come when they are let through."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.asked = asyncio.Event()
        self.let_through = asyncio.Event()

    async def pop(self, *what: Any, **how: Any) -> Sequence[Taken]:
        found = await super().pop(*what, **how)
        self.asked.set()
        await self.let_through.wait()
        return found


@asynccontextmanager
async def taking(
    cluster: Cluster, popping: Popping, source: Source, holder: Holder
) -> AsyncGenerator["asyncio.Task[None]"]:
    task = asyncio.create_task(Taker(cluster, popping, source, holder, 30.0).work())
    yield task
    task.cancel()
    await asyncio.wait([task])
    await popping.close()


async def test_what_a_broker_cannot_filter_by_is_filtered_here(
    cluster: Cluster, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"one")
    holder, odd = Holder(), source._replace(filter=Filter("SQL92", "TAGS = ("))
    async with taking(cluster, Popping(cluster), odd, holder):
        assert await holder.body() == b"one"
    assert "cannot filter by" in caplog.text


async def test_what_was_asked_for_before_the_end_comes_to_its_holder_all_the_same(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"one")
    holder, popping = Holder(), Late(cluster)
    async with taking(cluster, popping, source, holder) as task, asyncio.timeout(PATIENCE):
        await popping.asked.wait()
        task.cancel()
        assert not (await asyncio.wait([task], timeout=0.05))[0]
        popping.let_through.set()
        await asyncio.wait([task])
        assert task.cancelled()
    assert holder.bodies.get_nowait() == b"one"
    assert holder.left == 9


async def test_one_that_is_ended_while_it_waits_ends_at_once(cluster: Cluster, name: str) -> None:
    source = await made(cluster, await new_place(cluster, name), name)
    async with taking(cluster, Popping(cluster), source, Holder()) as task:
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert not done
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=PATIENCE / 10)
        assert done
