"""The sending side: each message by the outlet of its exchange, always confirmed, always mandatory."""

import asyncio
import logging
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator

from msgkit.clock import Clock
from msgkit.envelope import NO_HEADERS, Envelope, Kind, Receipt
from msgkit.errors import Closed, MessagingError, SendRefused, Unroutable
from msgkit.spi.addresses import address
from msgkit_rabbitmq.delays import LONGEST, way
from msgkit_rabbitmq.mapping import DUE, REPLIES, encoded
from msgkit_rabbitmq.outcomes import Send, nobody_takes
from msgkit_rabbitmq.outlet import Outlet, Outlets
from msgkit_rabbitmq.wire import Connection, MalformedTable, Properties, Table, WireError

__all__ = ["Publisher"]

_log = logging.getLogger("msgkit.rabbitmq")
#: So many messages that are not confirmed do not pile up yet.
_ENOUGH = 2048
_MOST_OUTLETS = 200
_MOST_WARNINGS = 1000
_MOST_OF_A_KEY = 255
#: What makes a destination known where delayed messages come due; it fails when there is none.
_Bind = Callable[[Kind, str], Awaitable[None]]
#: What tells whether somebody waits for answers at an address.
_IsHeard = Callable[[str], Awaitable[bool]]


class Publisher:
    """Sends go out in call order, for each destination."""

    def __init__(self, broker: str, clock: Clock, bind: _Bind, is_heard: _IsHeard) -> None:
        self._clock = clock
        self._bind = bind
        self._is_heard = is_heard
        #: Answers of which it is looked whether anybody waits for them.
        self._answers: dict[Send, Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._shared = Outlets(
            broker=broker,
            on_crowded=self._retire_idle,
            on_waiting=self._note_waiting,
            on_unheard=self._warn,
        )
        self._outlets: dict[str, Outlet] = {}
        #: Those that were not written, and where they wait.
        self._waiting: dict[Future[Receipt], deque[Send]] = {}
        self._open = 0
        self._room: Future[None] | None = None
        self._bound: set[tuple[Kind, str]] = set()
        self._binding: dict[tuple[Kind, str], tuple[deque[Send], Task[None]]] = {}
        self._warned: set[tuple[str, str]] = set()
        self._closing: set[Task[None]] = set()
        self._closed = False
        #: Where answers come in, and what those call it who ask: it changes with the connection.
        self._address: str | None = None
        self._known_as: str | None = None
        #: Requests that wait for that.
        self._asking: deque[Send] = deque()

    # -- sending

    def send(self, envelope: Envelope, origin: Properties | None = None, also: Table = NO_HEADERS) -> "Future[Receipt]":
        """Send an envelope; `origin` are the properties of the message that it is a copy of, `also` more headers."""
        future: Future[Receipt] = self._loop.create_future()
        try:
            send = self._prepared(envelope, origin, also, future)
        except MessagingError as error:
            future.set_exception(error)
            return future
        self._open += 1
        future.add_done_callback(self._ended)
        self._put(send)
        return future

    def _prepared(self, envelope: Envelope, origin: Properties | None, also: Table, future: "Future[Receipt]") -> Send:
        if self._closed:
            raise Closed("the connection to RabbitMQ is closed")
        delay = self._delay(envelope)
        exchange = envelope.destination if envelope.kind is Kind.EXCHANGE else ""
        if delay > 0:
            exchange, bits = way(delay)
            also = {**also, **bits, DUE: address(envelope.kind, envelope.destination)}
        if len(envelope.destination.encode()) > _MOST_OF_A_KEY:
            name = envelope.destination[:40]
            raise SendRefused(f"RabbitMQ's names have at most {_MOST_OF_A_KEY} bytes: {name!r}… has more")
        key = (envelope.subject or "") if envelope.kind is Kind.EXCHANGE else envelope.destination
        routing = key.encode()
        if len(routing) > _MOST_OF_A_KEY:
            raise SendRefused(f"RabbitMQ's routing keys have at most {_MOST_OF_A_KEY} bytes: {key[:40]!r}… has more")
        try:
            properties = encoded(envelope, origin, also)
        except MalformedTable as error:
            raise SendRefused(f"message {envelope.message_id}: {error}") from error
        return Send(envelope, future, exchange, routing, properties, also)

    def _delay(self, envelope: Envelope) -> float:
        delay = envelope.delay or 0.0
        if envelope.deliver_at is not None:
            delay = envelope.deliver_at - self._clock.now()
        if delay > LONGEST:
            raise SendRefused(f"a delay of {delay:.0f} s is too long; at most {LONGEST:.0f} s can be waited")
        return delay

    def _put(self, send: Send) -> None:
        envelope = send.envelope
        if self._known_as is not None and envelope.reply_to == self._known_as and not self._addressed(send):
            self._asking.append(send)
            self._waiting[send.future] = self._asking
            return
        if send.exchange and send.exchange != envelope.destination:
            due = envelope.kind, envelope.destination
            if due not in self._bound:
                self._await_binding(due, send)
                return
        if envelope.kind is Kind.REPLY and envelope.destination.startswith(REPLIES):
            self._answers[send] = self._loop.create_task(self._answer(send))
            return
        self._leave_by_outlet(send)

    def _leave_by_outlet(self, send: Send) -> None:
        outlet = self._outlets.get(send.exchange) or self._new_outlet(send.exchange)
        if not outlet.put(send):
            self._waiting[send.future] = outlet.waiting

    async def _answer(self, send: Send) -> None:
        """Send an answer to where somebody waits: the broker says of none whether it was delivered."""
        try:
            if await self._is_heard(send.envelope.destination):
                self._leave_by_outlet(send)
            else:
                send.fail(Unroutable(nobody_takes(send)))
        except (WireError, MessagingError) as error:
            send.fail(SendRefused(f"nothing was sent to {send.envelope.destination!r}: {error}"))
        finally:
            del self._answers[send]

    def _addressed(self, send: Send) -> bool:
        """Say where answers come in at the moment, if that is known."""
        if self._address is not None and self._address != self._known_as:
            send.properties = encoded(send.envelope._replace(reply_to=self._address), None, send.also)
        return self._address is not None

    def _new_outlet(self, exchange: str) -> Outlet:
        if len(self._outlets) >= _MOST_OUTLETS:
            self._retire_idle()
        outlet = self._outlets[exchange] = Outlet(exchange, self._shared)
        return outlet

    def _retire_idle(self) -> None:
        """Close the channels that nothing is sent over at the moment."""
        for exchange, outlet in tuple(self._outlets.items()):
            if outlet.is_idle and exchange:
                del self._outlets[exchange]
                self._closing.add(closing := self._loop.create_task(outlet.close()))
                closing.add_done_callback(self._closing.discard)

    def _note_waiting(self, send: Send, waiting: deque[Send]) -> None:
        self._waiting[send.future] = waiting

    # -- delayed messages, whose destination must be known where they come due

    def _await_binding(self, due: tuple[Kind, str], send: Send) -> None:
        if due not in self._binding:
            waiting: deque[Send] = deque()
            self._binding[due] = waiting, self._loop.create_task(self._make_known(due, waiting))
        waiting, _ = self._binding[due]
        waiting.append(send)
        self._waiting[send.future] = waiting

    async def _make_known(self, due: tuple[Kind, str], waiting: deque[Send]) -> None:
        try:
            await self._bind(*due)
        except MessagingError as error:
            for send in waiting:
                send.fail(error)
            waiting.clear()
        else:
            self._bound.add(due)
        finally:
            del self._binding[due]
        self._put_again(tuple(waiting))

    # -- waiting, and giving up

    def abandon(self, future: "Future[Receipt]") -> bool:
        """Take back what was not written yet; tell whether it was taken back."""
        waiting = self._waiting.get(future)
        if waiting is None:
            return False
        for send in waiting:
            if send.future is future:
                waiting.remove(send)
                future.remove_done_callback(self._ended)
                self._ended(future)
                return True
        return False

    async def writable(self) -> None:
        while self._open >= _ENOUGH and not self._closed:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def _ended(self, future: "Future[Receipt]") -> None:
        self._waiting.pop(future, None)
        self._open -= 1
        if self._room is not None and self._open < _ENOUGH:
            self._make_room(self._room)

    def _make_room(self, room: "Future[None]") -> None:
        self._room = None
        room.set_result(None)

    def _warn(self, exchange: str, subject: str) -> None:
        if (exchange, subject) not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add((exchange, subject))
            _log.warning("no queue takes %r from exchange %r: such messages are dropped", subject, exchange)

    # -- for the session

    def went_up(self, connection: Connection) -> None:
        self._shared.connection = connection
        self._shared.blocked = None
        for outlet in tuple(self._outlets.values()):
            outlet.go_on()

    def went_down(self) -> None:
        self._shared.connection = None
        self._bound.clear()
        for outlet in self._outlets.values():
            outlet.connection_lost()
        if self._known_as is not None:
            self._address = None
            for outlet in self._outlets.values():
                self._asking.extend(outlet.without(self._known_as))
            for send in self._asking:
                self._waiting[send.future] = self._asking

    def blocked(self, reason: str | None) -> None:
        """Hear that the broker takes nothing, and why; or that it does again."""
        self._shared.blocked = reason
        if reason is not None:
            _log.warning("the broker takes no messages at the moment, sends wait: %s", reason)
            return
        _log.info("the broker takes messages again")
        for outlet in tuple(self._outlets.values()):
            outlet.go_on()

    def answered_at(self, address: str) -> str:
        """Hear where answers come in from now on; return what we call that, which stays the same."""
        self._address = address
        if self._known_as is None:
            self._known_as = address
        asking = tuple(self._asking)
        self._asking.clear()
        self._put_again(asking)
        return self._known_as

    def _put_again(self, sends: Iterable[Send]) -> None:
        for send in sends:
            self._waiting.pop(send.future, None)
            if not send.future.done():
                self._put(send)

    def forget_bindings(self) -> None:
        """Take it for unknown which destinations delayed messages find."""
        self._bound.clear()

    def _unwritten(self) -> Iterator[Send]:
        for outlet in self._outlets.values():
            yield from outlet.waiting
        for waiting, _ in self._binding.values():
            yield from waiting
        yield from self._asking
        yield from self._answers

    async def idle(self) -> None:
        """Return when all is confirmed or given up."""
        while self._open:
            pending = [send.future for outlet in self._outlets.values() for send in outlet.open.values()]
            pending += [send.future for send in self._unwritten()]
            if not pending:
                return
            await asyncio.wait(pending)

    def close(self) -> None:
        """Fail what is left: as refused if it was not written."""
        self._closed = True
        error = SendRefused("the connection was closed before it was sent")
        for task in (*(task for _, task in self._binding.values()), *self._answers.values()):
            task.cancel()
        for send in tuple(self._unwritten()):
            send.fail(error)
        for outlet in self._outlets.values():
            outlet.give_up()
        if self._room is not None:
            self._make_room(self._room)
