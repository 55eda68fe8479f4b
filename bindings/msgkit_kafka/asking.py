"""How Spring's templates ask, in headers of their own, and how they know the answer. Pure."""

from collections.abc import Mapping

from msgkit.envelope import Envelope

__all__ = ["answering", "asked"]

_TOPIC, _PARTITION, _CORRELATION = "kafka_replyTopic", "kafka_replyPartition", "kafka_correlationId"
#: Bytes of a partition's number.
_NUMBER = 4
#: In an address before what the answer is known by, which may be any bytes.
_KNOWN_BY = f"{_CORRELATION}="


def asked(said: Mapping[str, bytes | None]) -> str | None:
    """Return the address of who asks so; None when nobody does."""
    topic, number, correlation = (said.get(name) for name in (_TOPIC, _PARTITION, _CORRELATION))
    if not topic or not topic.isascii() or b"/" in topic:
        return None
    partition = int.from_bytes(number, signed=True) if number is not None and len(number) == _NUMBER else -1
    known_by = "" if correlation is None else _KNOWN_BY + correlation.hex()
    return f"{topic.decode()}/{partition if partition >= 0 else ''}/{known_by}"


def answering(answer: Envelope) -> Envelope:
    """Return an answer with what is looked for in it by who asked."""
    _, found, known_by = answer.destination.rpartition(f"/{_KNOWN_BY}")
    try:
        correlation = bytes.fromhex(known_by)
    except ValueError:
        return answer
    return answer._replace(headers={**answer.headers, _CORRELATION: correlation}) if found else answer
