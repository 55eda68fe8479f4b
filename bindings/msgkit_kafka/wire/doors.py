"""What is asked of a broker first: what it knows, and whether it lets us in."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.fields import BYTES, INT16, INT64, NULLABLE_STRING, STRING, array, record

__all__ = [
    "API_VERSIONS",
    "SASL_AUTHENTICATE",
    "SASL_HANDSHAKE",
    "Known",
    "Nothing",
    "Proof",
    "Verdict",
    "Versions",
    "Way",
    "Ways",
]


class Nothing(NamedTuple):
    pass


class Known(NamedTuple):
    """Which versions of one API a broker knows."""

    key: int
    lowest: int
    highest: int


class Versions(NamedTuple):
    error: int
    known: Sequence[Known]


class Way(NamedTuple):
    mechanism: str


class Ways(NamedTuple):
    error: int
    mechanisms: Sequence[str]


class Proof(NamedTuple):
    data: bytes | memoryview


class Verdict(NamedTuple):
    error: int
    text: str | None
    data: bytes | memoryview
    #: Milliseconds after which it has to be proved again; 0: never.
    lifetime: int


API_VERSIONS = Api(
    "ApiVersions",
    18,
    0,
    record(Nothing),
    record(Versions, INT16, array(record(Known, INT16, INT16, INT16))),
)
SASL_HANDSHAKE = Api("SaslHandshake", 17, 1, record(Way, STRING), record(Ways, INT16, array(STRING)))
SASL_AUTHENTICATE = Api(
    "SaslAuthenticate", 36, 1, record(Proof, BYTES), record(Verdict, INT16, NULLABLE_STRING, BYTES, INT64)
)
