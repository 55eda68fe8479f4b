"""A client's connection through a proxy: two sockets, and a pipe each way."""

import asyncio
from collections.abc import Callable, Mapping
from socket import AF_INET, SOCK_STREAM, socket

from msgkit.reaching import Address
from msgkit.testing.proxy.faults import Direction, Tripwire, Way
from msgkit.testing.proxy.pipe import End, Pipe
from msgkit.testing.proxy.sockets import close, prepare, undelivered

__all__ = ["Connection"]

#: Seconds between two looks whether the last bytes have arrived: no event tells.
_GLANCE = 0.001


class Connection:
    """Lives until both ends have ended it, or it is cut; says so by `over`, once."""

    def __init__(
        self,
        client: socket,
        upstream: Address,
        ways: Mapping[Direction, Way],
        buffer: memoryview,
        over: Callable[["Connection"], object],
    ) -> None:
        #: Whether bytes of it were lost, so that the rest must never arrive.
        self.holed = False
        self._over: Callable[[Connection], object] | None = over
        self._client = client
        self._broker = socket(AF_INET, SOCK_STREAM)
        for end in (self._client, self._broker):
            prepare(end)
        self._up = Pipe(ways[Direction.UP], self._client, self._broker, buffer, self)
        self._down = Pipe(ways[Direction.DOWN], self._broker, self._client, buffer, self)
        self._wire: Tripwire | None = None
        self._glance: asyncio.TimerHandle | None = None
        self._connecting = asyncio.create_task(self._connect(upstream), name=f"connects to {upstream}")

    async def _connect(self, upstream: Address) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(self._broker, upstream)
            _check_not_itself(self._broker)
        except OSError:
            # News from the broker's side, which goes the way of all that comes from there.
            self._down.end(End.RESET)
        else:
            self._up.start()
            self._down.start()

    def resume(self) -> None:
        """Do as the faults of the moment say; one that lost bytes has no more to say itself."""
        self._up.resume()
        self._down.resume()

    def cut(self, *, reset: bool) -> None:
        """End it now, both ways."""
        if self._over is None:
            return
        over, self._over = self._over, None
        self._stop()
        for end in (self._client, self._broker):
            close(end, reset=reset)
        if self._wire is not None:
            self._wire.tripped()
        over(self)

    def _stop(self) -> None:
        self._connecting.cancel()
        self._up.stop()
        self._down.stop()
        # What waits to connect looks back too late: by then the number may be another socket's.
        asyncio.get_running_loop().remove_writer(self._broker)
        if self._glance is not None:
            self._glance.cancel()

    # -- what its pipes tell

    def half_ended(self) -> None:
        if self._up.ended and self._down.ended:
            self.cut(reset=False)

    def broke(self, broken: socket) -> None:
        (self._up if broken is self._client else self._down).source_broke()

    def trip(self, wire: Tripwire, target: socket) -> None:
        wire.armed = False
        self._wire = wire
        self._stop()
        self._cut_when_delivered(wire, target)

    def _cut_when_delivered(self, wire: Tripwire, target: socket) -> None:
        # A reset takes back what the other end has not got yet.
        if undelivered(target):
            self._glance = asyncio.get_running_loop().call_later(_GLANCE, self._cut_when_delivered, wire, target)
        else:
            self.cut(reset=wire.reset)


def _check_not_itself(broker: socket) -> None:
    # A port from which nobody listens can be drawn for the connection to it, which then succeeds.
    if broker.getsockname() == broker.getpeername():
        msg = "connected to itself"
        raise ConnectionRefusedError(msg)
