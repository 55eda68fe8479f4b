"""Frames: what goes over the connection, each for one channel and with an end mark."""

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct

__all__ = [
    "BODY",
    "HEAD",
    "HEADER",
    "HEARTBEAT",
    "HEARTBEAT_FRAME",
    "METHOD",
    "OVERHEAD",
    "content_frames",
    "frame",
    "publish_frame",
]

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
#: Kind, channel, length of the payload.
HEAD = Struct(">BHL")
END = b"\xce"
OVERHEAD = HEAD.size + len(END)

_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
_CONTENT = Struct(">HHQ")
_BASIC = 60


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return HEAD.pack(kind, channel, len(payload)) + payload + END


HEARTBEAT_FRAME = frame(HEARTBEAT, 0, b"")


@lru_cache(maxsize=4096)
def publish_frame(channel: int, exchange: bytes, key: bytes) -> bytes:
    """Return the frame that announces a message, which is to come back if no queue takes it."""
    name, routing = bytes((len(exchange),)) + exchange, bytes((len(key),)) + key
    return frame(METHOD, channel, _PUBLISH + name + routing + b"\x01")


def content_frames(channel: int, properties: bytes, body: bytes, frame_max: int) -> Iterator[bytes]:
    """Return the frames of a message behind the one that announces it."""
    yield frame(HEADER, channel, _CONTENT.pack(_BASIC, 0, len(body)) + properties)
    most = frame_max - OVERHEAD
    if 0 < len(body) <= most:
        yield frame(BODY, channel, body)
        return
    for at in range(0, len(body), most):
        yield frame(BODY, channel, body[at : at + most])
