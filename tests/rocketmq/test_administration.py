import asyncio
import time

import pytest

from msgkit_rocketmq.client import brokers, groups, offsets, topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import Refused
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.popping import wait
from msgkit_rocketmq.client.presence import Interest
from msgkit_rocketmq.client.progress import Progress, move, move_to_time, progress
from msgkit_rocketmq.client.pulling import pull
from msgkit_rocketmq.client.sending import Outgoing, send_all
from msgkit_rocketmq.client.settling import accept, accept_all
from tests.rocketmq.operating import PATIENCE, bodies, made, new_place, sent, share, taken

pytestmark = pytest.mark.broker
READER = "reader"


# -- topics


async def test_a_topic_is_made_described_grown_and_deleted(cluster: Cluster, name: str) -> None:
    assert await topics.describe(cluster, name) == {}
    await topics.create(cluster, name, queues=3, kind="FIFO")
    (topic,) = (await topics.describe(cluster, name)).values()
    assert (topic.name, topic.readable, topic.writable, topic.kind) == (name, 3, 3, "FIFO")
    await topics.create(cluster, name, queues=5)
    (topic,) = (await topics.describe(cluster, name)).values()
    assert (topic.readable, topic.writable, topic.kind) == (5, 5, "FIFO")
    assert len((await cluster.route(name)).writable) == 5
    await topics.delete(cluster, name)
    assert await topics.describe(cluster, name) == {}
    with pytest.raises(Refused) as refused:
        await cluster.route(name, fresh=True)
    assert refused.value.code == Response.TOPIC_NOT_EXIST


async def test_a_topic_without_a_kind_has_none(cluster: Cluster, name: str) -> None:
    await topics.create(cluster, name, queues=1)
    (topic,) = (await topics.describe(cluster, name)).values()
    assert topic.kind == "UNSPECIFIED"


@pytest.mark.parametrize("wrong", ["orders.placed", "grüße", "x" * 128, "TBW102", "a b"])
async def test_a_name_that_brokers_do_not_take_is_refused(cluster: Cluster, wrong: str) -> None:
    with pytest.raises(Refused) as refused:
        await topics.create(cluster, wrong, queues=1)
    assert refused.value.code == Response.INVALID_PARAMETER


async def test_deleting_what_is_not_there_is_no_failure(cluster: Cluster, name: str) -> None:
    await topics.delete(cluster, name)
    await groups.delete(cluster, name)


# -- groups


async def test_a_group_is_made_described_and_deleted(cluster: Cluster, name: str) -> None:
    ((_, before),) = (await groups.describe(cluster)).items()
    assert name not in before
    await groups.create(cluster, name, in_order=True)
    ((_, there),) = (await groups.describe(cluster)).items()
    assert there[name] == groups.Group(name, may_consume=True, in_order=True, returns=2**31 - 1)
    await groups.delete(cluster, name)
    ((_, after),) = (await groups.describe(cluster)).items()
    assert name not in after


