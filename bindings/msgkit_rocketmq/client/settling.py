"""Ending what was lent: it is done, or it comes back, now or later."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import Refused, Unreadable
from msgkit_rocketmq.client.frames import Value
from msgkit_rocketmq.client.handles import Handle
from msgkit_rocketmq.client.places import Broker

__all__ = ["Share", "accept", "accept_all", "lend"]

_WITHIN = 5.0
#: What is new about a handle.
_NEW = ("popTime", "invisibleTime", "reviveQid")


class Share(NamedTuple):
    """What a group takes of a topic from one broker."""

    broker: Broker
    topic: str
    group: str


async def accept(cluster: Cluster, share: Share, handle: Handle, *, within: float = _WITHIN) -> None:
    """Have a message be done with. The broker accepts whatever it is told: that it returned already, too."""
    await cluster.ask(share.broker.address, Request.ACK_MESSAGE, _settling(share, handle), within=within)


async def accept_all(cluster: Cluster, share: Share, handles: Sequence[Handle], *, within: float = _WITHIN) -> None:
    """Have several be done with. Where this fails, some may be."""
    try:
        await cluster.ask(share.broker.address, Request.BATCH_ACK_MESSAGE, body=_body(share, handles), within=within)
    except Refused as refused:
        # Of RocketMQ 5.0.
        if refused.code != Response.REQUEST_CODE_NOT_SUPPORTED:
            raise
        await asyncio.gather(*(accept(cluster, share, each, within=within) for each in handles))


async def lend(
    cluster: Cluster, share: Share, handle: Handle, seconds: float, *, within: float = _WITHIN
) -> Handle | None:
    """Have a message come back after so many seconds from now, and return what settles it until then.

    :returns: None, when the broker says that it is done with, which it does only of those in order
    """
    fields = _settling(share, handle) | {"invisibleTime": int(seconds * 1000)}
    address = share.broker.address
    answer = await cluster.ask(address, Request.CHANGE_MESSAGE_INVISIBLETIME, fields, within=within)
    try:
        popped, invisible, revive = (int(answer.fields.get(name, 0)) for name in _NEW)
    except ValueError as error:
        raise Unreadable("an answer does not tell what the message is settled by from now on") from error
    if not popped:
        return None
    return handle._replace(start=handle.offset, popped=popped, invisible=invisible, revive=revive)


def _settling(share: Share, handle: Handle) -> dict[str, Value]:
    return {
        "consumerGroup": share.group,
        "topic": handle.topic_of(share.topic, share.group),
        "queueId": handle.queue,
        "extraInfo": str(handle),
        "offset": handle.offset,
        "bname": share.broker.name,
    }


def _body(share: Share, handles: Iterable[Handle]) -> bytes:
    bits: dict[Handle, int] = {}
    for handle in handles:
        # All that was taken together is told in one.
        together = handle._replace(offset=0)
        bits[together] = bits.get(together, 0) | 1 << (handle.offset - handle.start)
    acks = [
        {
            "c": share.group,
            "t": share.topic,
            "r": each.mark,
            "so": each.start,
            "q": each.queue,
            "rq": each.revive,
            "pt": each.popped,
            "it": each.invisible,
            "b": b64encode(done.to_bytes((done.bit_length() + 7) // 8, "little")).decode(),
        }
        for each, done in bits.items()
    ]
    return json.dumps({"brokerName": share.broker.name, "acks": acks}).encode()
