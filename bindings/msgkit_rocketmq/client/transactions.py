"""Half messages: stored, and seen by nobody until their sender says what becomes of them, or the broker asks for it."""

from enum import IntEnum
from typing import NamedTuple

from msgkit_rocketmq.client import records
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.frames import Frame, Value
from msgkit_rocketmq.client.places import Broker, Place
from msgkit_rocketmq.client.records import Record
from msgkit_rocketmq.client.sending import Outgoing, to_be_sent

__all__ = ["Check", "Half", "Verdict", "checked", "end", "prepare"]

_WITHIN = 5.0
_PREPARED = 4
#: What the broker calls a message ends with where that is in its log.
_POSITION, _HEX = 16, 16


class Verdict(IntEnum):
    #: The broker will ask, or ask again.
    UNKNOWN = 0
    COMMIT = 8
    ROLLBACK = 12


class Half(NamedTuple):
    """A half message, as its broker has to be told of it."""

    topic: str
    #: Among the halves.
    offset: int
    position: int
    #: `UNIQ_KEY`.
    key: str
    transaction: str


class Check(NamedTuple):
    """A broker asks what is to become of a half message."""

    half: Half
    record: Record


async def prepare(
    cluster: Cluster, place: Place, message: Outgoing, *, group: str, ahead: float = 0, within: float = _WITHIN
) -> Half:
    """Return when the broker has the half message, and would ask this group about it. See `sending.send`.

    :param ahead: seconds by which our clock may go before the broker's, who asks at once about what is from the future
    """
    named = {**message.properties, "TRAN_MSG": "true", "PGROUP": group}
    half = Outgoing(message.body, named)
    answer = await to_be_sent(
        cluster, Request.SEND_MESSAGE_V2, place, half, group=group, flags=_PREPARED, ahead=ahead, within=within
    )
    try:
        position, offset = int(answer.fields["msgId"][-_POSITION:], _HEX), int(answer.fields["queueOffset"])
        transaction = answer.fields["transactionId"]
    except (KeyError, ValueError) as error:
        raise Unreadable("an answer does not tell where the half message is stored") from error
    return Half(place.topic, offset, position, named.get("UNIQ_KEY", transaction), transaction)


async def end(
    cluster: Cluster,
    broker: Broker,
    half: Half,
    verdict: Verdict,
    *,
    group: str,
    asked: bool = False,
    within: float = _WITHIN,
) -> None:
    """Say what becomes of a half message. Once: the broker would also commit what was rolled back.

    It writes down what it is told only every few seconds, and may ask in between about a copy of what is committed:
    that is to be rolled back, or it comes a second time.

    :param asked: whether the broker has asked for it
    """
    fields: dict[str, Value] = {
        "topic": half.topic,
        "producerGroup": group,
        "tranStateTableOffset": half.offset,
        "commitLogOffset": half.position,
        "commitOrRollback": verdict,
        "fromTransactionCheck": asked,
        "msgId": half.key,
        "transactionId": half.transaction,
        "bname": broker.name,
    }
    if verdict == Verdict.UNKNOWN:
        # No answer comes to this one.
        await cluster.tell(broker.address, Request.END_TRANSACTION, fields, within=within)
    else:
        await cluster.ask(broker.address, Request.END_TRANSACTION, fields, within=within)


def checked(question: Frame) -> Check:
    """Return what a broker asks by `CHECK_TRANSACTION_STATE`, which is about a copy that it has just made.

    :raises Unreadable: when that cannot be told
    """
    found = records.decode(question.body)
    if len(found) != 1:
        raise Unreadable(f"a broker asks about {len(found)} half messages at once")
    (record,), fields = found, question.fields
    try:
        offset, position = int(fields["tranStateTableOffset"]), int(fields["commitLogOffset"])
    except (KeyError, ValueError) as error:
        raise Unreadable("a broker asks about a half message, and does not tell which") from error
    key = fields.get("msgId") or record.id
    return Check(Half(record.topic, offset, position, key, fields.get("transactionId") or key), record)