async def test_who_is_in_a_group_is_told_with_what_they_leave_out(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    await made(cluster, place, name)
    assert await groups.members(cluster, name) == {}
    await cluster.presence.consume(name, [Interest(name, "n > 1", "SQL92")])
    (members,) = (await groups.members(cluster, name)).values()
    assert members.clients == {cluster.presence.client}
    assert members.filters[name] == ("SQL92", "n > 1")
    await cluster.presence.leave(name)
    assert await groups.members(cluster, name) == {}


# -- brokers


async def test_a_broker_tells_what_it_is_set_to(cluster: Cluster) -> None:
    (broker,) = await brokers.masters(cluster)
    settings = await brokers.settings(cluster, broker)
    assert broker.name == "broker-a"
    assert settings.cluster == "DefaultCluster"
    assert settings.largest_message == 4 * 1024 * 1024
    assert settings.longest_delay == 3 * 24 * 3600
    assert settings.lends
    assert settings.filters_pulled
    assert not settings.makes_topics
    assert settings.makes_groups
    assert settings.moves_groups
    assert not settings.newer_retry_topics
    assert (settings.asks_after, settings.asks_every) == (1.0, 1.0)
    told = await brokers.runtime(cluster, broker)
    assert told["brokerVersionDesc"].startswith("V5")


async def test_how_a_broker_keeps_leases_is_told(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    (broker,) = await brokers.masters(cluster)
    kept = "kept" in request.node.name
    assert (await brokers.settings(cluster, broker)).keeps_leases is kept


async def test_what_was_confirmed_is_in_its_queue_when_the_broker_has_caught_up(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    for number in range(1, 50):
        await send_all(cluster, place, [Outgoing(b"x" * 100, {})] * 200)
        await brokers.caught_up(cluster, place.broker)
        assert await offsets.end(cluster, place) == 200 * number


# -- offsets


async def test_a_queue_tells_where_it_begins_and_ends_and_what_was_when(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    assert (await offsets.begin(cluster, place), await offsets.end(cluster, place)) == (0, 0)
    await sent(cluster, place, b"0", b"1")
    first, _ = (await pull(cluster, place, 0, group=READER)).records
    # Times are compared by the millisecond.
    while (stored := (await sent(cluster, place, b"later"), (await _last(cluster, place)))[1]) <= first.stored:
        pass
    found = await offsets.at_time(cluster, place, stored / 1000)
    assert found > 0
    assert (await pull(cluster, place, found, group=READER)).records[0].stored == stored
    assert await offsets.at_time(cluster, place, time.time() + 3600) >= await offsets.end(cluster, place) - 1
    assert await offsets.at_time(cluster, place, 0) == 0


async def _last(cluster: Cluster, place: Place) -> int:
    await brokers.caught_up(cluster, place.broker)
    end = await offsets.end(cluster, place)
    return (await pull(cluster, place, end - 1, group=READER)).records[0].stored


async def test_a_group_that_was_nowhere_yet_begins_where_it_is_put(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    await sent(cluster, place, b"old", b"old too")
    source = await made(cluster, place, name)
    assert await offsets.committed(cluster, place, name) is None
    await brokers.caught_up(cluster, place.broker)
    await offsets.commit(cluster, place, name, await offsets.end(cluster, place))
    assert await offsets.committed(cluster, place, name) == 2
    await sent(cluster, place, b"new")
    assert bodies(await taken(cluster, source)) == [b"new"]


async def test_offsets_of_an_absent_group_are_not_put(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    with pytest.raises(Refused) as refused:
        await offsets.commit(cluster, place, name, 0)
    assert refused.value.code == Response.SUBSCRIPTION_GROUP_NOT_EXIST


async def come(cluster: Cluster, place: Place, group: str, *, lent: int) -> Progress:
    """Return how far a group is, when so many are lent: brokers tell of it a moment later."""
    async with asyncio.timeout(PATIENCE):
        while True:
            told = {each.place.queue: each for each in await progress(cluster, place.broker, group, place.topic)}
            assert set(told) == {0, 1}
            assert (told[1].end, told[1].lent, told[1].last) == (0, 0, 0)
            if told[0].lent == lent:
                return told[0]


async def test_progress_tells_what_a_group_has_before_it(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name, queues=2)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"1", b"2", b"3")
    await brokers.caught_up(cluster, place.broker)
    lent = await taken(cluster, source, 2, most=2)
    told = await come(cluster, place, name, lent=2)
    assert (told.place, told.end) == (place, 3)
    assert told.accepted in {0, 2}
    await accept_all(cluster, share(source), [each.handle for each in lent])
    (last,) = await taken(cluster, source)
    await accept(cluster, share(source), last.handle)
    assert not await wait(cluster, source, patience=0.2)
    told = await come(cluster, place, name, lent=3)
    assert told.accepted in {2, 3}
    assert abs(told.last / 1000 - time.time()) < 60


async def test_progress_in_an_absent_topic_is_none(cluster: Cluster, name: str) -> None:
    (broker,) = await brokers.masters(cluster)
    assert list(await progress(cluster, broker, name, name)) == []


@pytest.mark.parametrize("in_order", [False, True])
async def test_a_group_is_moved_to_an_offset(cluster: Cluster, name: str, *, in_order: bool) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name, in_order=in_order)
    await sent(cluster, place, b"0", b"1", b"2")
    (first,) = await taken(cluster, source, most=1)
    await accept(cluster, share(source), first.handle)
    await move(cluster, place, name, 2)
    (only,) = await taken(cluster, source, most=1)
    assert only.record.body == b"2"
    await accept(cluster, share(source), only.handle)
    await move(cluster, place, name, 0)
    (again,) = await taken(cluster, source, most=1)
    assert again.record.body == b"0"


async def test_a_group_is_moved_to_the_end_by_a_time_to_come(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name, queues=2)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"0", b"1")
    await sent(cluster, place._replace(queue=1), b"0")
    await brokers.caught_up(cluster, place.broker)
    await move_to_time(cluster, place.broker, name, name, time.time() + 3600)
    await sent(cluster, place, b"new")
    assert bodies(await taken(cluster, source)) == [b"new"]


# -- reading without taking


async def test_reading_takes_nothing_out(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    await sent(cluster, place, b"0", b"1", b"2")
    await brokers.caught_up(cluster, place.broker)
    for _ in range(2):
        pulled = await pull(cluster, place, 1, group=READER)
        assert [each.body for each in pulled.records] == [b"1", b"2"]
        assert pulled[1:] == (3, 0, 3)
    assert (await pull(cluster, place, 1, group=READER, most=1)).next == 2
    assert await offsets.committed(cluster, place, READER) is None
    assert bodies(await taken(cluster, await made(cluster, place, name), 3)) == [b"0", b"1", b"2"]


async def test_reading_behind_the_end_waits_as_long_as_it_is_told(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    assert list((await pull(cluster, place, 0, group=READER)).records) == []
    reading = asyncio.create_task(pull(cluster, place, 0, group=READER, patience=10))
    began = time.monotonic()
    await sent(cluster, place, b"new")
    assert [each.body for each in (await reading).records] == [b"new"]
    assert time.monotonic() - began < 4


async def test_reading_where_nothing_is_any_more_goes_on_elsewhere(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    await sent(cluster, place, b"0")
    await brokers.caught_up(cluster, place.broker)
    pulled = await pull(cluster, place, 1000, group=READER)
    assert (list(pulled.records), pulled.next) == ([], 1)


async def test_what_came_back_can_be_read(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"x")
    await taken(cluster, source, lease=0.2)
    assert await wait(cluster, source._replace(came_back=True), patience=8)
    again = place._replace(topic=retry_topic(name, name))
    (record,) = (await pull(cluster, again, 0, group=READER)).records
    assert (record.body, record.returned) == (b"x", 1)
