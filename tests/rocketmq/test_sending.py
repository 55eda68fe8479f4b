import asyncio
import time

import pytest

from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.client import topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import Refused
from msgkit_rocketmq.client.properties import RESERVED, escaped, escaped_name, unescaped, unescaped_name
from msgkit_rocketmq.client.pulling import pull
from msgkit_rocketmq.client.sending import LEVELS, Outgoing, after, at, send, send_all
from tests.brokers.running import started
from tests.rocketmq.operating import bodies, made, new_place, sent, taken

pytestmark = pytest.mark.broker
MIB = 1024 * 1024
READER = "reader"


async def test_a_message_comes_as_it_was_sent(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    body = bytes(range(256)) * 4096
    stored = await send(cluster, place, Outgoing(body, {"UNIQ_KEY": name, "TAGS": "a.b", "grüße": '→\0\n"'}))
    (only,) = await taken(cluster, await made(cluster, place, name))
    assert only.record.body == body
    assert only.record.id == name
    assert {"UNIQ_KEY": name, "TAGS": "a.b", "grüße": '→\0\n"'}.items() <= only.record.properties.items()
    assert (only.record.queue, only.record.offset, only.record.stored_as) == (0, 0, stored.stored_as)
    assert (stored.queue, stored.offset) == (0, 0)
    assert abs(only.record.born / 1000 - time.time()) < 60
    assert only.record.trouble is None


async def test_whatever_properties_are_called_and_hold_they_come_as_they_were(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    odd = {each: f"not the broker's {each}" for each in RESERVED} | {"": "", "\x01\x02\x03": "\x01\x02\x03", "x": ""}
    escaped_all = {escaped_name(each): escaped(value) for each, value in odd.items()}
    begin = time.monotonic()
    await send(cluster, place, Outgoing(b"x", escaped_all))
    (only,) = await taken(cluster, await made(cluster, place, name))
    assert time.monotonic() - begin < 5
    found = {unescaped_name(each): unescaped(value) for each, value in only.record.properties.items()}
    assert odd.items() <= found.items()


async def test_many_are_sent_at_once_and_stand_in_their_order(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    stored = await send_all(cluster, place, [Outgoing(b"%d" % n, {"n": str(n)}) for n in range(100)])
    assert [each.offset for each in stored] == list(range(100))
    assert len({each.stored_as for each in stored}) == 100
    found = await taken(cluster, await made(cluster, place, name), 100)
    assert bodies(found) == [b"%d" % n for n in range(100)]
    assert [each.record.properties["n"] for each in found] == [str(n) for n in range(100)]
    assert [each.record.stored_as for each in found] == [each.stored_as for each in stored]


@pytest.mark.parametrize("way", ["after", "at", "level"])
async def test_a_delayed_message_is_never_early_and_at_most_two_seconds_late(
    cluster: Cluster, name: str, way: str
) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    delay = {"after": after(3), "at": at(time.time() + 3), "level": {"DELAY": "1"}}[way]
    expected = {"after": 3, "at": 3, "level": LEVELS[0]}[way]
    begin = time.time()
    await send(cluster, place, Outgoing(b"later", delay))
    (only,) = await taken(cluster, source)
    assert only.record.body == b"later"
    assert expected - 0.002 <= time.time() - begin <= expected + 2.5


async def test_an_absent_topic_is_refused_even_where_brokers_make_topics(name: str) -> None:
    async with started(RocketMQ(provider="process", config={"autoCreateTopicEnable": "true"})) as broker:
        cluster = Cluster(Door(), broker.addresses)
        try:
            place = await new_place(cluster, name)
            absent = place._replace(topic=f"{name}-absent")
            with pytest.raises(Refused) as refused:
                await sent(cluster, absent, b"lost")
            assert refused.value.code == Response.TOPIC_NOT_EXIST
            with pytest.raises(Refused):
                await send_all(cluster, absent, [Outgoing(b"lost", {})])
            assert await topics.describe(cluster, absent.topic) == {}
        finally:
            await cluster.close()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(Outgoing(bytes(4 * MIB + 1), {}), id="body"),
        pytest.param(Outgoing(b"x", {"x": "x" * 32_767}), id="properties"),
        pytest.param(Outgoing(b"x", after(3 * 24 * 3600 + 60)), id="delay"),
    ],
)
async def test_what_is_too_large_is_refused_and_nothing_is_stored(
    cluster: Cluster, name: str, message: Outgoing
) -> None:
    place = await new_place(cluster, name)
    with pytest.raises(Refused) as refused:
        await send(cluster, place, message)
    assert refused.value.code == Response.MESSAGE_ILLEGAL
    assert not refused.value.passes
    await sent(cluster, place, b"stored")
    (only,) = await taken(cluster, await made(cluster, place, name))
    assert only.record.body == b"stored"


async def test_the_largest_message_is_stored(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    await send(cluster, place, Outgoing(bytes(4 * MIB), {"x": "x" * 32_000}))
    found = await pull(cluster, place, 0, group=READER)
    assert [len(each.body) for each in found.records] == [4 * MIB]


async def test_nothing_is_sent_that_would_not_arrive_as_it_is(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    with pytest.raises(ValueError, match="without a body"):
        await sent(cluster, place, b"")
    with pytest.raises(ValueError, match="without a body"):
        await send_all(cluster, place, [Outgoing(b"x", {}), Outgoing(b"", {})])
    with pytest.raises(ValueError, match="without a body"):
        await send_all(cluster, place, [])
    with pytest.raises(ValueError, match="dropped"):
        await send(cluster, place, Outgoing(b"x", {"x": ""}))


async def test_many_sends_are_under_way_at_once(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    stored = await asyncio.gather(*(send(cluster, place, Outgoing(b"%d" % n, {})) for n in range(500)))
    assert sorted(each.offset for each in stored) == list(range(500))
