"""Where queues begin and end, and how far groups have come in them."""

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.frames import Frame, Value
from msgkit_rocketmq.client.places import Place

__all__ = ["at_time", "begin", "commit", "committed", "end"]

_WITHIN = 5.0


async def begin(cluster: Cluster, place: Place, *, within: float = _WITHIN) -> int:
    """Return where the oldest message is that is still there."""
    return _offset(await _asked(cluster, Request.GET_MIN_OFFSET, place, within=within))


async def end(cluster: Cluster, place: Place, *, within: float = _WITHIN) -> int:
    """Return where the next message will be. What was confirmed just now may follow: see `brokers.caught_up`."""
    return _offset(await _asked(cluster, Request.GET_MAX_OFFSET, place, within=within))


async def at_time(cluster: Cluster, place: Place, time: float, *, within: float = _WITHIN) -> int:
    """Return where the first message is that is not older than a time in seconds since 1970, or the end."""
    fields: dict[str, Value] = {"timestamp": int(time * 1000), "boundaryType": "LOWER"}
    return _offset(await _asked(cluster, Request.SEARCH_OFFSET_BY_TIMESTAMP, place, fields, within=within))


async def committed(cluster: Cluster, place: Place, group: str, *, within: float = _WITHIN) -> int | None:
    """Return how far a group has come, or None where it has not been yet.

    Where brokers have `popConsumerKVServiceEnable`, it follows what was accepted only when the group takes more.
    """
    fields: dict[str, Value] = {"consumerGroup": group, "setZeroIfNotFound": False}
    answer = await _asked(cluster, Request.QUERY_CONSUMER_OFFSET, place, fields, within=within)
    return _offset(answer) if answer.code == Response.SUCCESS else None


async def commit(cluster: Cluster, place: Place, group: str, offset: int, *, within: float = _WITHIN) -> None:
    """Have a group begin at this offset. It is for groups that take nothing at the moment."""
    await _asked(
        cluster,
        Request.UPDATE_CONSUMER_OFFSET,
        place,
        {"consumerGroup": group, "commitOffset": offset},
        within=within,
    )


async def _asked(
    cluster: Cluster, request: Request, place: Place, more: dict[str, Value] | None = None, *, within: float
) -> Frame:
    fields: dict[str, Value] = {"topic": place.topic, "queueId": place.queue, "bname": place.broker.name}
    return await cluster.ask(
        place.broker.address,
        request,
        fields | (more or {}),
        within=within,
        accepts=(Response.QUERY_NOT_FOUND,) if request == Request.QUERY_CONSUMER_OFFSET else (),
    )


def _offset(answer: Frame) -> int:
    try:
        return int(answer.fields["offset"])
    except (KeyError, ValueError) as error:
        raise Unreadable("an answer does not tell an offset") from error
