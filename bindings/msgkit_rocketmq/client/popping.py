"""Taking messages from a broker, which lends each for a while, to one consumer of a group at a time."""

import asyncio
from asyncio import Task
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeVar

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import ClientError, Refused
from msgkit_rocketmq.client.frames import Value
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.places import Broker
from msgkit_rocketmq.client.settling import Share, lend
from msgkit_rocketmq.client.taking import Taken, decode

__all__ = ["ALL_QUEUES", "EVERYTHING", "MOST", "Filter", "Popping", "Source", "wait"]

T = TypeVar("T")
#: Brokers hand out no more at once.
MOST = 32
ALL_QUEUES = -1
#: Seconds that an answer may take that the broker does not think about.
_WITHIN = 5.0
_NOTHING_THERE = frozenset({Response.PULL_NOT_FOUND, Response.POLLING_TIMEOUT})


class Filter(NamedTuple):
    """What a broker leaves out before it hands messages to a group, which will never see it again."""

    kind: Literal["TAG", "SQL92"]
    expression: str


EVERYTHING = Filter("TAG", "*")


class Source(NamedTuple):
    """Where a group takes messages from."""

    broker: Broker
    topic: str
    group: str
    queue: int = ALL_QUEUES
    filter: Filter = EVERYTHING
    #: Does a queue wait until what was taken from it is settled?
    in_order: bool = False
    #: Only what came back, of which those are not told who wait for what is new.
    came_back: bool = False

    @property
    def asked(self) -> str:
        """The topic that the broker is asked for."""
        return retry_topic(self.topic, self.group) if self.came_back else self.topic


class Popping:
    """Takes messages, none of which is lost when whoever wanted them goes away meanwhile."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._under_way: set[Task[Any]] = set()

    async def pop(
        self, source: Source, *, lease: float, most: int = MOST, attempt: str = "", within: float = _WITHIN
    ) -> Sequence[Taken]:
        """Return what there is at once; when this is cancelled, what comes for it nevertheless is given back.

        :param lease: seconds for which nobody else sees it
        :param attempt: in order, what was taken under this name and never arrived is handed out once more
        """
        popping = self._started(_popped(self._cluster, source, lease, most, attempt, within))
        try:
            return await asyncio.shield(popping)
        except asyncio.CancelledError:
            self._under_way.add(self._started(_given_back(self._cluster, source, popping)))
            raise

    def _started(self, work: Coroutine[Any, Any, T]) -> Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def close(self) -> None:
        """Return when all is given back that came for those who went away."""
        while self._under_way:
            await asyncio.wait(self._under_way)


async def _popped(
    cluster: Cluster, source: Source, lease: float, most: int, attempt: str, within: float
) -> Sequence[Taken]:
    fields = _asked(source) | {
        "maxMsgNums": min(most, MOST),
        "invisibleTime": int(lease * 1000),
        "pollTime": 0,
        # From the beginning, where the group has not been anywhere yet.
        "initMode": 0,
        "expType": source.filter.kind,
        "exp": source.filter.expression,
    }
    if attempt:
        fields["attemptId"] = attempt
    address = source.broker.address
    answer = await cluster.ask(address, Request.POP_MESSAGE, fields, within=within, accepts=_NOTHING_THERE)
    return decode(answer, source.broker.name, source.topic) if answer.code == Response.SUCCESS else ()


def _asked(source: Source) -> dict[str, Value]:
    return {
        "consumerGroup": source.group,
        "topic": source.asked,
        "queueId": source.queue,
        "order": source.in_order,
        "bname": source.broker.name,
        # By the broker's clock: by one that goes after it, the question would be too old to be answered.
        "bornTime": 0,
    }


async def _given_back(cluster: Cluster, source: Source, popping: Task[Sequence[Taken]]) -> None:
    share = Share(source.broker, source.topic, source.group)
    # What is not given back returns by itself when its lease ends.
    with suppress(ClientError):
        await asyncio.gather(*(lend(cluster, share, each.handle, 0) for each in await popping))


async def wait(cluster: Cluster, source: Source, *, patience: float) -> bool:
    """Return whether there is something to take, as soon as there is, or after so many seconds.

    It takes nothing, so that it may be cancelled; and knows nothing of filters.

    :raises Refused: with `POLLING_FULL`, when too many wait
    """
    fields = _asked(source) | {"pollTime": int(patience * 1000)}
    answer = await cluster.ask(source.broker.address, Request.NOTIFICATION, fields, within=patience + _WITHIN)
    if answer.fields.get("pollingFull") == "true":
        raise Refused(Response.POLLING_FULL, f"too many wait for {source.asked}")
    return answer.fields.get("hasMsg") == "true"
