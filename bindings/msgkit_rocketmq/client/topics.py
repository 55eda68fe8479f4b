"""Topics: made, described and deleted, on every broker that takes messages."""

import asyncio
from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgkit_rocketmq.client.brokers import masters
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.documents import number, read, texts
from msgkit_rocketmq.client.frames import Value
from msgkit_rocketmq.client.places import Broker

__all__ = ["Kind", "Topic", "create", "delete", "describe"]

_WITHIN = 5.0
_READ, _WRITE = 4, 2
#: What proxies hold a topic's messages to. Brokers take any.
Kind = Literal["NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"]
_KIND = "message.type"


class Topic(NamedTuple):
    """A topic as one broker has it."""

    name: str
    #: How many queues may be read, and written.
    readable: int
    writable: int
    attributes: Mapping[str, str]

    @property
    def kind(self) -> str:
        return self.attributes.get(_KIND, "UNSPECIFIED")


async def create(
    cluster: Cluster, name: str, *, queues: int, kind: Kind | None = None, within: float = _WITHIN
) -> None:
    """Have a topic with so many queues on each broker. One that is there already is changed.

    :raises Refused: with `INVALID_PARAMETER`, when brokers take no such name
    """
    fields: dict[str, Value] = {
        "topic": name,
        "defaultTopic": "TBW102",
        "readQueueNums": queues,
        "writeQueueNums": queues,
        "perm": _READ | _WRITE,
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": 0,
        "order": False,
        "force": True,
    }
    if kind is not None:
        fields["attributes"] = f"+{_KIND}={kind}"
    await asyncio.gather(
        *(
            cluster.ask(broker.address, Request.UPDATE_AND_CREATE_TOPIC, fields, within=within)
            for broker in await masters(cluster)
        )
    )


async def describe(cluster: Cluster, name: str, *, within: float = _WITHIN) -> Mapping[str, Topic]:
    """Return what a topic is like, by the names of the brokers that have it."""

    async def one(broker: Broker) -> tuple[str, Topic] | None:
        answer = await cluster.ask(
            broker.address,
            Request.GET_TOPIC_CONFIG,
            {"topic": name},
            within=within,
            accepts=(Response.TOPIC_NOT_EXIST,),
        )
        return (broker.name, _read(answer.body)) if answer.code == Response.SUCCESS else None

    found = await asyncio.gather(*map(one, await masters(cluster)))
    return dict(each for each in found if each is not None)


def _read(body: bytes) -> Topic:
    told = read(body)
    return Topic(
        name=str(told.get("topicName", "")),
        readable=number(told, "readQueueNums"),
        writable=number(told, "writeQueueNums"),
        attributes=texts(told, "attributes"),
    )


async def delete(cluster: Cluster, name: str, *, within: float = _WITHIN) -> None:
    """Delete a topic, if there is one, with its messages, and how far groups have come in it."""
    await asyncio.gather(
        *(
            cluster.ask(broker.address, Request.DELETE_TOPIC_IN_BROKER, {"topic": name}, within=within)
            for broker in await masters(cluster)
        )
    )
    await cluster.tell_names(Request.DELETE_TOPIC_IN_NAMESRV, {"topic": name}, within=within)
