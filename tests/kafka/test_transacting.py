"""One producer of transactions, and who gets it next when whoever had it does not wait for its end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar, cast

import pytest

from msgkit.envelope import new_id
from msgkit.errors import DeliveryLost
from msgkit.testing.brokers import Kafka
from msgkit_kafka.groups import Groups
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.logs import LATEST
from msgkit_kafka.wire.producers import END_TRANSACTION
from msgkit_kafka.wire.subscriptions import Partition
from msgkit_kafka.wire.topics import CREATE_TOPICS, NewTopic, NewTopics
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A", bound=tuple[Any, ...])


class Slow(Cluster):
    """One that says how a transaction ends when it is let, and not before."""

    def __init__(self, broker: Kafka) -> None:
        super().__init__(Door(client="slow"), broker.addresses)
        self.is_asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def ask(
        self, node: int, api: Api[Q, A], question: Q, *, purpose: str = "asking", patience: float | None = 0.0
    ) -> A:
        if api is cast("Api[Q, A]", END_TRANSACTION):
            self.is_asked.set()
            await self.may_go_on.wait()
        return await super().ask(node, api, question, purpose=purpose, patience=patience)


@pytest.fixture
async def cluster(interop: Kafka) -> AsyncIterator[Slow]:
    cluster = Slow(interop)
    await cluster.refresh([])
    yield cluster
    await cluster.close()


@pytest.fixture
async def topic(cluster: Slow) -> str:
    name = f"transacting.{new_id()}"
    await cluster.ask_controller(CREATE_TOPICS, NewTopics([NewTopic(name, 1, 1, [], [])], 5_000), patience=5)
    return name


class Another:
    """A settler whose delivery is another's by now."""

    @property
    def membership(self) -> Membership:
        return cast("Membership", self)

    @property
    def group(self) -> str:
        return "another"

    async def begun(self) -> None: ...

    def points(self) -> Mapping[Partition, Point]:
        raise DeliveryLost("it was taken back")


async def cancel_again_and_again(task: "asyncio.Task[None]") -> None:
    for _ in range(5):
        task.cancel()
        # So that it hears of each one.
        for _ in range(5):
            await asyncio.sleep(0)


async def is_another_lent(producers: Producers, ever: list[object]) -> bool:
    with producers.one() as producer:
        return producer not in ever


@pytest.mark.parametrize("settled", [[], [Another()]], ids=["commit", "abort"])
async def test_a_producer_is_not_lent_again_before_its_transaction_has_ended_however_often_its_user_is_cancelled(
    cluster: Slow, topic: str, settled: list[Another]
) -> None:
    producers = Producers(cluster, f"slow-{new_id()}")
    seen, lent = asyncio.Event(), list[object]()

    async def use() -> None:
        with producers.one() as producer:
            lent.append(producer)
            assert not await producer.missing([topic])
            await producer.commit([Placed(topic, (None, b"x", [], 0), None)], settled, seen.set)

    async with asyncio.timeout(30):
        using = asyncio.create_task(use())
        await cluster.is_asked.wait()
        await cancel_again_and_again(using)
        assert not using.done()
        assert await is_another_lent(producers, lent)
        cluster.may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert seen.is_set() == (not settled)
        assert not await is_another_lent(producers, lent)

        async def is_ended() -> bool:
            # The record is there, and the mark that it is whole, or that it never was.
            return list((await Groups(cluster).ends([Partition(topic, 0)], LATEST)).values()) == [2]

        await until(is_ended)
