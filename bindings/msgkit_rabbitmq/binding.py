"""The binding of RabbitMQ."""

import asyncio
from asyncio import Future, Timeout
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Literal, TypeVar

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import BrokerUnavailable, Closed, InvalidMessage, TopologyMismatch, UnsupportedCapability
from msgkit.spi import (
    Binding,
    BindingOptions,
    Capabilities,
    Consumer,
    Depth,
    Event,
    Plan,
    ProvisionMode,
    QueueSpec,
    Sink,
    Subscription,
    Topology,
)
from msgkit.values import epoch
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.capabilities import capabilities
from msgkit_rabbitmq.counting import ready_in
from msgkit_rabbitmq.history import send_again
from msgkit_rabbitmq.layout import history_form
from msgkit_rabbitmq.lending import lend
from msgkit_rabbitmq.mapping import LAST_MOMENT
from msgkit_rabbitmq.reach import reached
from msgkit_rabbitmq.session import Session
from msgkit_rabbitmq.wire import Channel, ChannelClosed, WireError

__all__ = ["RabbitMQBinding"]

T = TypeVar("T")


class RabbitMQBinding(Binding):
    """A client of a RabbitMQ: `amqp://user:password@host/vhost`."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(options)
        self._settings = RabbitSettings.parse(options.url, options.options)
        self._connected: Session | None = None
        #: The questions that are not answered yet: to close is to end them.
        self._asking: set[Timeout] = set()

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        session = Session(self._settings, self.options, on_event)
        await session.connect()
        self._connected = session
        return capabilities(self._settings)

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        return await self._session.provision(topology, mode)

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        return self._session.publisher.send(envelope)

    def abandon(self, sent: "Future[Receipt]") -> bool:
        return self._session.publisher.abandon(sent)

    async def writable(self) -> None:
        await self._session.publisher.writable()

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return await self._session.subscribe(subscription, sink)

    async def close(self, deadline: float) -> None:
        while self._asking:
            self._asking.pop().reschedule(asyncio.get_running_loop().time())
        if self._connected is not None:
            await self._connected.close(deadline)

    # -- the powers

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        return await self._session.listen_for_replies(on_reply)

    async def depth(self, queue: QueueSpec, /) -> Depth:
        ready = await self._ask(queue, lambda channel: ready_in(queue.name, channel))
        return Depth(ready=ready, unsettled=None, delayed=None)

    async def purge(self, queue: QueueSpec, /) -> int:
        return await self._ask(queue, lambda channel: channel.purge(queue.name))

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        history = history_form(queue)
        if history is None:
            msg = f"queue {queue.name!r} forgets what was accepted, unless it has the option RabbitQueue(history=…)"
            raise UnsupportedCapability(msg)
        if to == "latest":
            return await self.purge(queue)
        since = None if to == "earliest" else epoch(to, "seek(to=)")
        if since is not None and since > LAST_MOMENT:
            raise InvalidMessage(f"seek(to=) is {to}, which no broker's clock will ever show")
        publisher = self._session.publisher
        return await self._ask(queue, lambda channel: send_again(history.name, queue.name, since, channel, publisher))

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        return lend(kind, self._settings, self.options.client)

    # -- helpers

    @property
    def _session(self) -> Session:
        if self._connected is None:
            raise Closed("connect() comes first")
        return self._connected

    async def _ask(self, queue: QueueSpec, question: Callable[[Channel], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(None) as asked:
                self._asking.add(asked)
                try:
                    return await reached(partial(self._answer, question), self.options.wait)
                finally:
                    self._asking.discard(asked)
        except TimeoutError:
            raise Closed("the connection to RabbitMQ was closed before there was an answer") from None
        except ChannelClosed as error:
            raise TopologyMismatch(f"queue {queue.name!r}: {error.text}") from error
        except WireError as error:
            raise BrokerUnavailable(f"RabbitMQ could not be asked of queue {queue.name!r}: {error}") from error

    async def _answer(self, question: Callable[[Channel], Awaitable[T]]) -> T:
        channel = await self._session.channel()
        try:
            answer = await question(channel)
        except BaseException:
            # Not waited for: a broker in need reads nothing, and says no goodbye either.
            channel.leave()
            raise
        await channel.close()
        return answer
