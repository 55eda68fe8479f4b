"""Reading a queue from an offset on, without taking anything out of it."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_rocketmq.client import records
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.frames import Value
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.records import Record

__all__ = ["Pulled", "pull"]

_WITHIN = 5.0
_MAY_WAIT, _HAS_SUBSCRIPTION = 2, 4
_NOTHING_THERE = frozenset({Response.PULL_NOT_FOUND, Response.PULL_RETRY_IMMEDIATELY, Response.PULL_OFFSET_MOVED})


class Pulled(NamedTuple):
    records: Sequence[Record]
    #: What to read next: it is elsewhere where nothing was, too.
    next: int
    #: What is there at the moment.
    begin: int
    end: int


async def pull(
    cluster: Cluster,
    place: Place,
    offset: int,
    *,
    group: str,
    most: int = 32,
    patience: float = 0,
    within: float = _WITHIN,
) -> Pulled:
    """Return what is at an offset and behind it.

    :param group: on whose behalf: the broker makes it, where it makes groups by itself
    :param patience: seconds to wait for what is not there yet, which the broker counts in steps of five
    """
    fields: dict[str, Value] = {
        "consumerGroup": group,
        "topic": place.topic,
        "queueId": place.queue,
        "queueOffset": offset,
        "maxMsgNums": most,
        "sysFlag": _HAS_SUBSCRIPTION | (_MAY_WAIT if patience else 0),
        "commitOffset": 0,
        "suspendTimeoutMillis": int(patience * 1000),
        "subscription": "*",
        "subVersion": 0,
        "expressionType": "TAG",
        "bname": place.broker.name,
    }
    answer = await cluster.ask(
        place.broker.address, Request.PULL_MESSAGE, fields, within=patience + within, accepts=_NOTHING_THERE
    )
    try:
        places = [int(answer.fields[name]) for name in ("nextBeginOffset", "minOffset", "maxOffset")]
    except (KeyError, ValueError) as error:
        raise Unreadable("an answer does not tell what to read next") from error
    return Pulled(records.decode(answer.body) if answer.code == Response.SUCCESS else (), *places)
