"""Reading partitions of which some cannot be read right now."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic

import pytest

from msgkit.testing.brokers import Kafka
from msgkit_kafka.fetching import Fetcher, Wish
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.records import Record
from msgkit_kafka.wire.subscriptions import Partition
from tests.kafka.plain import Plain
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]


@pytest.fixture
async def cluster(interop: Kafka) -> AsyncIterator[Cluster]:
    cluster = Cluster(Door(client="reading"), interop.addresses)
    await cluster.refresh([])
    yield cluster
    await cluster.close()


@pytest.fixture
async def fetcher(cluster: Cluster) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(cluster)
    yield fetcher
    await fetcher.close()


def wished(fetcher: Fetcher, topic: str, position: int = 0) -> tuple[Wish, "asyncio.Future[Sequence[Record]]"]:
    """Wish for what is in a topic's first partition; return what will be there."""
    coming: asyncio.Future[Sequence[Record]] = asyncio.get_running_loop().create_future()
    wish = Wish(Partition(topic, 0), position, lambda found, _: coming.set_result(found.records), coming.set_exception)
    fetcher.fetch(wish)
    return wish, coming


async def test_what_cannot_be_read_is_looked_at_now_and_then_while_others_of_its_broker_are_read(
    cluster: Cluster, fetcher: Fetcher, plain: Plain, name: str
) -> None:
    await plain.create_topic(name)
    await cluster.refresh([name])
    # This one was deleted just now, and nobody has told us.
    cluster.topics[f"{name}.gone"] = cluster.topics[name]
    began = monotonic()
    gone, _ = wished(fetcher, f"{name}.gone")
    async with plain.sending() as send, asyncio.timeout(20):
        for number in range(50):
            await send(name, b"%d" % number, 0)
            _, coming = wished(fetcher, name, number)
            assert [record.value for record in await coming] == [b"%d" % number]
    assert 1 <= gone.missed <= 2 + (monotonic() - began) / 0.1


async def test_a_topic_that_is_not_there_is_said_to_be_missing_and_read_as_soon_as_it_is(
    fetcher: Fetcher, plain: Plain, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, coming = wished(fetcher, name)

    async def is_told() -> bool:
        return f"topic {name!r} is not there" in caplog.text

    await until(is_told)
    await plain.create_topic(name)
    await plain.send(name, b"at last")
    async with asyncio.timeout(20):
        assert [record.value for record in await coming] == [b"at last"]
