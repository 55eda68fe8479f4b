"""Declaring and looking, over a channel that is opened again after each answer that closed it."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import TypeVar

from msgkit.errors import TopologyMismatch
from msgkit_rabbitmq.delays import READY, Bound, Made, infrastructure
from msgkit_rabbitmq.layout import LIMIT, QUORUM, ExchangeForm, QueueForm, RouteForm
from msgkit_rabbitmq.wire import ACCESS_REFUSED, NOT_FOUND, Channel, ChannelClosed, Connection, Table

__all__ = ["Desk", "Desks", "desk", "difference"]

T = TypeVar("T")

_log = logging.getLogger("msgkit.rabbitmq")
_LIMITED = (
    "queue %r was declared without a delivery limit, and this RabbitMQ takes away what went back to it 20 times; "
    "say otherwise: rabbitmqctl set_policy --apply-to queues NAME '^%s$' '{\"delivery-limit\": -1}'"
)
#: So many channels are kept for questions.
_KEPT = 8
#: A queue that is there for a moment.
_NEXT = "msgkit.next"
_SHORT_LIVED = {"x-queue-type": QUORUM, "x-expires": 60_000}
#: Seconds after which the broker has written down what it made.
_WRITTEN = 1.5
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for .*: received (?P<declared>.+) but current is (?P<there>.+)"
)
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type .*)?")
#: What an argument is called by those who declare.
_CALLED = {
    "type": "kind",
    "x-queue-type": "kind",
    "x-single-active-consumer": "ordered",
    "x-max-priority": "priorities",
    "x-max-age": "history",
}


@asynccontextmanager
async def desk(connection: Connection) -> AsyncGenerator["Desk"]:
    """Ask for the length of a block."""
    opened = Desk(connection)
    try:
        yield opened
    finally:
        opened.leave()


class Desks:
    """Desks that wait for the next question, over the connection of the moment."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._free: list[Desk] = []

    @asynccontextmanager
    async def one(self, connection: Connection) -> AsyncGenerator["Desk"]:
        """Ask something for which a channel of its own would cost more than the question."""
        if connection is not self._connection:
            self._connection, self._free = connection, []
        opened = self._free.pop() if self._free else Desk(connection)
        try:
            yield opened
        except BaseException:
            # Its answer may be still to come.
            opened.leave()
            raise
        if connection is self._connection and len(self._free) < _KEPT:
            self._free.append(opened)
        else:
            opened.leave()


