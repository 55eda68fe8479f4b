"""Plain sockets: made, and ended on purpose."""

import os
import struct
import sys
from contextlib import suppress
from socket import (
    AF_INET,
    IPPROTO_TCP,
    SHUT_WR,
    SO_LINGER,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    socket,
)

from msgkit.reaching import Address

if sys.platform == "linux":
    import fcntl
    import termios

__all__ = ["bound", "close", "prepare", "undelivered"]

#: On, with no time: closing forgets what is unsent, and resets.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def bound(address: Address) -> socket:
    """Return a socket that has this address, and does not listen yet."""
    new = socket(AF_INET, SOCK_STREAM)
    try:
        new.settimeout(0)
        if os.name == "posix":
            # Connections of before do not keep the port; elsewhere the option means something else.
            new.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        new.bind(address)
    except BaseException:
        new.close()
        raise
    return new


def prepare(end: socket) -> None:
    end.settimeout(0)
    # Some systems take no options for what has been reset already.
    with suppress(OSError):
        end.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


def close(end: socket, *, reset: bool) -> None:
    """Close with RST, or with FIN."""
    with suppress(OSError):
        if reset:
            end.setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)
        else:
            end.shutdown(SHUT_WR)
            _read_up(end)
    end.close()


def _read_up(end: socket) -> None:
    # What was never read would make the system reset. Somebody may write faster than we read.
    for _ in range(256):
        if not end.recv(1 << 16):
            return


def undelivered(end: socket) -> int:
    """How many of the bytes that were sent the other end does not have yet; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    try:
        end.getpeername()
        (left,) = struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, bytes(4)))
    except OSError:
        # It has been reset: nothing more will arrive.
        return 0
    return int(left)
