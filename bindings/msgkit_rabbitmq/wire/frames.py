"""Frames: what goes over the connection, each for one channel and with an end mark."""

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct

from msgkit_rabbitmq.wire.tables import MalformedTable

__all__ = [
    "BODY",
    "END",
    "FRAME_MAX",
    "FRAME_MIN",
    "HEAD",
    "HEADER",
    "HEARTBEAT",
    "METHOD",
    "MOST",
    "OVERHEAD",
    "content_frames",
    "frame",
    "message_frame",
    "publish_frame",
]

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
#: Kind, channel, length of the payload.
HEAD = Struct(">BHL")
END = 0xCE
OVERHEAD = HEAD.size + 1
#: What we want a frame to be at most, and what every peer must take.
FRAME_MAX, FRAME_MIN = 128 * 1024, 4096

_MARK = bytes((END,))
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
#: The head of a frame and, in it, class, weight, size of the body.
_HEADER = Struct(">BHLHHQ")
_CONTENT = _HEADER.size - HEAD.size
#: The end of one frame, and the head of the next one.
_BETWEEN = Struct(">BBHL")
_BASIC = 60
#: The most bytes of properties in a frame of the usual size.
MOST = FRAME_MAX - OVERHEAD - _CONTENT


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return HEAD.pack(kind, channel, len(payload)) + payload + _MARK


@lru_cache(maxsize=4096)
def publish_frame(channel: int, exchange: bytes, key: bytes) -> bytes:
    """Return the frame that announces a message, which is to come back if no queue takes it.

    :raises MalformedTable: when a name is too long
    """
    try:
        names = bytes((len(exchange),)) + exchange + bytes((len(key),)) + key
    except ValueError:
        raise MalformedTable("the name of an exchange or a routing key has more than 255 bytes") from None
    return frame(METHOD, channel, _PUBLISH + names + b"\x01")


def message_frame(channel: int, announced: bytes, properties: bytes, body: bytes) -> bytes:
    """Return a message with all its frames, its body in one of them."""
    size = len(body)
    head = _HEADER.pack(HEADER, channel, _CONTENT + len(properties), _BASIC, 0, size)
    if not size:
        return b"".join((announced, head, properties, _MARK))
    return b"".join((announced, head, properties, _BETWEEN.pack(END, BODY, channel, size), body, _MARK))


def content_frames(channel: int, properties: bytes, body: bytes, frame_max: int) -> Iterator[bytes | memoryview]:
    """Return the frames of a large message in pieces, behind the one that announces it."""
    yield _HEADER.pack(HEADER, channel, _CONTENT + len(properties), _BASIC, 0, len(body)) + properties + _MARK
    most, whole = frame_max - OVERHEAD, memoryview(body)
    for at in range(0, len(body), most):
        part = whole[at : at + most]
        yield HEAD.pack(BODY, channel, len(part))
        yield part
        yield _MARK
