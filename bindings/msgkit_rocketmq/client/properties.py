"""The properties of a message, which are text with control characters between: names of the broker's own among them."""

from collections.abc import Mapping

__all__ = [
    "RESERVED",
    "decode",
    "encode",
    "escaped",
    "escaped_name",
    "is_reserved",
    "size_of",
    "unescaped",
    "unescaped_name",
]

_BEHIND_NAME, _BEHIND_VALUE = "\x01", "\x02"
#: Begins what could not be written as it is. Alone it is empty text, which the broker would drop.
_ESCAPE = "\x03"
#: Written for each of the three; and before a name that the broker would act on.
_WRITTEN = {_BEHIND_NAME: "\x031", _BEHIND_VALUE: "\x032", _ESCAPE: "\x033"}
_READ = {written: read for read, written in _WRITTEN.items()}
_NOT_THE_BROKERS = "\x03_"

#: What the broker, or a client of Java, acts on, or writes itself. It refuses none of them from anybody.
RESERVED = frozenset(
    """
    1ST_POP_TIME ARRIVE_TIME BORN_TIMESTAMP BUYER_ID CHECK_IMMUNITY_TIME_IN_SECONDS CLUSTER CONSUME_START_TIME
    CORRECTION_FLAG CORRELATION_ID DELAY DLQ_ORIGIN_MESSAGE_ID DLQ_ORIGIN_TOPIC DUP_INFO EXTEND_UNIQ_INFO INNER_BASE
    INNER_MULTI_DISPATCH INNER_MULTI_QUEUE_OFFSET INNER_NUM INSTANCE_ID KEYS MAX_OFFSET MAX_RECONSUME_TIMES MIN_OFFSET
    MQ2_FLAG MSG_REGION MSG_TYPE ORIGIN_MESSAGE_ID PGROUP POP_CK POP_CK_OFFSET PROPERTY_FORWARD_QUEUE_ID
    PUSH_REPLY_TIME REAL_QID REAL_TOPIC RECONSUME_TIME REDIRECT REPLY_TO_CLIENT RETRY_TOPIC TAGS TIMER_DELAY_LEVEL
    TIMER_DELAY_MS TIMER_DELAY_SEC TIMER_DELIVER_MS TIMER_DEL_UNIQKEY TIMER_DEQUEUE_MS TIMER_ENQUEUE_MS TIMER_OUT_MS
    TIMER_ROLL_TIMES TRACE_CONTEXT TRACE_ON TRANSACTION_CHECK_TIMES TRANSFER_FLAG TRAN_MSG TRAN_PREPARED_QUEUE_OFFSET
    TTL UNIQ_KEY WAIT __BORNHOST __CRC32# __LITE_TOPIC __SHARDINGKEY __transactionId__ _SYS_MSG_PRIORITY_
    """.split()  # noqa: SIM905 -- a line for each would be sixty lines
)
_RESERVED_PREFIX = "__RMQ."


def is_reserved(name: str) -> bool:
    return name in RESERVED or name.startswith(_RESERVED_PREFIX)


# -- text that anybody may have chosen


def escaped(text: str) -> str:
    """Return text as a property can hold it: itself, if it can."""
    if not text:
        return _ESCAPE
    for read, written in reversed(_WRITTEN.items()):
        text = text.replace(read, written)
    return text


def unescaped(text: str) -> str:
    """Return what was escaped; what others wrote as it is, but for what only `escaped` writes."""
    if _ESCAPE not in text:
        return text
    if text == _ESCAPE:
        return ""
    for written, read in _READ.items():
        text = text.replace(written, read)
    return text


def escaped_name(text: str) -> str:
    """Return text as a property can be named, without the broker's taking it for one of its own."""
    return _NOT_THE_BROKERS + text if is_reserved(text) else escaped(text)


def unescaped_name(text: str) -> str:
    return text.removeprefix(_NOT_THE_BROKERS) if text.startswith(_NOT_THE_BROKERS) else unescaped(text)


# -- all of them


def encode(properties: Mapping[str, str]) -> str:
    """Return them as they are sent.

    :raises ValueError: when the broker would lose one of them, or a part of it: see `escaped`
    """
    for name, value in properties.items():
        if not name or not value:
            raise ValueError(f"a property without a name or a value would be dropped: {name!r}")
        if _BEHIND_NAME in name or _BEHIND_VALUE in name or _BEHIND_VALUE in value:
            raise ValueError(f"the property {name!r} would be cut where it holds what stands between properties")
    return "".join(f"{name}{_BEHIND_NAME}{value}{_BEHIND_VALUE}" for name, value in properties.items())


def size_of(properties: Mapping[str, str]) -> int:
    """Return the bytes that they take, of which a message may have 32,767, the broker's own among them."""
    return len("".join([*properties, *properties.values()]).encode()) + 2 * len(properties)


def decode(text: str) -> dict[str, str]:
    """Return what was sent; what is no property is passed over, as by the broker."""
    found: dict[str, str] = {}
    for each in text.split(_BEHIND_VALUE):
        name, _, value = each.partition(_BEHIND_NAME)
        if name and value:
            found[name] = value
    return found
