"""How Java's producers pack long bodies, and how they are unpacked."""

import zlib
from collections.abc import Callable
from importlib import import_module
from mmap import mmap
from typing import Any

from msgkit_rocketmq.client.errors import Unreadable

__all__ = ["LARGEST", "packed_way", "unpacked"]

#: No body becomes larger: who packs zeros could otherwise fill the memory of all who read them.
LARGEST = 64 * 1024 * 1024
_PACKED, _WAY_AT, _WAY = 0x1, 8, 0b111


def packed_way(flags: int) -> int | None:
    """Return in which way a body is packed, by the system's flags of its message; None where it is not."""
    return flags >> _WAY_AT & _WAY if flags & _PACKED else None


def unpacked(way: int, body: bytes) -> bytes:
    """Return a body as it was before a producer packed it, in the way that has this number.

    :raises Unreadable: when it was packed in no known way, takes a library that is not here, or becomes too large
    """
    known = _WAYS.get(way)
    if known is None:
        raise Unreadable(f"a body is packed in way {way}, which is none that is known")
    name, unpack = known
    try:
        return unpack(body)
    except ImportError:
        raise Unreadable(f"a body is packed with {name}, which takes cramjam to unpack: pip install cramjam") from None
    except Exception as wrong:
        # Whatever a library raises.
        raise Unreadable(f"a body is packed with {name}, and cannot be unpacked: {wrong}") from wrong


def _from_zlib(body: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    out = unpacking.decompress(body, LARGEST)
    if not unpacking.eof:
        raise ValueError(f"it takes more than {LARGEST:,} bytes" if len(out) == LARGEST else "it is cut off")
    return out


def _with_cramjam(name: str) -> Callable[[bytes], bytes]:
    def unpack(body: bytes) -> bytes:
        library: Any = import_module("cramjam")
        # Memory is only taken where something is written to.
        with mmap(-1, LARGEST) as room:
            return room[: getattr(library, name).decompress_into(body, room)]

    return unpack


#: As of RocketMQ 4, there was only zlib, without a number.
_WAYS: dict[int, tuple[str, Callable[[bytes], bytes]]] = {
    0: ("zlib", _from_zlib),
    1: ("lz4", _with_cramjam("lz4")),
    2: ("zstd", _with_cramjam("zstd")),
    3: ("zlib", _from_zlib),
}
