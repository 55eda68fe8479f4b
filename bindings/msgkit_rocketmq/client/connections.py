"""Connections, one for each address: made when they are wanted, and again when they are lost."""

import asyncio
from asyncio import Task
from collections.abc import Awaitable, Callable

from msgkit.reaching import Address
from msgkit.spi.pauses import pause
from msgkit_rocketmq.client.connection import Connection, Door
from msgkit_rocketmq.client.errors import NotWritten, Unfit
from msgkit_rocketmq.client.frames import Frame

__all__ = ["Connections"]


class Connections:
    """Tries that fail one after the other are spaced out: whoever comes meanwhile waits for the next."""

    def __init__(
        self,
        door: Door,
        greet: Callable[[Connection, float], Awaitable[None]],
        *,
        on_request: Callable[[Connection, Frame], None],
        on_lost: Callable[[Connection], None],
        hint: str = "",
    ) -> None:
        """Connect nobody yet.

        :param hint: what is said of who cannot be reached
        """
        self._door = door
        self._hint = hint
        self._greet = greet
        self._on_request = on_request
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._open: dict[Address, Connection] = {}
        self._opening: dict[Address, Task[Connection]] = {}
        #: Of each that could not be reached: how often, and why the last time.
        self._failures: dict[Address, tuple[int, NotWritten]] = {}
        self._is_closed = False

    @property
    def open(self) -> tuple[Connection, ...]:
        """Those that there are now."""
        return tuple(self._open.values())

    def connected(self, address: Address) -> Connection | None:
        """Return the connection if there is one now."""
        return self._open.get(address)

    async def to(self, address: Address, deadline: float) -> Connection:
        """Return the connection, made if need be.

        :param deadline: by the loop's clock
        :raises NotWritten: when there is none until then, or the next try failed
        """
        if (found := self._open.get(address)) is not None:
            return found
        if self._is_closed:
            raise NotWritten("closed by ourselves")
        opening = self._opening.get(address) or self._begin(address)
        await asyncio.wait([opening], timeout=max(0.0, deadline - self._loop.time()))
        if not opening.done():
            _, why = self._failures.get(address, (0, None))
            raise NotWritten(str(why or f"{address}: there was no connection in time"))
        if opening.cancelled():
            raise NotWritten("closed by ourselves")
        return opening.result()

    def _begin(self, address: Address) -> Task[Connection]:
        opening = self._opening[address] = self._loop.create_task(self._made(address))
        opening.add_done_callback(lambda task: self._ended(address, task))
        return opening

    async def _made(self, address: Address) -> Connection:
        failures, why = self._failures.get(address, (0, None))
        if why is not None:
            await asyncio.sleep(pause(failures - 1, is_final=isinstance(why, Unfit)))
        try:
            connection = await Connection.open(
                address, self._door, self._greet, on_request=self._on_request, on_lost=self._lost
            )
        except Unfit:
            raise
        except NotWritten as error:
            raise NotWritten(f"{error}{self._hint}") from error
        if not connection.is_open:
            raise NotWritten(f"{address}: {connection.why}")
        self._open[address] = connection
        return connection

    def _ended(self, address: Address, opening: Task[Connection]) -> None:
        del self._opening[address]
        if opening.cancelled():
            return
        match opening.exception():
            case NotWritten() as error:
                self._failures[address] = self._failures.get(address, (0, error))[0] + 1, error
            case _:
                self._failures.pop(address, None)

    def _lost(self, connection: Connection) -> None:
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]
            if not self._is_closed:
                self._on_lost(connection)

    async def close(self) -> None:
        self._is_closed = True
        opening = tuple(self._opening.values())
        for each in opening:
            each.cancel()
        await asyncio.gather(*(each.close() for each in self.open))
        await asyncio.gather(*opening, return_exceptions=True)
