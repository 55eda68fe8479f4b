"""What can go wrong with a broker, done on purpose."""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from enum import Enum
from functools import partial
from typing import Protocol

from msgkit.envelope import Envelope
from msgkit.errors import BrokerUnavailable, SendRefused
from msgkit_memory.clients import Client
from msgkit_memory.queues import ServerQueue, Taker

__all__ = ["Fate", "Faults", "FaultyServer"]


class Fate(Enum):
    """What becomes of a message, and of the news about it."""

    STORED = "stored"
    STORED_UNCONFIRMED = "stored, but the connection is lost before the confirm"
    LOST = "not stored, and the connection is lost"


class FaultyServer(Protocol):
    """What faults are done to. The plain methods are called with the lock held."""

    running: bool

    @property
    def lock(self) -> AbstractContextManager[object]: ...
    @property
    def clients(self) -> Collection[Client]: ...
    def queues_named(self, name: str | None, /) -> Iterable[ServerQueue]: ...
    def cut(self, client: Client, reason: str, /, *, crashed: bool) -> None: ...
    def trouble(self, active: bool, /) -> None: ...  # noqa: FBT001 -- a setter
    def resumed(self) -> None: ...
    def drop_anonymous(self, name: str, /) -> None: ...


class Faults:
    """Faults of one server, for all of its clients; called from any thread.

    Each lasts as its method says, or until `heal()`. A client is meant by the name that its
    binding was made with, or one connection of it by `MemoryBinding.connection`.
    """

    def __init__(self, server: FaultyServer) -> None:
        self._server = server
        self.paused = False
        #: Seconds by which each answer is late.
        self.delay = 0.0
        #: How many more are refused, by destination; None is any.
        self._refusals: dict[str | None, float] = {}
        self._fates: deque[Fate] = deque()
        self._failed_settlements = 0

    # -- connections

    def disconnect(self, client: str | None = None) -> int:
        """Cut the connections of a client, or all; return how many.

        What they had and did not settle counts as a crash. They come back by themselves.
        """
        return self._cut("the connection was cut", client, crashed=True)

    def vanish(self, client: str) -> int:
        """Have a client die as by SIGKILL: its connections are cut, and none comes back."""
        with self._server.lock:
            for one in self._named(client):
                one.banned = True
        return self._cut("the client is gone", client, crashed=True)

    def outstay(self, queue: str) -> int:
        """Keep the clients of an anonymous queue away for longer than it is kept."""
        with self._server.lock:
            owners = [one for one in self._server.clients if queue in one.anonymous]
            for one in owners:
                self._server.cut(one, "the connection was cut", crashed=True)
            self._server.drop_anonymous(queue)
        return len(owners)

    def stop(self) -> None:
        """Stop the broker in order: content is kept, and nothing counts as a crash."""
        self._go_down("the broker was stopped", crashed=False)

    def kill(self) -> None:
        """Stop the broker abruptly: content is kept, as on a disk, but nobody was told anything."""
        self._go_down("the broker went away", crashed=True)

    def start(self) -> None:
        """Start the broker again; clients find out by trying."""
        with self._server.lock:
            self._server.running = True
            self._server.resumed()

    def pause(self) -> None:
        """Have the broker answer nothing and deliver nothing, as one that was sent SIGSTOP."""
        with self._server.lock:
            self.paused = True
            self._review()

    def resume(self) -> None:
        """Let the broker go on where it was."""
        with self._server.lock:
            self.paused = False
            self._review()
            self._server.resumed()

    def slow(self, by: float) -> None:
        """Delay each answer by so many seconds; 0 ends that."""
        with self._server.lock:
            self.delay = by
            self._review()

    def heal(self) -> None:
        """End what lasts, and start what was stopped."""
        with self._server.lock:
            self._refusals.clear()
            self._fates.clear()
            self._failed_settlements = 0
            self.delay = 0.0
        self.resume()
        self.start()

    # -- sends and settlements

    def refuse(self, sends: int | None = None, *, destination: str | None = None) -> None:
        """Refuse the next sends, to one destination or any; all, when no number is given.

        A dead letter that is refused stays where it was.
        """
        more = float("inf") if sends is None else sends
        with self._server.lock:
            self._refusals[destination] = self._refusals.get(destination, 0) + more
            self._review()

    def lose_confirms(self, sends: int = 1, *, stored: bool = True) -> None:
        """Cut the connection in the midst of each of the next sends, before the confirm."""
        with self._server.lock:
            self._fates.extend([Fate.STORED_UNCONFIRMED if stored else Fate.LOST] * sends)
            self._review()

    def fail_settlements(self, number: int = 1) -> None:
        """Fail the next settlements: their deliveries stay unsettled."""
        with self._server.lock:
            self._failed_settlements += number
            self._review()

    # -- leases

    def expire(self, queue: str | None = None) -> int:
        """Have the leases of a queue run out, or all: deliveries go to whoever is next.

        Each counts as a crash: its consumer is taken for dead. Returns how many there were.
        """
        with self._server.lock:
            takers = self._takers(queue)
            expired = sum(len(taker.unsettled) - len(taker.inbox) for taker in takers)
            for taker in takers:
                taker.queue.reclaim(taker, crashed=True)
            for taker in takers:
                taker.wake()
                taker.queue.go_on()
        return expired

    async def revoke(self, deadline: float, queue: str | None = None) -> None:
        """Take back what consumers of a queue have, or all, once they finished it or time is up.

        Nothing of it counts as a crash.
        """
        over: list[Future[None]] = []
        with self._server.lock:
            for taker in self._takers(queue):
                taker.queue.bench(taker)
                taker.queue.recall(taker)
                done: Future[None] = Future()
                over.append(done)
                taker.ears.revoke(deadline, partial(done.set_result, None))
            for one in self._server.queues_named(queue):
                one.go_on()
        await asyncio.gather(*map(asyncio.wrap_future, over))

    # -- what the server asks, with its lock held

    def refuse_to_store(self, envelope: Envelope) -> None:
        """Refuse a message, where that was asked for.

        :raises SendRefused: when it is to be refused
        """
        for name in (envelope.destination, None):
            if left := self._refusals.get(name):
                self._refusals[name] = left - 1
                self._review()
                raise SendRefused(f"{name or 'the broker'!r} refuses messages: a fault asked for")

    def fate(self) -> Fate:
        """Say what becomes of the next message, and of the news about it."""
        if not self._fates:
            return Fate.STORED
        fate = self._fates.popleft()
        self._review()
        return fate

    def refuse_to_settle(self) -> None:
        """Fail a settlement, where that was asked for.

        :raises BrokerUnavailable: when it is to fail
        """
        if self._failed_settlements:
            self._failed_settlements -= 1
            self._review()
            raise BrokerUnavailable("the broker settles nothing: a fault asked for")

    def _review(self) -> None:
        self._server.trouble(
            self.paused or bool(self.delay or self._failed_settlements or self._fates) or any(self._refusals.values())
        )

    def _go_down(self, reason: str, *, crashed: bool) -> None:
        with self._server.lock:
            self._server.running = False
        self._cut(reason, None, crashed=crashed)

    def _cut(self, reason: str, client: str | None, *, crashed: bool) -> int:
        with self._server.lock:
            cut = [one for one in self._named(client) if one.connected]
            for one in cut:
                self._server.cut(one, reason, crashed=crashed)
        return len(cut)

    def _named(self, client: str | None) -> list[Client]:
        return [one for one in self._server.clients if client in (None, one.name, one.connection)]

    def _takers(self, queue: str | None) -> list[Taker]:
        queues = self._server.queues_named(queue)
        return [taker for one in queues for taker in one.takers]
