"""Ports that belong to one broker for as long as it lives, also while it is down."""

import random
import socket
import time
from contextlib import closing

from msgkit.errors import MessagingError
from msgkit.testing.brokers.programs import LOOPBACK

__all__ = ["Ports"]

#: Below the ports that the system gives to outgoing connections: one of those could take the place of
#: a broker that is stopped for a while.
_RANGE = range(20_000, 32_000)
_TRIES = 200
_PATIENCE = 5.0
_LOOK = 0.02


class Ports:
    """Free ports, each kept from other tests of this machine by a datagram socket of the same number.

    Brokers listen on streams alone, so that the two do not meet; and the system lets go of the
    socket when this process ends, however it does.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def reserve(self, *also: int) -> int:
        """Return a free port; those at the distances `also` from it are reserved with it."""
        for _ in range(_TRIES):
            port = random.choice(_RANGE)  # noqa: S311 -- any will do
            held = [_hold(port + distance) for distance in (0, *also)]
            if None not in held:
                self._held += [each for each in held if each is not None]
                return port
            for each in held:
                if each is not None:
                    each.close()
        msg = f"no free port among {_RANGE.start} to {_RANGE.stop - 1}, after {_TRIES} tries"
        raise MessagingError(msg)

    def close(self) -> None:
        """Let go of the ports, once nobody listens there any more."""
        until = time.monotonic() + _PATIENCE
        while self._held:
            _, port = self._held[-1].getsockname()
            while _is_listened_to(port) and time.monotonic() < until:
                # Who was ended has let go of it; an engine's door to a container needs a moment more.
                time.sleep(_LOOK)
            self._held.pop().close()


def _is_listened_to(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as stream:
        # Connections that have ended are no hindrance.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            stream.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _hold(port: int) -> socket.socket | None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        datagrams.bind((LOOPBACK, port))
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as stream:
            stream.bind((LOOPBACK, port))
    except OSError:
        datagrams.close()
        return None
    return datagrams
