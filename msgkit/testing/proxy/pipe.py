"""One way of a connection: what may pass does, what may not waits."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from socket import SHUT_WR, socket
from typing import Protocol

from msgkit.testing.proxy.faults import Faults, Flow, Tripwire, Way

__all__ = ["End", "Owner", "Pipe"]

#: Bytes that may be on a delayed way at once; more wait at the sender.
_ON_THE_WAY = 16 * 1024 * 1024
#: Seconds' worth of bytes that a limited way lets through at once, and may catch up.
_SLICE = 0.02


class End(Enum):
    """How a stream ends."""

    FIN = auto()
    RESET = auto()


class _Stop(Enum):
    """Why the head of a line cannot pass."""

    DELAYED = auto()
    PACED = auto()
    FULL = auto()


@dataclass(slots=True)
class _Parcel:
    content: memoryview | End
    arrived: float


class Owner(Protocol):
    """What a pipe tells the connection that it is part of."""

    holed: bool

    def broke(self, broken: socket) -> None: ...
    def trip(self, wire: Tripwire, target: socket) -> None: ...
    def cut(self, *, reset: bool) -> None: ...
    def half_ended(self) -> None: ...


class Pipe:
    """One way of a connection: from one socket to the other, past the faults of its direction.

    What may pass does so at once; what may not stands in line. Nothing is awaited in here, so a
    fault is in force from the moment that it is set.
    """

    def __init__(self, way: Way, source: socket, target: socket, buffer: memoryview, owner: Owner) -> None:
        self._way = way
        self._source = source
        self._target = target
        self._buffer = buffer
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._line: deque[_Parcel] = deque()
        self._in_line = 0
        self._paced_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._source_is_open = False
        self._source_is_broken = False
        self._reading = False
        self._writing = False
        #: Whether the end of the stream has been passed on.
        self.ended = False

    def start(self) -> None:
        self._source_is_open = True
        self.resume()

    def stop(self) -> None:
        """Let nothing pass any more, and forget what waits."""
        self._source_is_open = False
        self._forget()
        self._watch(None)
        if self._timer is not None:
            self._timer.cancel()

    def resume(self) -> None:
        """Let pass what may now, and come back for the rest when it may."""
        stop: _Stop | None = None
        faults = self._way.faults
        if faults.flow is Flow.LOST and self._line:
            self._owner.holed = True
            self._forget()
        while self._line and faults.flow is Flow.FREE and stop is None:
            stop = self._pass_head(faults)
        self._watch(stop)

    def end(self, how: End) -> None:
        """Put the end of the stream in line: it waits, or is lost, as a byte would be."""
        self._source_is_open = False
        self._queue(how)

    def source_broke(self) -> None:
        """Take note that writing to the source failed: what it sent before can still be read."""
        self._source_is_broken = True
        if not self._source_is_open:
            self._queue(End.RESET)

    # -- reading

    def _read(self) -> None:
        try:
            size = self._source.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            self.end(End.RESET)
            return
        if not size:
            self.end(End.RESET if self._source_is_broken else End.FIN)
            return
        sent = self._send(self._buffer[:size]) if self._way.faults.none and not self._line else 0
        if sent < size and self._source_is_open:
            self._queue(memoryview(bytes(self._buffer[sent:size])))

    def _queue(self, content: memoryview | End) -> None:
        self._line.append(_Parcel(content, self._loop.time()))
        self._in_line += 0 if isinstance(content, End) else len(content)
        self.resume()

    def _forget(self) -> None:
        self._line.clear()
        self._in_line = 0

    # -- passing on

    def _pass_head(self, faults: Faults) -> _Stop | None:
        head, now = self._line[0], self._loop.time()
        if (due := head.arrived + faults.delay) > now:
            self._come_back(due)
            return _Stop.DELAYED
        if isinstance(head.content, End):
            self._line.popleft()
            self._pass_end(head.content)
            return None
        if faults.rate is not None and self._paced_until > now:
            self._come_back(self._paced_until)
            return _Stop.PACED
        return self._pass_bytes(head, head.content, faults)

    def _pass_bytes(self, head: _Parcel, content: memoryview, faults: Faults) -> _Stop | None:
        wire = faults.armed
        most = len(content)
        if faults.rate is not None:
            most = min(most, int(faults.rate * _SLICE) or 1)
        if wire is not None:
            most = min(most, wire.left)
        sent = self._send(content[:most]) if most else 0
        if sent:
            head.content = content[sent:]
            self._account(sent, faults.rate, wire)
        if wire is not None and not wire.left:
            self._owner.trip(wire, self._target)
        elif not sent:
            return _Stop.FULL if self._line else None
        elif sent == len(content):
            self._line.popleft()
        return None

    def _account(self, sent: int, rate: float | None, wire: Tripwire | None) -> None:
        self._in_line -= sent
        if rate is not None:
            self._paced_until = max(self._paced_until, self._loop.time() - _SLICE) + sent / rate
        if wire is not None:
            wire.left -= sent

    def _send(self, data: memoryview) -> int:
        try:
            return self._target.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._target_broke()
            return 0

    def _pass_end(self, how: End) -> None:
        if how is End.RESET:
            self._owner.cut(reset=True)
            return
        try:
            self._target.shutdown(SHUT_WR)
        except OSError:
            self._target_broke()
            return
        self.ended = True
        self._owner.half_ended()

    def _target_broke(self) -> None:
        self.stop()
        self._owner.broke(self._target)

    # -- coming back

    def _come_back(self, when: float) -> None:
        if self._timer is None or self._timer.when() != when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.resume()

    def _watch(self, stop: _Stop | None) -> None:
        """Watch the sockets for what may happen next: what is not read waits at the sender."""
        room = not self._line or (stop is _Stop.DELAYED and self._in_line < _ON_THE_WAY)
        self._watch_source(wanted=self._source_is_open and room)
        self._watch_target(wanted=stop is _Stop.FULL)

    def _watch_source(self, *, wanted: bool) -> None:
        if wanted and not self._reading:
            self._loop.add_reader(self._source, self._read)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._source)
        self._reading = wanted

    def _watch_target(self, *, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._target, self.resume)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._target)
        self._writing = wanted
