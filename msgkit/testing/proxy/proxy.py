"""The proxy as tests see it: doors, and the faults of what passes them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf
from socket import socket
from types import TracebackType
from typing import Self

from msgkit.errors import ConfigurationError
from msgkit.reaching import Address
from msgkit.testing.proxy.connection import Connection
from msgkit.testing.proxy.faults import Direction, Faults, Flow, Tripwire, Way
from msgkit.testing.proxy.sockets import bound
from msgkit.testing.proxy.thread import LoopThread
from msgkit.values import Seconds, check_duration, check_number, check_whole

__all__ = ["Door", "FaultProxy"]

_BUFFER = 256 * 1024


class Door:
    """A port where clients come in, and where they are led to."""

    def __init__(self, address: Address, upstream: Address, welcome: Callable[[socket, Address], None]) -> None:
        self._upstream = upstream
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._socket = bound(address)
        self._is_open = False
        self.address = Address(*self._socket.getsockname())

    def open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._socket.listen(1024)
            self._loop.add_reader(self._socket, self.let_in)

    def refuse(self) -> None:
        if self._is_open:
            self.close()
            # A socket that is bound and does not listen refuses, and keeps the port from others.
            self._socket = bound(self.address)

    def close(self) -> None:
        if self._is_open:
            self.let_in()
            self._is_open = False
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def let_in(self) -> None:
        """Take those whom the system has connected already."""
        while self._is_open:
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self._welcome(client, self._upstream)


class FaultProxy:
    """Stands in front of a broker, and does to its clients' connections what networks do.

    One set of faults for all its doors. A fault is in force when its method returns, for the
    connections that there are and for new ones, until `heal`. Faults compose: a direction may be
    delayed, limited and about to be cut at once; only `hold` and `black_hole` take each other's
    place. The end of a stream, FIN or RST, goes its way as a byte does: it is delayed, held and lost
    like one. With no fault the proxy passes on everything as it comes: half-closes, resets (also for
    a broker that refuses), and the back pressure of who reads slowly.

    It works in a thread of its own: it may be used from any event loop, from one after another, and
    goes on while a test blocks its own. It listens on the loopback interface unless told otherwise.
    """

    def __init__(self) -> None:
        self._ways = {direction: Way() for direction in Direction.BOTH}
        self._doors: list[Door] = []
        self._refuses = False
        self._connections: set[Connection] = set()
        self._wire: Tripwire | None = None
        # What is read is sent, or copied, before anything else is read.
        self._buffer = memoryview(bytearray(_BUFFER))
        self._thread = LoopThread("msgkit:proxy", at_end=self._end)

    @classmethod
    @asynccontextmanager
    async def before(cls, host: str, port: int) -> AsyncGenerator[Self]:
        """Stand in front of one port, for the length of a block; clients connect to `address`."""
        async with cls() as proxy:
            await proxy.open((host, port))
            yield proxy

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self, upstream: tuple[str, int], port: int = 0, host: str = "127.0.0.1") -> Address:
        """Open a door, and return where clients come in; nobody need listen behind it yet.

        :param port: 0 for any that is free
        """
        return await self._thread.call(partial(self._open, Address(host, port), Address(*upstream)))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where clients come in, door by door."""
        return tuple(door.address for door in self._doors)

    @property
    def address(self) -> Address:
        """Where clients come in, when there is one door.

        :raises ConfigurationError: if there is none, or several
        """
        if len(addresses := self.addresses) != 1:
            msg = f"this proxy has {len(addresses)} doors: open() one, or use addresses"
            raise ConfigurationError(msg)
        return addresses[0]

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._connections)

    # -- faults

    async def cut(self, *, reset: bool = True) -> None:
        """End all connections now, at both ends: by RST, or by FIN. New ones are welcome."""
        await self._thread.call(partial(self._cut, reset=reset))

    async def refuse(self) -> None:
        """Refuse new connections, as a broker does that is down; those that there are stay."""
        await self._thread.call(self._refuse)

    async def accept(self) -> None:
        """Let new connections in again, at the same ports."""
        await self._thread.call(self._accept)

    async def black_hole(self, direction: Direction = Direction.BOTH) -> None:
        """Swallow what comes, and what is held or on its way; connections stay open and silent.

        `heal` cuts those that have lost something: no stream goes on with a hole in it.
        """
        await self._impose(direction, partial(replace, flow=Flow.LOST))

    async def hold(self, direction: Direction = Direction.BOTH) -> None:
        """Let nothing through, and lose nothing: it waits for `heal`, and senders in the end for it."""
        await self._impose(direction, partial(replace, flow=Flow.HELD))

    async def delay(self, seconds: Seconds, direction: Direction = Direction.BOTH) -> None:
        """Let everything arrive that much later, in its order.

        As much passes as before, up to 16 MiB on their way at a time in each connection.
        """
        await self._impose(direction, partial(replace, delay=check_duration(seconds, "delay")))

    async def limit(self, bytes_per_second: float, direction: Direction = Direction.BOTH) -> None:
        """Let no more through than this; each connection, and each way, has that much for itself."""
        rate = check_number(bytes_per_second, "bytes_per_second", least=1, most=inf)
        await self._impose(direction, partial(replace, rate=rate))

    async def cut_after(self, n_bytes: int, direction: Direction, *, reset: bool = True) -> None:
        """Let exactly so many bytes more through, then cut: once, by RST or FIN.

        They are counted from now, over all connections together, and with `Direction.BOTH` over
        both ways. The connection that the last of them passes is cut as soon as it has arrived;
        after 0 bytes, the one that brings the next byte. The others go on, and new ones are
        welcome. `tripped` tells when it has happened.
        """
        check_whole(n_bytes, "n_bytes", least=0)
        await self._thread.call(partial(self._arm, n_bytes, direction, reset=reset))

    async def tripped(self, timeout: Seconds) -> None:
        """Return when the last `cut_after` has cut a connection.

        :raises TimeoutError: if it has not in time, or was undone
        :raises ConfigurationError: if there was none
        """
        wire = self._wire
        if wire is None:
            msg = "there is nothing to trip: call cut_after() first"
            raise ConfigurationError(msg)
        await self._thread.run(wire.wait(check_duration(timeout, "timeout")))

    async def heal(self) -> None:
        """Undo every fault: what was held flows, and connections that lost bytes are cut."""
        await self._thread.call(self._heal)

    async def close(self) -> None:
        """Cut all connections, and free the ports; nothing is left, and it cannot be used again."""
        await self._thread.close()

    # -- in the thread

    def _open(self, address: Address, upstream: Address) -> Address:
        door = Door(address, upstream, self._welcome)
        self._doors.append(door)
        if not self._refuses:
            door.open()
        return door.address

    def _welcome(self, client: socket, upstream: Address) -> None:
        self._connections.add(Connection(client, upstream, self._ways, self._buffer, self._connections.discard))

    def _cut(self, *, reset: bool) -> None:
        for door in self._doors:
            door.let_in()
        for connection in tuple(self._connections):
            connection.cut(reset=reset)

    def _refuse(self) -> None:
        self._refuses = True
        for door in self._doors:
            door.refuse()

    def _accept(self) -> None:
        self._refuses = False
        for door in self._doors:
            door.open()

    async def _impose(self, direction: Direction, change: Callable[[Faults], Faults]) -> None:
        await self._thread.call(partial(self._change, direction, change))

    def _change(self, direction: Direction, change: Callable[[Faults], Faults]) -> None:
        for each in direction:
            self._ways[each].faults = change(self._ways[each].faults)
        for connection in tuple(self._connections):
            connection.resume()

    def _arm(self, n_bytes: int, direction: Direction, *, reset: bool) -> None:
        self._disarm()
        self._wire = Tripwire(n_bytes, reset=reset)
        self._change(direction, partial(replace, wire=self._wire))

    def _disarm(self) -> None:
        if self._wire is not None:
            self._wire.disarm()

    def _heal(self) -> None:
        self._disarm()
        for connection in tuple(self._connections):
            if connection.holed:
                connection.cut(reset=True)
        self._change(Direction.BOTH, lambda _: Faults())
        self._accept()

    def _end(self) -> None:
        self._disarm()
        while self._doors:
            self._doors.pop().close()
        self._cut(reset=True)
