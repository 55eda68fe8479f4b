"""What the members of a group say of their filters, on a real RocketMQ."""

from collections.abc import AsyncIterator

import pytest

from msgkit.errors import ConfigurationError
from msgkit.spi import QueueSpec, RouteSpec
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.agreeing import agree
from msgkit_rocketmq.client import groups
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.presence import Interest
from msgkit_rocketmq.layout import Layout
from msgkit_rocketmq.sources import Feed, feeds_of

pytestmark = pytest.mark.broker


@pytest.fixture
async def other(lending: RocketMQ) -> AsyncIterator[Cluster]:
    other = Cluster(Door(), lending.addresses)
    yield other
    await other.close()


def taking(*subjects: str) -> list[Feed]:
    routes = tuple(RouteSpec(exchange="orders", subject=subject) for subject in subjects)
    return list(feeds_of(QueueSpec(name="billing", routes=routes), Layout()).values())


async def test_whoever_takes_something_else_is_refused_while_others_are_there(
    cluster: Cluster, other: Cluster, name: str
) -> None:
    await groups.create(cluster, name)
    await agree(cluster, name, taking("eu.*", "us.*"))
    await agree(other, name, taking("us.*", "eu.*"))
    await other.presence.leave(name)
    with pytest.raises(ConfigurationError, match=r"others consume it with other routes than 'eu\.\*' from 'orders'"):
        await agree(other, name, taking("eu.*"))
    await cluster.presence.leave(name)
    await agree(other, name, taking("eu.*"))


async def test_one_client_is_held_to_what_it_said_as_well(cluster: Cluster, name: str) -> None:
    await groups.create(cluster, name)
    await agree(cluster, name, taking("eu.*"))
    with pytest.raises(ConfigurationError, match="other routes"):
        await agree(cluster, name, taking("us.*"))
    await agree(cluster, name, taking("eu.*"))


async def test_what_other_programs_say_is_theirs_to_answer_for(cluster: Cluster, other: Cluster, name: str) -> None:
    await groups.create(cluster, name)
    await other.presence.consume(name, [Interest("orders", "TagA || TagB", version=1)])
    await agree(cluster, name, taking("eu.*"))


async def test_a_queue_that_takes_no_part_of_an_exchange_says_nothing(cluster: Cluster, name: str) -> None:
    await groups.create(cluster, name)
    await agree(cluster, name, list(feeds_of(QueueSpec(name="jobs"), Layout()).values()))
    assert not await groups.members(cluster, name)
