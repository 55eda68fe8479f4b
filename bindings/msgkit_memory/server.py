"""The broker itself: a data structure under one lock, shared by all of a process.

It has no loop. Clients live on loops of their own, in any thread; news are posted to them,
and whichever of them is awake first does what is due.
"""

import os
from collections.abc import Callable, Collection, Iterable
from functools import partial
from threading import Lock, RLock

from msgkit.clock import SYSTEM, Clock
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError, SendUnknown
from msgkit.spi import Dead, Depth, RawSettlement
from msgkit_memory.clients import Client
from msgkit_memory.content import Content
from msgkit_memory.due import Due, Ticket
from msgkit_memory.faults import Fate, Faults
from msgkit_memory.halves import Halves
from msgkit_memory.log import RETAIN
from msgkit_memory.options import ANONYMOUS_SURVIVES, CHECK_AFTER, MemoryOptions
from msgkit_memory.queues import ServerQueue, Taker
from msgkit_memory.stored import Stored

__all__ = ["Broker"]

_brokers: dict[str, "Broker"] = {}
_registry = Lock()


class Broker:
    """One embedded broker.

    `at`, `forget`, `faults` and what looks at it are for anybody, and take the lock. All else
    is for bindings, which hold it when they call.
    """

    def __init__(self, options: MemoryOptions, clock: Clock = SYSTEM) -> None:
        # Re-entrant, since the garbage collector may run in the midst of anything, and with it
        # code that sends: a handler of a log, say. It must not wait for itself.
        self.lock = RLock()
        self.clock = clock
        self.name = options.name
        self.retain = RETAIN if options.retain is None else options.retain
        self.check_after = options.check_after or CHECK_AFTER
        self.transient = options.transient or False
        self.running = True
        #: Are there faults that each request has to be judged by?
        self.troubled = False
        self.content = Content(clock=clock, retain=self.retain, schedule=self.schedule)
        self.faults = Faults(self)
        self.halves = Halves(
            check_after=self.check_after,
            store=self.content.store,
            schedule=self.schedule,
            who=self._who_checks,
        )
        self._clients: dict[Client, None] = {}
        self._due = Due()
        #: When anonymous queues go whose clients are all away.
        self._absent: dict[str, Ticket] = {}

    @staticmethod
    def at(url: str, *, clock: Clock = SYSTEM) -> "Broker":
        """Return the broker of a URL; whoever asks first makes it, and gives it its clock.

        :raises ConfigurationError: when the URL asks for options that the broker does not have
        """
        return Broker.of(MemoryOptions.parse(url), clock)

    @staticmethod
    def of(options: MemoryOptions, clock: Clock) -> "Broker":
        """Do as `at` does."""
        with _registry:
            broker = _brokers.get(options.name)
            if broker is None:
                broker = _brokers[options.name] = Broker(options, clock)
        broker._refuse_other(options)
        return broker

    @staticmethod
    def forget(url: str) -> None:
        """Have the next one that asks get a new broker."""
        with _registry:
            _brokers.pop(MemoryOptions.parse(url).name, None)

    def __repr__(self) -> str:
        return f"<Broker memory://{self.name}>"

    def depths(self) -> dict[str, Depth]:
        """Return what each queue holds."""
        with self.lock:
            return {name: queue.depth() for name, queue in self.content.queues.items()}

    def expired(self) -> dict[str, int]:
        """Return how many messages each queue dropped because their time was over."""
        with self.lock:
            return {name: queue.expired for name, queue in self.content.queues.items()}

    def scheduled(self) -> int:
        """Return how many things wait for their time."""
        with self.lock:
            return len(self._due)

    def _refuse_other(self, options: MemoryOptions) -> None:
        for name, wanted, there in (
            ("retain", options.retain, self.retain),
            ("check_after", options.check_after, self.check_after),
            ("transient", options.transient, self.transient),
        ):
            if wanted not in (None, there):
                raise ConfigurationError(
                    f"memory://{self.name} is there already with {name}={there}, not {wanted}; "
                    "use the same options in the whole process, or another name"
                )

    # -- requests that have to be judged

    def store(self, envelope: Envelope, client: Client) -> None:
        """Take a message while faults may be about.

        :raises SendRefused: when it is not stored
        :raises SendUnknown: when the connection is lost over it
        """
        if self.troubled:
            self.faults.refuse_to_store(envelope)
        # A message that cannot be stored is not lost either.
        self.content.check(envelope)
        fate = self.faults.fate() if self.troubled else Fate.STORED
        if fate is not Fate.LOST:
            self.content.store(envelope)
        if fate is not Fate.STORED:
            self.lose(client)

    def lose(self, client: Client) -> None:
        """Lose the connection in the midst of a confirm."""
        reason = "the connection was lost before the confirm"
        self.cut(client, reason, crashed=True)
        raise SendUnknown(reason)

    def settle(self, taker: Taker, stored: Stored, how: RawSettlement) -> None:
        """End a delivery while faults may be about.

        :raises DeliveryLost: when it is another's
        :raises MessagingError: any other, when it is as unsettled as before
        """
        if self.troubled and stored in taker.unsettled:
            self.faults.refuse_to_settle()
            if isinstance(how, Dead):
                self.faults.refuse_to_store(how.copy)
        self.content.settle(taker, stored, how)

    # -- time

    def schedule(self, pause: float, action: Callable[[], None], /) -> Ticket:
        """Have something done later."""
        first = self._due.first()
        when = self.clock.now() + pause
        ticket = self._due.add(when, action)
        if first is None or when < first:
            self._rearm()
        return ticket

    def next_due(self) -> float | None:
        """Return when `run_due` has to be called next."""
        return self._due.first() if self._going else None

    def run_due(self) -> None:
        """Do what is due by now."""
        while self._going and (action := self._due.take(self.clock.now())):
            action()

    @property
    def _going(self) -> bool:
        return self.running and not self.faults.paused

    def _rearm(self) -> None:
        for client in list(self._clients):
            if not client.rearm():
                self.leave(client)

    # -- clients

    @property
    def clients(self) -> Collection[Client]:
        return self._clients.keys()

    def queues_named(self, name: str | None, /) -> Iterable[ServerQueue]:
        return self.content.named(name)

    def attach(self, client: Client) -> bool:
        """Let a client in, for the first time or again; False when nobody answers."""
        if client.banned or not self._going:
            return False
        # What was due while nobody was there comes first: an anonymous queue may have to go.
        self.run_due()
        self._clients[client] = None
        client.connected = True
        if client.address is not None:
            self.content.replies[client.address] = client
        for name in client.anonymous:
            if ticket := self._absent.pop(name, None):
                ticket.cancel()
        self.halves.offered(client.checks)
        client.rearm()
        return True

    def cut(self, client: Client, reason: str, /, *, crashed: bool) -> None:
        """Lose a client's connection; it may come back."""
        if not client.connected:
            return
        self._detach(client, crashed=crashed)
        for name in client.anonymous:
            if not any(one.connected for one in self._owners(name)):
                gone = partial(self.drop_anonymous, name)
                self._absent[name] = self.schedule(ANONYMOUS_SURVIVES, gone)
        for taker in client.takers:
            taker.wake()
        if not client.post(partial(client.ears.went_down, reason)):
            self.leave(client)

    def leave(self, client: Client) -> None:
        """See a client off. What it has goes back uncounted, but what died with its loop counts."""
        if client.connected:
            self._detach(client, crashed=client.loop.is_closed())
        self._clients.pop(client, None)
        for name in client.anonymous:
            if not self._owners(name):
                self.drop_anonymous(name)
        if self.transient and not self._clients and _brokers.get(self.name) is self:
            # Whoever found it in the meantime keeps it; the next one gets another.
            _brokers.pop(self.name, None)

    def drop_anonymous(self, name: str, /) -> None:
        """Remove an anonymous queue whose clients were away too long, or left."""
        if ticket := self._absent.pop(name, None):
            ticket.cancel()
        if queue := self.content.queues.get(name):
            self.content.drop_queue(queue)

    def _detach(self, client: Client, *, crashed: bool) -> None:
        client.connected = client.clear = False
        if client.address is not None:
            self.content.replies.pop(client.address, None)
        # All stand back before anything is given back, or one would get the other's.
        for taker in client.takers:
            taker.queue.leave(taker)
        for taker in client.takers:
            taker.queue.reclaim(taker, crashed=crashed)
        for queue in {taker.queue for taker in client.takers}:
            queue.go_on()
        self.halves.abandoned(client)

    def _owners(self, anonymous: str) -> list[Client]:
        return [client for client in self._clients if anonymous in client.anonymous]

    def _who_checks(self, check: str) -> list[Client]:
        return [one for one in self._clients if one.connected and check in one.checks]

    # -- faults

    def trouble(self, active: bool, /) -> None:  # noqa: FBT001 -- a setter
        """Have each request judged, or no longer."""
        if active == self.troubled:
            return
        self.troubled = active
        for client in list(self._clients):
            if active:
                client.clear = False
            else:
                client.post(client.ears.calmed)

    def resumed(self) -> None:
        """Go on after a standstill: deliver what was handed out, and look at the time."""
        for client in list(self._clients):
            client.post(client.ears.calmed)
            client.post(client.ears.replied)
            for taker in client.takers:
                taker.wake()
        self._rearm()


def _after_fork() -> None:
    # A child has the memory of its parent but not its threads, one of which may have held a
    # lock: it starts with brokers of its own.
    global _registry  # noqa: PLW0603 -- as above
    _brokers.clear()
    _registry = Lock()


os.register_at_fork(after_in_child=_after_fork)
