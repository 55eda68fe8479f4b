"""Having a broker store messages."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgkit_rocketmq.client import properties
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import Refused, Unanswered, Unreadable
from msgkit_rocketmq.client.frames import Frame, Value
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.records import encode_batch

__all__ = ["GROUP", "LEVELS", "Outgoing", "Sent", "after", "at", "send", "send_all", "to_be_sent"]

#: Whom messages are from, as long as no broker is to ask back.
GROUP = "msgkit"
#: Seconds of the fixed delays, of which the first is level 1: less late than any other delay, and ranked above it.
LEVELS = (1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200)
_WITHIN = 5.0
#: Stored, and the disk or the copies were too slow: it may be lost yet.
_IN_DOUBT = frozenset({Response.FLUSH_DISK_TIMEOUT, Response.SLAVE_NOT_AVAILABLE, Response.FLUSH_SLAVE_TIMEOUT})
#: What the broker says when it does not know itself what became of a message.
_UNKNOWN = "UNKNOWN_ERROR"


class Outgoing(NamedTuple):
    """A message to be stored. Brokers take none without a body, and 32,767 bytes of properties, theirs included."""

    body: bytes
    properties: Mapping[str, str]


class Sent(NamedTuple):
    """Where a message is stored."""

    queue: int
    offset: int
    #: What the broker calls it.
    stored_as: str


def after(seconds: float) -> dict[str, str]:
    """Return the property that has a message delivered so long after it is stored: not before, and up to 2 s later."""
    return {"TIMER_DELAY_MS": str(round(seconds * 1000))}


def at(moment: float) -> dict[str, str]:
    """Return the property that has a message delivered at a time in seconds since 1970, by the broker's clock."""
    return {"TIMER_DELIVER_MS": str(round(moment * 1000))}


async def send(
    cluster: Cluster, place: Place, message: Outgoing, *, group: str = GROUP, within: float = _WITHIN
) -> Sent:
    """Return when the broker has the message.

    :raises Unanswered: also when the broker cannot say whether it has it
    :raises ValueError: when it would not arrive as it is
    """
    answer = await to_be_sent(cluster, Request.SEND_MESSAGE_V2, place, message, group=group, within=within)
    return _sent(answer)[0]


async def send_all(
    cluster: Cluster, place: Place, messages: Sequence[Outgoing], *, within: float = _WITHIN
) -> Sequence[Sent]:
    """Return when the broker has all of them, or none. None may be delayed, or half."""
    if not all(each.body for each in messages):
        raise ValueError(_EMPTY)
    batch = Outgoing(encode_batch(messages), {})
    return _sent(await to_be_sent(cluster, Request.SEND_BATCH_MESSAGE, place, batch, group=GROUP, within=within))


_EMPTY = "RocketMQ takes no message without a body"


async def to_be_sent(
    cluster: Cluster,
    request: Request,
    place: Place,
    message: Outgoing,
    *,
    group: str,
    flags: int = 0,
    ahead: float = 0,
    within: float = _WITHIN,
) -> Frame:
    """Return the answer to who sends something, of whatever kind. See `send`."""
    if not message.body:
        raise ValueError(_EMPTY)
    fields: dict[str, Value] = {
        "a": group,
        "b": place.topic,
        # What an absent topic is to be made like: by no mistake of a name.
        "c": "",
        "d": 0,
        "e": place.queue,
        "f": flags,
        "g": int((time.time() - ahead) * 1000),
        "h": 0,
        "i": properties.encode(message.properties),
        "j": 0,
        "k": False,
        "m": request == Request.SEND_BATCH_MESSAGE,
        "n": place.broker.name,
    }
    try:
        answer = await cluster.ask(
            place.broker.address, request, fields, message.body, within=within, accepts=_IN_DOUBT
        )
    except Refused as refused:
        if refused.code == Response.SYSTEM_ERROR and _UNKNOWN in refused.text:
            raise Unanswered(f"the broker does not know whether it has it: {refused}") from refused
        raise
    if answer.code != Response.SUCCESS:
        raise Unanswered(f"stored, and not safely: {Response(answer.code).name.lower().replace('_', ' ')}")
    return answer


def _sent(answer: Frame) -> Sequence[Sent]:
    try:
        queue, offset = int(answer.fields["queueId"]), int(answer.fields["queueOffset"])
        names = answer.fields["msgId"].split(",")
    except (KeyError, ValueError) as error:
        raise Unreadable("an answer does not tell where the message is stored") from error
    return [Sent(queue, offset + place, name) for place, name in enumerate(names)]
