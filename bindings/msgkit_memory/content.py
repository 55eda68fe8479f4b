"""What a broker holds: exchanges, queues, and the messages in them. Called under its lock."""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Protocol

from msgkit.clock import Clock
from msgkit.envelope import Envelope, Kind
from msgkit.errors import DeliveryLost, Unroutable
from msgkit.settlement import Accept
from msgkit.spi import Dead, QueueSpec, RawSettlement, Release, RetryCopy, RouteSpec
from msgkit.spi.absent import absent
from msgkit.topology import ExchangeKind, Start
from msgkit.values import epoch
from msgkit_memory.clients import Client
from msgkit_memory.due import Ticket
from msgkit_memory.exchanges import ServerExchange
from msgkit_memory.log import Log, merged, sent_at
from msgkit_memory.queues import ServerQueue, Taker
from msgkit_memory.stored import Stored

__all__ = ["Content", "Scheduler"]


class Scheduler(Protocol):
    """Has something done later."""

    def __call__(self, pause: float, action: Callable[[], None], /) -> Ticket: ...


class Content:
    """Exchanges and queues by name, the clients that wait for replies, and the ways in and out."""

    def __init__(self, *, clock: Clock, retain: int, schedule: Scheduler) -> None:
        self.exchanges: dict[str, ServerExchange] = {}
        self.queues: dict[str, ServerQueue] = {}
        self.replies: dict[str, Client] = {}
        self._clock = clock
        self._retain = retain
        self._schedule = schedule
        self._places = count(1)

    # -- in

    def store(self, envelope: Envelope) -> None:
        """Take a message, now or for later.

        :raises Unroutable: when there is no such destination, or no route and one is required
        """
        if envelope.delay is not None or envelope.deliver_at is not None:
            self._store_later(envelope)
            return
        if envelope.kind is Kind.EXCHANGE:
            exchange = self.exchanges.get(envelope.destination)
            if exchange is None:
                raise _missing(envelope)
            queues = exchange.found.get(envelope.subject)
            if queues is None:
                queues = exchange.match(envelope)
            if not queues and envelope.require_route:
                raise _no_route(envelope)
            if exchange.log is not None:
                exchange.log.append(envelope)
            for queue in queues:
                queue.put(envelope)
        elif envelope.kind is Kind.QUEUE:
            queue = self._queue(envelope)
            if queue.log is not None:
                queue.log.append(envelope)
            queue.put(envelope)
        else:
            self._reply(envelope)

    def check(self, envelope: Envelope) -> None:
        """Refuse what `store` would refuse."""
        if envelope.kind is Kind.QUEUE:
            self._queue(envelope)
        elif envelope.kind is Kind.REPLY:
            self._waiting_for(envelope)
        elif (exchange := self.exchanges.get(envelope.destination)) is None:
            raise _missing(envelope)
        elif envelope.require_route and not exchange.match(envelope):
            raise _no_route(envelope)

    def _store_later(self, envelope: Envelope) -> None:
        now = self._clock.now()
        pause = max(envelope.delay or 0.0, (envelope.deliver_at or now) - now)
        if pause <= 0:
            self.store(envelope._replace(delay=None, deliver_at=None))
            return
        self.check(envelope)
        # Routes are evaluated when it is due. That one which was required has gone by then
        # refuses nothing any more: the message was confirmed.
        due = envelope._replace(delay=None, deliver_at=None, require_route=False)
        if envelope.kind is Kind.QUEUE:
            queue = self.queues[envelope.destination]
            if queue.log is not None:
                queue.log.append(due)
            self._hold(queue, queue.later(due), pause)
        else:
            self._schedule(pause, partial(self._store_due, due))

    def _store_due(self, envelope: Envelope) -> None:
        try:
            self.store(envelope)
        except Unroutable:
            return

    def _hold(self, queue: ServerQueue, stored: Stored, pause: float) -> None:
        queue.delayed[stored] = self._schedule(pause, partial(queue.due, stored))

    def _reply(self, envelope: Envelope) -> None:
        client = self._waiting_for(envelope)
        client.replies.append(envelope)
        if len(client.replies) == 1:
            client.post(client.ears.replied)

    def _queue(self, envelope: Envelope) -> ServerQueue:
        queue = self.queues.get(envelope.destination)
        if queue is None:
            raise _missing(envelope)
        return queue

    def _waiting_for(self, envelope: Envelope) -> Client:
        client = self.replies.get(envelope.destination)
        if client is None:
            raise Unroutable(f"nobody waits at {envelope.destination!r} for the reply any more")
        return client

    # -- how deliveries end

    def settle(self, taker: Taker, stored: Stored, how: RawSettlement) -> None:
        """End a delivery.

        :raises DeliveryLost: when it is another's
        :raises Unroutable: when there is no queue for its dead letter; it is as unsettled as before
        """
        if stored not in taker.unsettled:
            raise DeliveryLost(f"message {stored.envelope.message_id} was taken back")
        queue = taker.queue
        if isinstance(how, Dead):
            self._bury(queue, stored, how.copy)
        taker.let_go(stored)
        match how:
            case Release():
                queue.put_back(stored)
            case RetryCopy(after=after):
                self._hold(queue, stored.failed(), max(after, 0.0))
            case Accept() | Dead():
                queue.gone(stored)

    def _bury(self, queue: ServerQueue, stored: Stored, copy: Envelope) -> None:
        if copy.kind is not Kind.QUEUE:
            self.store(copy)
            return
        dead_letters = self._queue(copy)
        if dead_letters.log is not None:
            dead_letters.log.append(copy)
        dead_letters.put(copy, queue.guard(stored, copy.message_id))

    # -- topology

    def add_exchange(self, name: str, kind: ExchangeKind) -> ServerExchange:
        exchange = self.exchanges[name] = ServerExchange(name, kind, self._new_log())
        return exchange

    def add_queue(self, spec: QueueSpec) -> ServerQueue:
        """Make a queue with its routes, and let it have what its `start` asks for."""
        queue = ServerQueue(spec, self._places, self._clock, self._new_log())
        self.queues[spec.name] = queue
        for route in spec.routes:
            self.add_route(route, queue)
        if spec.start != "latest":
            self.seek(queue, spec.start)
        return queue

    def add_route(self, route: RouteSpec, queue: ServerQueue) -> None:
        self.exchanges[route.exchange].add(route, queue)

    def drop_queue(self, queue: ServerQueue) -> None:
        queue.purge()
        for exchange in self.exchanges.values():
            exchange.remove(queue.name)
        del self.queues[queue.name]

    def named(self, queue: str | None, /) -> list[ServerQueue]:
        """Return one queue, or all."""
        return [one for one in self.queues.values() if queue in (None, one.name)]

    def seek(self, queue: ServerQueue, to: Start) -> int:
        """Let a queue receive again from there on; return how many messages wait in it then."""
        if to == "latest":
            return queue.refill((), lambda _: False)
        moment = None if to == "earliest" else epoch(to, "start")
        logs = [
            filter(partial(exchange.takes, queue.name), exchange.log.since(moment))
            for exchange in self.exchanges.values()
            if exchange.log is not None
        ]
        if queue.log is not None:
            logs.append(filter(None, queue.log.since(moment)))
        return queue.refill(merged(logs), lambda e: moment is None or sent_at(e) >= moment)

    def _new_log(self) -> Log | None:
        return Log(self._retain) if self._retain else None


def _missing(envelope: Envelope) -> Unroutable:
    return Unroutable(absent(f"{envelope.kind.value} {envelope.destination!r}"))


def _no_route(envelope: Envelope) -> Unroutable:
    about = f" about {envelope.subject!r}" if envelope.subject else ""
    return Unroutable(f"no queue takes what is sent to {envelope.destination!r}{about}")
