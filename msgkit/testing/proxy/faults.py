"""What is wrong with each direction of a proxy."""

import asyncio
from dataclasses import dataclass
from enum import Enum, Flag, auto

__all__ = ["Direction", "Faults", "Flow", "Tripwire", "Way"]


class Direction(Flag):
    """Which way bytes go."""

    #: From client to broker.
    UP = auto()
    #: From broker to client.
    DOWN = auto()
    BOTH = UP | DOWN


class Flow(Enum):
    """What becomes of bytes that arrive: they go on, wait, or are lost."""

    FREE = auto()
    HELD = auto()
    LOST = auto()


class Tripwire:
    """The bytes that may still pass before a connection is cut."""

    def __init__(self, n_bytes: int, *, reset: bool) -> None:
        self.left = n_bytes
        self.reset = reset
        #: Whether it still waits for a connection to cut.
        self.armed = True
        self._cut = False
        self._settled = asyncio.Event()

    def tripped(self) -> None:
        """Take note that the connection has been cut."""
        self._cut = True
        self._settled.set()

    def disarm(self) -> None:
        """Cut nothing any more; what has tripped stays so."""
        if self.armed:
            self.armed = False
            self._settled.set()

    async def wait(self, timeout: float) -> None:
        async with asyncio.timeout(timeout):
            await self._settled.wait()
        if not self._cut:
            msg = f"no connection was cut: the fault was undone {self.left} bytes before"
            raise TimeoutError(msg)


@dataclass(frozen=True, slots=True)
class Faults:
    """All that is wrong at a time, with one direction."""

    flow: Flow = Flow.FREE
    #: Seconds.
    delay: float = 0.0
    #: Bytes in a second, for each connection.
    rate: float | None = None
    wire: Tripwire | None = None

    @property
    def none(self) -> bool:
        return self.flow is Flow.FREE and not self.delay and self.rate is None and self.armed is None

    @property
    def armed(self) -> Tripwire | None:
        return self.wire if self.wire is not None and self.wire.armed else None


class Way:
    """One direction, and its faults of the moment."""

    __slots__ = ("faults",)

    def __init__(self) -> None:
        self.faults = Faults()