class Desk:
    """What can be asked of a broker's topology, in the forms of `layout`. Any of it may be out of reach."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    def leave(self) -> None:
        """Close it. Nobody waits for that: a broker in need reads nothing, and says no goodbye either."""
        if self._channel is not None:
            self._channel.leave()

    async def _ask(self, question: Callable[[Channel], Awaitable[T]]) -> T:
        if self._channel is None or not self._channel.is_open:
            self._channel = await self._connection.channel()
        return await question(self._channel)

    async def has(self, form: ExchangeForm | QueueForm) -> bool:
        """Tell whether there is anything of that name."""
        if isinstance(form, ExchangeForm):
            return await self._has(lambda channel: channel.declare_exchange(form.name, form.kind, passive=True))
        return await self._has(lambda channel: channel.declare_queue(form.name, passive=True))

    async def hears(self, address: str) -> bool:
        """Tell whether somebody waits for answers there."""
        return await self._has(lambda channel: channel.declare_queue(address, passive=True))

    async def has_delays(self) -> bool:
        """Tell whether all is there that delays need."""
        return await self._has(lambda channel: channel.declare_exchange(READY, "fanout", passive=True))

    async def _has(self, look: Callable[[Channel], Awaitable[object]]) -> bool:
        try:
            await self._ask(look)
        except ChannelClosed as error:
            if error.code == NOT_FOUND:
                return False
            raise
        return True

    async def declare(self, form: ExchangeForm | QueueForm) -> None:
        """Have it be there as it is declared; what is somebody else's is left alone.

        :raises TopologyMismatch: saying what is there instead
        """
        if not form.owned:
            return
        what = "exchange" if isinstance(form, ExchangeForm) else "queue"
        try:
            await (self._exchange(form) if isinstance(form, ExchangeForm) else self._queue(form))
        except ChannelClosed as error:
            remedy = f"; {_remedy(form)}" if _INEQUIVALENT.search(error.text) else ""
            raise TopologyMismatch(f"{what} {form.name!r}: {difference(error)}{remedy}") from error

    async def _exchange(self, form: ExchangeForm) -> None:
        await self._ask(
            lambda channel: channel.declare_exchange(
                form.name,
                form.kind,
                internal=form.internal,
                auto_delete=form.auto_delete,
                arguments=form.arguments,
            )
        )

    async def _queue(self, form: QueueForm) -> None:
        try:
            await self._ask(lambda channel: channel.declare_queue(form.name, arguments=form.arguments))
        except ChannelClosed as error:
            if f"'{LIMIT}'" not in error.text:
                raise
            # It was declared on RabbitMQ 3, where there was nothing to say, and cannot be changed.
            older = {name: value for name, value in form.arguments.items() if name != LIMIT}
            await self._ask(lambda channel: channel.declare_queue(form.name, arguments=older))
            _log.warning(_LIMITED, form.name, form.name)

    async def settle(self, *, streams: bool) -> None:
        """Have the broker write down where the queues are that it has just made.

        It does so when it makes the next one, or within a second. If it is killed before, a quorum queue is there
        afterwards without anything that was in it, and on some versions takes nothing any more. Whoever keeps its
        streams is written down apart from its queues; without it no stream is ever served again.

        :param streams: is a stream among them?
        """
        if streams:
            await asyncio.sleep(_WRITTEN)
            return
        name = f"{_NEXT}.{token_hex(8)}"
        try:
            await self._ask(lambda channel: channel.declare_queue(name, arguments=_SHORT_LIVED))
            await self._ask(lambda channel: channel.delete_queue(name))
        except ChannelClosed as error:
            _log.debug("no queue of the name %r can be made, so the broker is given time: %s", name, error)
            await asyncio.sleep(_WRITTEN)

    async def bind(self, route: RouteForm) -> None:
        """Have messages go that way.

        :raises TopologyMismatch: when that cannot be, saying why
        """
        try:
            await self._ask(lambda channel: channel.bind_queue(route.queue, route.source, route.key, route.arguments))
        except ChannelClosed as error:
            raise TopologyMismatch(f"route {route}: {difference(error)}") from error

    async def unbind(self, route: RouteForm) -> None:
        await self._ask(lambda channel: channel.unbind_queue(route.queue, route.source, route.key, route.arguments))

    async def bind_exchange(self, to: str, source: str, arguments: Table) -> None:
        await self._ask(lambda channel: channel.bind_exchange(to, source, "", arguments))

    async def make_delays(self) -> None:
        """Make what delays need.

        :raises TopologyMismatch: when something else is there, saying what
        """
        for part in infrastructure():
            try:
                await self._make(part)
            except ChannelClosed as error:
                raise TopologyMismatch(f"{part.what} {part.name!r}: {difference(error)}") from error

    async def _make(self, part: Made | Bound) -> None:
        match part:
            case Made("exchange", name, kind, arguments):
                await self._ask(lambda channel: channel.declare_exchange(name, kind, arguments=arguments))
            case Made(_, name, _, arguments):
                await self._ask(lambda channel: channel.declare_queue(name, arguments=arguments))
            case Bound("exchange", name, source, arguments):
                await self._ask(lambda channel: channel.bind_exchange(name, source, "", arguments))
            case Bound(_, name, source, arguments):
                await self._ask(lambda channel: channel.bind_queue(name, source, "", arguments))


def _remedy(form: ExchangeForm | QueueForm) -> str:
    match form:
        case QueueForm(is_history=True):
            return "keep RabbitQueue(history=) as it was, or delete what is there, with all that it holds"
        case QueueForm():
            delete, option = "delete it, with all that it holds,", "RabbitQueue"
        case ExchangeForm():
            delete, option = "delete it", "RabbitExchange"
    return (
        f"declare it as it is there, {delete} or take another name; "
        f"if it is somebody else's, {option}(declare=False) uses what is there"
    )


def difference(error: ChannelClosed) -> str:
    """Say in our words what the broker says."""
    found = _INEQUIVALENT.search(error.text)
    if found is None:
        return (
            f"the broker says: {error.text}" if error.code != ACCESS_REFUSED else f"it is not permitted: {error.text}"
        )
    name = _CALLED.get(found["name"], found["name"])
    return f"{name}={_value(found['declared'])} is declared, but {name}={_value(found['there'])} is there"


def _value(said: str) -> str:
    found = _VALUE.fullmatch(said)
    return repr(found["value"]) if found is not None else said
