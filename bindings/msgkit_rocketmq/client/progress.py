"""How much of a topic a group has still before it, and taking that away."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.documents import number, pairs, read
from msgkit_rocketmq.client.frames import Value
from msgkit_rocketmq.client.places import Broker, Place

__all__ = ["Progress", "move", "move_to_time", "progress"]

_WITHIN = 5.0


class Progress(NamedTuple):
    """How far a group has come in a queue."""

    place: Place
    end: int
    #: Where brokers have `popConsumerKVServiceEnable`, up to where all was accepted, as of when the group last took
    #: something. Elsewhere it is the same as what was lent.
    accepted: int
    lent: int
    #: When what was accepted last was stored, in milliseconds since 1970; 0 where nothing was, or it is gone.
    last: int


async def progress(
    cluster: Cluster, broker: Broker, group: str, topic: str, *, within: float = _WITHIN
) -> Sequence[Progress]:
    """Return how far a group has come in each queue of a broker's, or nothing where it does not have the topic.

    What was lent just now is told of a moment later.
    """
    fields = {"consumerGroup": group, "topic": topic}
    answer = await cluster.ask(broker.address, Request.GET_CONSUME_STATS, fields, within=within)
    return [
        Progress(
            Place(broker, str(queue.get("topic")), number(queue, "queueId")),
            end=number(told, "brokerOffset"),
            accepted=number(told, "consumerOffset"),
            lent=number(told, "pullOffset"),
            last=number(told, "lastTimestamp"),
        )
        for queue, told in pairs(read(answer.body), "offsetTable")
    ]


async def move(cluster: Cluster, place: Place, group: str, offset: int, *, within: float = _WITHIN) -> None:
    """Have a group go on at this offset, at the next time that it takes something. What was lent still returns."""
    await _move(cluster, place.broker, group, place.topic, {"queueId": place.queue, "offset": offset}, within)


async def move_to_time(
    cluster: Cluster, broker: Broker, group: str, topic: str, time: float, *, within: float = _WITHIN
) -> None:
    """As `move`, in all queues of a broker's: to what was stored at a time in seconds since 1970, or later."""
    await _move(cluster, broker, group, topic, {"queueId": -1, "timestamp": int(time * 1000)}, within)


async def _move(
    cluster: Cluster, broker: Broker, group: str, topic: str, where: dict[str, Value], within: float
) -> None:
    fields: dict[str, Value] = {"group": group, "topic": topic, "timestamp": -1, "isForce": True}
    await cluster.ask(broker.address, Request.INVOKE_BROKER_TO_RESET_OFFSET, fields | where, within=within)
