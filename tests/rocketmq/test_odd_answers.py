"""Brokers that answer what no test could have a real one answer."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random

import pytest

from msgkit_rocketmq.client import brokers, groups, offsets, topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import ClientError, Refused, Unanswered
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.handles import Handle
from msgkit_rocketmq.client.places import Broker, Place
from msgkit_rocketmq.client.popping import Popping, Source, wait
from msgkit_rocketmq.client.progress import progress
from msgkit_rocketmq.client.pulling import pull
from msgkit_rocketmq.client.sending import Outgoing, send, send_all
from msgkit_rocketmq.client.settling import Share, accept_all, lend
from msgkit_rocketmq.client.transactions import prepare
from tests.rocketmq.peers import Said, cluster_of, peer
from tests.rocketmq.recorded import OVER_IPV4

SOME = Outgoing(b"x", {})
HANDLE = Handle(40, 1_700_000_000_003, 60_000, 5, "0", "a", 3, 42)


@asynccontextmanager
async def asking(said: Mapping[Request, Said]) -> AsyncGenerator[tuple[Cluster, Place]]:
    async with peer(said) as at, peer({Request.GET_BROKER_CLUSTER_INFO: cluster_of(a=at)}) as names:
        cluster = Cluster(Door(), [names])
        try:
            yield cluster, Place(Broker("a", at), "orders", 3)
        finally:
            await cluster.close()


# -- sending


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Frame(Response.FLUSH_DISK_TIMEOUT), "flush disk timeout"),
        (Frame(Response.SLAVE_NOT_AVAILABLE), "slave not available"),
        (Frame(Response.FLUSH_SLAVE_TIMEOUT), "flush slave timeout"),
        (Frame(Response.SYSTEM_ERROR, remark="UNKNOWN_ERROR"), "does not know"),
        (Frame(Response.SYSTEM_ERROR, remark="UNKNOWN_ERROR DEFAULT"), "does not know"),
    ],
)
async def test_where_the_broker_is_in_doubt_so_is_who_sent(answer: Frame, why: str) -> None:
    said = {Request.SEND_MESSAGE_V2: answer, Request.SEND_BATCH_MESSAGE: answer}
    async with asking(said) as (cluster, place):
        with pytest.raises(Unanswered, match=why):
            await send(cluster, place, SOME)
        with pytest.raises(Unanswered, match=why):
            await send_all(cluster, place, [SOME])
        with pytest.raises(Unanswered, match=why):
            await prepare(cluster, place, SOME, group="group")


async def test_a_broker_that_is_too_busy_has_refused_and_may_be_asked_again() -> None:
    busy = Frame(Response.SYSTEM_BUSY, remark="[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while")
    async with asking({Request.SEND_MESSAGE_V2: busy}) as (cluster, place):
        with pytest.raises(Refused) as refused:
            await send(cluster, place, SOME)
        assert refused.value.passes


async def test_what_the_broker_could_not_do_at_all_is_refused() -> None:
    failed = Frame(Response.SYSTEM_ERROR, remark="create mapped file failed, server is busy or broken.")
    async with asking({Request.SEND_MESSAGE_V2: failed}) as (cluster, place):
        with pytest.raises(Refused, match="mapped file"):
            await send(cluster, place, SOME)


# -- taking


async def test_where_too_many_wait_who_comes_next_is_told() -> None:
    full = Frame(Response.SUCCESS, {"hasMsg": "false", "pollingFull": "true"})
    async with asking({Request.NOTIFICATION: full}) as (cluster, place):
        with pytest.raises(Refused) as refused:
            await wait(cluster, Source(place.broker, "orders", "billing"), patience=5)
        assert refused.value.code == Response.POLLING_FULL


async def test_a_broker_that_settles_one_at_a_time_is_told_of_each() -> None:
    told: list[str] = []

    async def accept(question: Frame) -> Frame:
        told.append(question.fields["extraInfo"])
        return Frame(Response.SUCCESS)

    # Whatever is not said here, the peer does not know, as RocketMQ 5.0 does not know this.
    async with asking({Request.ACK_MESSAGE: accept}) as (cluster, place):
        handles = [HANDLE._replace(offset=offset) for offset in (40, 41, 45)]
        await accept_all(cluster, Share(place.broker, "orders", "billing"), handles)
        assert sorted(told) == [str(each) for each in handles]


async def test_what_was_taken_together_is_settled_together() -> None:
    bodies: list[bytes] = []

    async def accept(question: Frame) -> Frame:
        bodies.append(question.body)
        return Frame(Response.SUCCESS)

    async with asking({Request.BATCH_ACK_MESSAGE: accept}) as (cluster, place):
        handles = [
            *(HANDLE._replace(offset=offset) for offset in (40, 41, 49)),
            HANDLE._replace(start=7, mark="1", queue=0, offset=7),
        ]
        await accept_all(cluster, Share(place.broker, "orders", "billing"), handles)
    (body,) = bodies
    common = {"c": "billing", "t": "orders", "rq": 5, "pt": 1_700_000_000_003, "it": 60_000}
    assert json.loads(body) == {
        "brokerName": "a",
        # The bits of 0, 1 and 9, and that of 0.
        "acks": [
            common | {"r": "0", "so": 40, "q": 3, "b": "AwI="},
            common | {"r": "1", "so": 7, "q": 0, "b": "AQ=="},
        ],
    }


# -- catching up


def behind(*said: tuple[int, int]) -> Said:
    """Return what a broker says whose log ends there, and that is so far behind: the last of it again and again."""
    coming = iter(said)

    async def say(_: Frame) -> Frame:
        end, size = next(coming, said[-1])
        told = {"table": {"commitLogMaxOffset": str(end), "dispatchBehindBytes": str(size)}}
        return Frame(Response.SUCCESS, body=json.dumps(told).encode())

    return say


async def test_a_broker_is_waited_for_until_it_has_caught_up() -> None:
    said = behind((900, 300), (900, 200), (900, 0), (1000, 100))
    async with asking({Request.GET_BROKER_RUNTIME_INFO: said}) as (cluster, place):
        await brokers.caught_up(cluster, place.broker)
        assert (await brokers.runtime(cluster, place.broker))["dispatchBehindBytes"] == "100"


async def test_what_is_sent_meanwhile_is_not_waited_for() -> None:
    said = behind((900, 300), (1100, 300), (1200, 300), (1300, 300))
    async with asking({Request.GET_BROKER_RUNTIME_INFO: said}) as (cluster, place):
        await brokers.caught_up(cluster, place.broker)
        assert (await brokers.runtime(cluster, place.broker))["commitLogMaxOffset"] == "1300"


async def test_a_broker_that_does_not_catch_up_is_not_waited_for_without_end() -> None:
    async with asking({Request.GET_BROKER_RUNTIME_INFO: behind((900, 300))}) as (cluster, place):
        with pytest.raises(Unanswered, match="does not get done"):
            async with asyncio.timeout(10):
                await brokers.caught_up(cluster, place.broker, within=0.2)


# -- whatever comes

Ask = Callable[[Cluster, Place], Awaitable[object]]
FIELDS = {
    "queueId": "3",
    "queueOffset": "42",
    "msgId": "0A00000100002A9F0000000000001267",
    "transactionId": "own-key",
    "popTime": "1700000000003",
    "invisibleTime": "60000",
    "reviveQid": "5",
    "startOffsetInfo": "0 3 40",
    "msgOffsetInfo": "0 3 42",
    "offset": "42",
    "nextBeginOffset": "43",
    "minOffset": "0",
    "maxOffset": "43",
}
TOPIC = b'{"attributes":{"+message.type":"FIFO"},"readQueueNums":4,"topicName":"orders","writeQueueNums":4}'
GROUPS = b'{"subscriptionGroupTable":{"billing":{"consumeEnable":true,"groupName":"billing","retryMaxTimes":16}}}'
MEMBERS = (
    b'{"connectionSet":[{"clientId":"c","language":"JAVA"}],'
    b'"subscriptionTable":{"orders":{"expressionType":"TAG","subString":"*"}}}'
)
STATS = (
    b'{"consumeTps":0.0,"offsetTable":{{"brokerName":"a","queueId":3,"topic":"orders"}:'
    b'{"brokerOffset":43,"consumerOffset":40,"lastTimestamp":1700000000002,"pullOffset":42}}}'
)
RUNTIME = b'{"table":{"brokerVersionDesc":"V5_3_3","dispatchBehindBytes":"0"}}'
CONFIG = b"maxMessageSize=4194304\nbrokerClusterName=DefaultCluster\ntimerMaxDelaySec=259200\ntransactionTimeOut=6000\n"
ASKS: Mapping[str, tuple[Request, bytes, Ask]] = {
    "send": (Request.SEND_MESSAGE_V2, b"", lambda c, p: send(c, p, SOME)),
    "prepare": (Request.SEND_MESSAGE_V2, b"", lambda c, p: prepare(c, p, SOME, group="g")),
    "pop": (
        Request.POP_MESSAGE,
        OVER_IPV4,
        lambda c, p: Popping(c).pop(Source(p.broker, "orders", "billing"), lease=60),
    ),
    "lend": (
        Request.CHANGE_MESSAGE_INVISIBLETIME,
        b"",
        lambda c, p: lend(c, Share(p.broker, "orders", "billing"), HANDLE, 1),
    ),
    "pull": (Request.PULL_MESSAGE, OVER_IPV4, lambda c, p: pull(c, p, 42, group="g")),
    "end": (Request.GET_MAX_OFFSET, b"", offsets.end),
    "topic": (Request.GET_TOPIC_CONFIG, TOPIC, lambda c, _: topics.describe(c, "orders")),
    "groups": (Request.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, GROUPS, lambda c, _: groups.describe(c)),
    "members": (Request.GET_CONSUMER_CONNECTION_LIST, MEMBERS, lambda c, _: groups.members(c, "billing")),
    "progress": (Request.GET_CONSUME_STATS, STATS, lambda c, p: progress(c, p.broker, "billing", "orders")),
    "runtime": (Request.GET_BROKER_RUNTIME_INFO, RUNTIME, lambda c, p: brokers.runtime(c, p.broker)),
    "settings": (Request.GET_BROKER_CONFIG, CONFIG, lambda c, p: brokers.settings(c, p.broker)),
}


@pytest.mark.parametrize("name", ASKS)
async def test_whatever_is_answered_is_read_or_told(name: str) -> None:
    random = Random(5)  # noqa: S311 -- the same each time
    request, body, ask = ASKS[name]
    answer = Frame(Response.SUCCESS, FIELDS, body)

    async def next_answer(_: Frame) -> Frame:
        return answer

    async with asking({request: next_answer}) as (cluster, place):
        await ask(cluster, place)
        for _ in range(300):
            answer = Frame(Response.SUCCESS, spoilt_fields(random), spoilt(random, body))
            try:
                await ask(cluster, place)
            except ClientError as error:
                assert str(error)  # noqa: PT017 -- most answers are as good as any


def spoilt_fields(random: Random) -> Mapping[str, str]:
    fields = dict(FIELDS)
    for name in random.sample(list(fields), 3):
        value = fields.pop(name)
        if random.random() < 0.7:
            place = random.randrange(len(value))
            fields[name] = value[:place] + random.choice("-x 9;,%") + value[place + 1 :]
    return fields


def spoilt(random: Random, body: bytes) -> bytes:
    made = bytearray(body)
    for _ in range(random.randrange(3)):
        place = random.randrange(len(made) + 1)
        made[place : place + random.randrange(4)] = random.choice(
            (b"", b"{", b"}", b'"', b"[", b",", b":", b"null", b"-1", random.randbytes(2))
        )
    return bytes(made)
