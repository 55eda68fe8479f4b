"""Whatever a broker may write, read by the client: what fuzzing goes through, and what it begins with."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgkit.envelope import Kind
from msgkit_rocketmq.client import (
    documents,
    frames,
    properties,
    records,
    replying,
    routes,
    taking,
    transactions,
)
from msgkit_rocketmq.client.errors import ClientError
from msgkit_rocketmq.mapping import Addressee, understood
from tests.rocketmq.recorded import (
    BATCH,
    CLUSTER,
    LZ4,
    OLDER,
    OVER_IPV4,
    OVER_IPV6,
    ROUTE,
    STATS,
    UNKNOWN,
    WELCOME,
    ZLIB,
    ZSTD,
)

__all__ = ["READERS", "SEEDS", "read_one"]

_HERE = Addressee(Kind.QUEUE, "jobs")
#: What stands between the header of an answer and its body, in the inputs.
_FIELDS = {
    "popTime": "1",
    "invisibleTime": "2",
    "reviveQid": "0",
    "startOffsetInfo": "0 3 42",
    "msgOffsetInfo": "0 3 42",
    "orderCountInfo": "",
}


def _frame(data: bytes) -> None:
    frame = frames.decode(data)
    for read in (_answer, _taken, replying.answered, transactions.checked):
        _unless_refused(read, frame)


def _answer(frame: frames.Frame) -> None:
    frames.checked(frame)


def _taken(frame: frames.Frame) -> None:
    for taken in taking.decode(frame, "broker-a", "orders"):
        str(taken.handle)


def _records(data: bytes) -> None:
    for record in records.decode(data):
        understood(record, _HERE)
        replying.asker(record.properties)


def _lent(data: bytes) -> None:
    """Read the body as that of a POP; what stands before it is what its messages are settled by."""
    said, _, body = data.partition(b"\n")
    fields = {**_FIELDS, **properties.decode(said.decode(errors="replace"))}
    _taken(frames.Frame(0, fields, body, is_response=True))


def _route(data: bytes) -> None:
    routes.route_in("orders", data)


def _masters(data: bytes) -> None:
    routes.masters_in(data)


def _document(data: bytes) -> None:
    told = documents.read(data)
    for name in told:
        for read in (documents.objects, documents.rows, documents.texts, documents.number, _pairs):
            with suppress(ClientError):
                read(told, name)


def _pairs(told: documents.Document, name: str) -> None:
    for _ in documents.pairs(told, name):
        pass


def _unless_refused(read: Callable[[Any], object], what: object) -> None:
    with suppress(ClientError):
        read(what)


#: The first byte of an input chooses among them.
READERS: Sequence[Callable[[bytes], None]] = (_frame, _records, _lent, _route, _masters, _document)
SEEDS: Sequence[bytes] = (
    *(b"\0" + each[4:] for each in (WELCOME, UNKNOWN)),
    *(b"\1" + each for each in (OVER_IPV4, OVER_IPV6, ZLIB, LZ4, ZSTD, BATCH, OVER_IPV4 + ZLIB)),
    *(b"\2\n" + each for each in (OVER_IPV4, OVER_IPV6, ZLIB)),
    *(b"\3" + each for each in (ROUTE, OLDER)),
    b"\4" + CLUSTER,
    b"\5" + STATS,
)


def read_one(data: bytes) -> None:
    """Read an input, as what its first byte says.

    :raises Exception: one that is not the client's own
    """
    if data:
        _unless_refused(READERS[data[0] % len(READERS)], data[1:])
