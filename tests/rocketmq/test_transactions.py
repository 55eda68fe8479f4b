import asyncio
from asyncio import Queue

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import Refused, Unreadable
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.popping import wait
from msgkit_rocketmq.client.sending import Outgoing
from msgkit_rocketmq.client.transactions import Check, Half, Verdict, checked, end, prepare
from tests.rocketmq.operating import PATIENCE, bodies, made, new_place, taken
from tests.rocketmq.recorded import OVER_IPV4

MESSAGE = Outgoing(b"half", {"UNIQ_KEY": "own-key", "x": "y"})


def asking(cluster: Cluster) -> Queue[Check]:
    """Return what brokers will ask about half messages."""
    checks: Queue[Check] = Queue()

    async def ask(_: Address, question: Frame) -> None:
        checks.put_nowait(checked(question))

    cluster.on(Request.CHECK_TRANSACTION_STATE, ask)
    return checks


@pytest.mark.broker
async def test_a_half_message_is_seen_by_nobody_until_it_is_committed(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    half = await prepare(cluster, place, MESSAGE, group=name)
    assert half.key == "own-key"
    assert not await wait(cluster, source, patience=0.5)
    await end(cluster, place.broker, half, Verdict.COMMIT, group=name)
    (only,) = await taken(cluster, source)
    assert (only.record.body, only.record.id, only.record.properties["x"]) == (b"half", "own-key", "y")


@pytest.mark.broker
async def test_a_half_message_without_a_name_is_given_one(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    half = await prepare(cluster, place, Outgoing(b"half", {}), group=name)
    await end(cluster, place.broker, half, Verdict.COMMIT, group=name)
    (only,) = await taken(cluster, source)
    assert only.record.id == half.key != ""


@pytest.mark.broker
async def test_a_half_message_that_is_rolled_back_is_never_seen_nor_asked_about(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    checks = asking(cluster)
    await cluster.presence.produce(name)
    half = await prepare(cluster, place, MESSAGE, group=name)
    other = await prepare(cluster, place, Outgoing(b"other", {}), group=name)
    await end(cluster, place.broker, half, Verdict.ROLLBACK, group=name)
    async with asyncio.timeout(PATIENCE):
        check = await checks.get()
    assert check.half.key == other.key
    assert not await wait(cluster, source, patience=0.5)
    assert checks.empty()


@pytest.mark.broker
@pytest.mark.parametrize("verdict", [Verdict.COMMIT, Verdict.ROLLBACK])
async def test_a_broker_asks_until_it_is_told(cluster: Cluster, name: str, verdict: Verdict) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    checks = asking(cluster)
    await cluster.presence.produce(name)
    half = await prepare(cluster, place, MESSAGE, group=name)
    await end(cluster, place.broker, half, Verdict.UNKNOWN, group=name)
    async with asyncio.timeout(PATIENCE):
        first = await checks.get()
        # The broker writes it anew before it asks.
        assert first.half == half._replace(offset=first.half.offset, position=first.half.position)
        assert (first.record.topic, first.record.body) == (name, b"half")
        assert first.record.properties["x"] == "y"
        await end(cluster, place.broker, first.half, Verdict.UNKNOWN, group=name, asked=True)
        second = await checks.get()
    assert second.half.key == "own-key"
    await end(cluster, place.broker, second.half, verdict, group=name, asked=True)
    if verdict == Verdict.COMMIT:
        assert bodies(await taken(cluster, source)) == [b"half"]
    assert not await wait(cluster, source, patience=2.5)
    assert checks.empty()


@pytest.mark.broker
async def test_a_verdict_that_crosses_the_question_stays_the_only_one_when_the_copy_is_rolled_back(
    cluster: Cluster, name: str
) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    checks = asking(cluster)
    await cluster.presence.produce(name)
    half = await prepare(cluster, place, MESSAGE, group=name)
    async with asyncio.timeout(PATIENCE):
        check = await checks.get()
    await end(cluster, place.broker, half, Verdict.COMMIT, group=name)
    await end(cluster, place.broker, check.half, Verdict.ROLLBACK, group=name, asked=True)
    assert bodies(await taken(cluster, source)) == [b"half"]
    assert not await wait(cluster, source, patience=2.5)
    assert checks.empty()


@pytest.mark.broker
async def test_an_absent_topic_takes_no_half_message(cluster: Cluster, name: str) -> None:
    place = (await new_place(cluster, name))._replace(topic=f"{name}-absent")
    with pytest.raises(Refused) as refused:
        await prepare(cluster, place, MESSAGE, group=name)
    assert refused.value.code == Response.TOPIC_NOT_EXIST


# -- what a broker asks

FIELDS = {"tranStateTableOffset": "3", "commitLogOffset": "4711", "msgId": "own-key", "transactionId": "own-key"}


def test_a_question_tells_the_half_message() -> None:
    check = checked(Frame(Request.CHECK_TRANSACTION_STATE, FIELDS, OVER_IPV4))
    assert check.half == Half("orders", 3, 4711, "own-key", "own-key")
    assert check.record.body == b"hallo"


def test_a_question_may_leave_out_what_the_message_tells() -> None:
    fields = {"tranStateTableOffset": "3", "commitLogOffset": "4711"}
    check = checked(Frame(Request.CHECK_TRANSACTION_STATE, fields, OVER_IPV4))
    assert check.half.key == check.half.transaction == "7F00000100010000000000000000000A"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, OVER_IPV4),
        (FIELDS | {"commitLogOffset": "x"}, OVER_IPV4),
        (FIELDS, b""),
        (FIELDS, OVER_IPV4 * 2),
        (FIELDS, OVER_IPV4[:-1]),
    ],
)
def test_a_question_that_nobody_could_answer_is_told(fields: dict[str, str], body: bytes) -> None:
    with pytest.raises(Unreadable):
        checked(Frame(Request.CHECK_TRANSACTION_STATE, fields, body))
