"""Whose fault it is that a record is not stored: what is tried again, and what it would be no use for. Pure."""

from enum import Enum, auto

from msgkit.errors import MessagingError, Unroutable
from msgkit_kafka.wire.errors import BrokerError, Code, TopicError, WireError

__all__ = ["Blame", "barred", "blame", "set_aside_for"]


class Blame(Enum):
    """What has to be another one for it to be stored."""

    #: The record, or where it is for: it is too large, say, or that topic does not exist.
    RECORD = auto()
    #: What we are permitted to do with the topic that it is for.
    PERMISSION = auto()
    #: Nothing but the time, or the writer: who is fenced, say, and begins anew.
    TIME = auto()
    #: The code, most likely.
    UNFORESEEN = auto()


_PERMISSION = frozenset({Code.TOPIC_AUTHORIZATION_FAILED})
#: What is so of all records of a topic.
_OF_THE_TOPIC = _PERMISSION | {Code.UNKNOWN_TOPIC_OR_PARTITION, Code.INVALID_TOPIC}
_OF_THE_RECORD = frozenset(
    {
        *(_OF_THE_TOPIC - _PERMISSION),
        Code.MESSAGE_TOO_LARGE,
        Code.RECORD_LIST_TOO_LARGE,
        Code.INVALID_TIMESTAMP,
        Code.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        Code.POLICY_VIOLATION,
        Code.INVALID_RECORD,
    }
)
#: Seconds for which a record is set aside that is refused where it goes: at first, and at most.
_FIRST, _LONGEST = 1.6, 25.6
#: How often: for 11 s, in which its topic may appear, since brokers hear of a new one by and by; and for 306 s, in
#: which somebody may permit it, or what nobody foresaw may pass all the same.
_TRIES = {Blame.RECORD: 3, Blame.PERMISSION: 15, Blame.UNFORESEEN: 15}


def blame(error: MessagingError) -> Blame:
    """Tell from why a transaction failed, or a record of it."""
    if isinstance(error, Unroutable):
        return Blame.RECORD
    cause = error.__cause__
    if isinstance(cause, TopicError) and cause.code in _PERMISSION:
        return Blame.PERMISSION
    if isinstance(cause, BrokerError) and cause.code in _OF_THE_RECORD:
        return Blame.RECORD
    if cause is None or isinstance(cause, (MessagingError, WireError, OSError)):
        # What took too long is among the last.
        return Blame.TIME
    return Blame.UNFORESEEN


def barred(error: MessagingError) -> str | None:
    """Return the topic that nothing gets to now."""
    cause = error.__cause__
    return cause.topic if isinstance(cause, TopicError) and cause.code in _OF_THE_TOPIC else None


def set_aside_for(why: Blame, refusals: int) -> float | None:
    """Return for how many seconds a record is set aside that was refused for that so often before; None to put it away.

    What only takes time it is never set aside for.
    """
    return min(_FIRST * 2**refusals, _LONGEST) if refusals < _TRIES[why] else None
