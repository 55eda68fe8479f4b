"""The client, and what befalls a real RocketMQ and the way to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from msgkit.reaching import Address
from msgkit.testing import Direction
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.client import topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import ClientError, NotWritten, Refused, Unanswered
from tests.brokers.running import running
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("rocketmq-client-faults")]


@pytest.fixture(scope="module")
def faulty() -> Iterator[RocketMQ]:
    yield from running(RocketMQ(provider="process", proxied=True, config={"registerNameServerPeriod": 10_000}))


@pytest.fixture
async def ours(faulty: RocketMQ) -> AsyncIterator[Cluster]:
    ours = Cluster(Door(timeout=2.0), faulty.addresses)
    yield ours
    await ours.close()


@pytest.fixture
async def at(ours: Cluster) -> Address:
    (address,) = (await ours.masters()).values()
    return address


async def answers(ours: Cluster, at: Address) -> bool:
    """Tell whether the broker answers, now or soon."""
    try:
        await ours.ask(at, Request.GET_BROKER_RUNTIME_INFO, within=2.0)
    except ClientError:
        return False
    return True


async def waiting(ours: Cluster, at: Address, name: str) -> "asyncio.Task[object]":
    """Wait for a message that does not come, and be sure that the broker knows."""
    await topics.create(ours, name, queues=1)
    task = asyncio.create_task(_wait(ours, at, name))

    async def polls() -> bool:
        found = await ours.ask(at, Request.POLLING_INFO, {"consumerGroup": name, "topic": name, "queueId": -1})
        return found.fields.get("pollingNum") != "0"

    await until(polls)
    return task


async def _wait(ours: Cluster, at: Address, name: str) -> object:
    numbers = {
        "queueId": -1,
        "initMode": 0,
        "maxMsgNums": 1,
        "invisibleTime": 10_000,
        "pollTime": 60_000,
        "bornTime": 0,
    }
    return await ours.ask(at, Request.POP_MESSAGE, {"consumerGroup": name, "topic": name, **numbers}, within=60)


async def producers(ours: Cluster, at: Address, group: str) -> list[str]:
    """Return the clients that a broker knows in a group."""
    try:
        found = await ours.ask(at, Request.GET_PRODUCER_CONNECTION_LIST, {"producerGroup": group})
    except ClientError:
        return []
    return [each["clientId"] for each in json.loads(found.body)["connectionSet"]]


async def test_what_waits_when_the_connection_is_cut_is_told_and_the_next_question_goes_over_another(
    faulty: RocketMQ, ours: Cluster, at: Address, name: str
) -> None:
    task = await waiting(ours, at, name)
    await faulty.nodes[0].proxy.cut()
    with pytest.raises(Unanswered):
        await task
    await until(lambda: answers(ours, at))


async def test_an_answer_that_is_cut_in_the_middle_is_none(faulty: RocketMQ, ours: Cluster, at: Address) -> None:
    await ours.version(at)
    await faulty.nodes[0].proxy.cut_after(100, Direction.DOWN)
    with pytest.raises(Unanswered):
        await ours.ask(at, Request.GET_BROKER_CONFIG)
    assert await answers(ours, at)


async def test_a_broker_behind_a_black_hole_is_taken_for_gone_though_nothing_is_asked_of_it(
    faulty: RocketMQ, ours: Cluster, at: Address, name: str
) -> None:
    task = await waiting(ours, at, name)
    await faulty.nodes[0].proxy.black_hole()
    async with asyncio.timeout(30):
        with pytest.raises(Unanswered, match="nothing was heard"):
            await task
    await faulty.nodes[0].proxy.heal()
    await until(lambda: answers(ours, at))


async def test_a_broker_that_stands_still_for_a_while_is_found_again(
    faulty: RocketMQ, ours: Cluster, at: Address
) -> None:
    assert await answers(ours, at)
    await faulty.pause()
    with pytest.raises(Unanswered):
        await ours.ask(at, Request.GET_BROKER_CONFIG, within=3.0)
    with pytest.raises(NotWritten):
        await ours.ask(at, Request.GET_BROKER_CONFIG, within=3.0)
    await faulty.resume()
    await until(lambda: answers(ours, at))


@pytest.mark.slow
async def test_a_broker_that_was_killed_knows_who_is_there_as_soon_as_it_is_back(
    faulty: RocketMQ, ours: Cluster, at: Address, name: str
) -> None:
    await ours.presence.produce(name)
    assert await producers(ours, at, name) == [ours.presence.client]
    await faulty.kill()
    with pytest.raises((Unanswered, NotWritten)):
        await ours.ask(at, Request.GET_BROKER_CONFIG)
    await faulty.start()
    assert await until(lambda: producers(ours, at, name)) == [ours.presence.client]


@pytest.mark.slow
async def test_nothing_stops_while_the_name_server_is_away(
    faulty: RocketMQ, ours: Cluster, at: Address, name: str
) -> None:
    await topics.create(ours, name, queues=1)
    route = await ours.route(name)
    await faulty.name_server.kill()
    try:
        assert await answers(ours, at)
        assert await ours.route(name) == route
        assert await ours.masters() == route.masters
        with pytest.raises(NotWritten):
            await ours.route(name, fresh=True)
    finally:
        await faulty.name_server.start()
    # It knows nothing until the broker has told it again.
    await until(lambda: knows(ours, name), patience=40)


async def knows(ours: Cluster, topic: str) -> bool:
    try:
        return bool((await ours.route(topic, fresh=True)).masters)
    except NotWritten:
        return False


async def test_a_topic_is_there_as_soon_as_it_was_made_and_is_not_once_it_was_deleted(ours: Cluster, name: str) -> None:
    with pytest.raises(Refused) as refused:
        await ours.route(name)
    assert refused.value.code == Response.TOPIC_NOT_EXIST
    await topics.create(ours, name, queues=3)
    route = await ours.route(name)
    assert [each.number for each in route.writable] == [0, 1, 2]
    await topics.delete(ours, name)
    with pytest.raises(Refused):
        await ours.route(name, fresh=True)


async def test_brokers_forget_who_has_left(ours: Cluster, at: Address, faulty: RocketMQ, name: str) -> None:
    await ours.presence.produce(name)
    other = Cluster(Door(), faulty.addresses)
    await other.presence.produce(name)
    assert set(await producers(ours, at, name)) == {ours.presence.client, other.presence.client}
    await other.close()
    assert await producers(ours, at, name) == [ours.presence.client]
    await ours.presence.leave(name)
    assert await producers(ours, at, name) == []
