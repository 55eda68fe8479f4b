import asyncio
from asyncio import Queue

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client import properties
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.errors import Refused, Unreadable
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.replying import Answer, Asker, answer, answered, asker, asking
from msgkit_rocketmq.client.sending import Outgoing, send
from tests.rocketmq.operating import PATIENCE, made, new_place, taken
from tests.rocketmq.recorded import ZLIB

FIELDS = {"properties": properties.encode({"CORRELATION_ID": "1"}), "sysFlag": "0"}


@pytest.mark.broker
async def test_an_answer_is_brought_to_who_asked(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    answers: Queue[Answer] = Queue()

    async def bring(_: Address, brought: Frame) -> None:
        answers.put_nowait(answered(brought))

    cluster.on(Request.PUSH_REPLY_MESSAGE_TO_CLIENT, bring)
    await cluster.presence.produce(name)
    await send(cluster, place, Outgoing(b"question", asking(cluster.presence.client, "c-1", 10)))
    (question,) = await taken(cluster, await made(cluster, place, name))
    to = asker(question.record.properties)
    assert to is not None
    assert to == Asker(cluster.presence.client, "c-1", "10000", "DefaultCluster_REPLY_TOPIC")
    await answer(cluster, place._replace(topic=to.topic), to, Outgoing(b"\0answer", {"grüße": "→"}))
    async with asyncio.timeout(PATIENCE):
        found = await answers.get()
    assert (found.correlation, found.body, found.properties["grüße"]) == ("c-1", b"\0answer", "→")


@pytest.mark.broker
async def test_an_answer_to_who_is_gone_is_refused(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    to = Asker(f"gone-{name}", "c-1", "1000", "DefaultCluster_REPLY_TOPIC")
    with pytest.raises(Refused, match="not found"):
        await answer(cluster, place._replace(topic=to.topic), to, Outgoing(b"answer", {}))


@pytest.mark.parametrize("missing", ["REPLY_TO_CLIENT", "CORRELATION_ID", "CLUSTER"])
def test_who_leaves_out_where_to_waits_for_no_answer(missing: str) -> None:
    named = asking("client", "c-1", 1) | {"CLUSTER": "c"}
    assert asker(named) is not None
    del named[missing]
    assert asker(named) is None


def test_an_answer_that_java_packed_is_unpacked() -> None:
    (size,) = ZLIB[87:88]
    brought = Frame(Request.PUSH_REPLY_MESSAGE_TO_CLIENT, FIELDS | {"sysFlag": "769"}, ZLIB[88 : 88 + size])
    assert answered(brought).body == b"hallo " * 40


@pytest.mark.parametrize(
    "fields", [{}, FIELDS | {"properties": "x"}, FIELDS | {"sysFlag": "x"}, FIELDS | {"sysFlag": "1"}]
)
def test_an_answer_that_cannot_be_read_is_told(fields: dict[str, str]) -> None:
    with pytest.raises(Unreadable):
        answered(Frame(Request.PUSH_REPLY_MESSAGE_TO_CLIENT, fields, b"x"))
