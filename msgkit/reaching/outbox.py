"""What is to leave: gathered for a turn of the loop, and held back while the peer takes no more."""

import asyncio
from asyncio import AbstractEventLoop, Future

__all__ = ["Outbox"]

#: So many bytes leave before the turn of the loop is over, so that it is seen whether the peer takes them.
_MUCH = 256 * 1024


class Outbox:
    """Writes to a transport, once there is one and until it ends."""

    __slots__ = ("_loop", "_out", "_room", "_weight", "has_written", "transport")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._out: list[bytes | memoryview] = []
        self._weight = 0
        self._room: Future[None] | None = None
        self.transport: asyncio.Transport | None = None
        #: For who wants to know, and sets it back.
        self.has_written = False

    def write(self, data: bytes | memoryview, /) -> None:
        """Write in this turn of the loop, together with all else that is written in it unless that is much."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(data)
        self._weight += len(data)
        if self._weight > _MUCH:
            self.flush()

    def flush(self) -> None:
        out = self._out
        if out and self.transport is not None:
            self.has_written = True
            self.transport.write(b"".join(out))
        out.clear()
        self._weight = 0

    @property
    def is_full(self) -> bool:
        return self._room is not None

    async def room(self) -> None:
        while self._room is not None:
            await asyncio.shield(self._room)

    def pause(self) -> None:
        if self.transport is not None and self._room is None:
            self._room = self._loop.create_future()

    def resume(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
        self._room = None

    def end(self) -> None:
        """Write nothing any more, and let nobody wait for room."""
        self.transport = None
        self._out.clear()
        self.resume()
