"""Answers to requests: a broker brings each to the client that asked, if that is still there."""

from collections.abc import Mapping
from typing import NamedTuple

from msgkit_rocketmq.client import properties
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.compression import packed_way, unpacked
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.sending import GROUP, Outgoing, to_be_sent

__all__ = ["Answer", "Asker", "answer", "answered", "asker", "asking", "reply_topic"]

_WITHIN = 5.0


class Asker(NamedTuple):
    """Who waits for an answer, and to which question."""

    client: str
    correlation: str
    #: Milliseconds, as text.
    patience: str
    #: Where answers go.
    topic: str


class Answer(NamedTuple):
    correlation: str
    body: bytes
    properties: Mapping[str, str]


def asking(client: str, correlation: str, seconds: float) -> dict[str, str]:
    """Return the properties that make a message a question.

    The client has to belong to some group of producers: brokers find it by that.
    """
    return {"REPLY_TO_CLIENT": client, "CORRELATION_ID": correlation, "TTL": str(int(seconds * 1000))}


def asker(named: Mapping[str, str]) -> Asker | None:
    """Return who waits for an answer to a message with these properties."""
    try:
        client, correlation, cluster = named["REPLY_TO_CLIENT"], named["CORRELATION_ID"], named["CLUSTER"]
    except KeyError:
        return None
    return Asker(client, correlation, named.get("TTL", "0"), reply_topic(cluster))


def reply_topic(cluster: str) -> str:
    """Return where answers to the clients of a cluster go."""
    return f"{cluster}_REPLY_TOPIC"


async def answer(cluster: Cluster, place: Place, to: Asker, message: Outgoing, *, within: float = _WITHIN) -> None:
    """Return when the answer has arrived. See `sending.send`.

    :param place: any queue of the topic that answers to the asker go to
    :raises Refused: with `SYSTEM_ERROR`, when the asker is gone
    """
    named = {
        **message.properties,
        "MSG_TYPE": "reply",
        "REPLY_TO_CLIENT": to.client,
        "CORRELATION_ID": to.correlation,
        "TTL": to.patience,
    }
    request = Request.SEND_REPLY_MESSAGE_V2
    await to_be_sent(cluster, request, place, Outgoing(message.body, named), group=GROUP, within=within)


def answered(brought: Frame) -> Answer:
    """Return what a broker brings by `PUSH_REPLY_MESSAGE_TO_CLIENT`.

    :raises Unreadable: when it cannot be read
    """
    named = properties.decode(brought.fields.get("properties", ""))
    try:
        way = packed_way(int(brought.fields.get("sysFlag", 0)))
        correlation = named["CORRELATION_ID"]
    except (KeyError, ValueError) as error:
        raise Unreadable("a broker brings an answer, and does not tell to what") from error
    return Answer(correlation, brought.body if way is None else unpacked(way, brought.body), named)
