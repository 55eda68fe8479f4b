"""The binding of RocketMQ."""

import sys
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from typing import Literal, TypeVar

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import BrokerUnavailable, Closed
from msgkit.spi import (
    Binding,
    BindingOptions,
    Capabilities,
    Checker,
    Consumer,
    Depth,
    Event,
    HalfMessage,
    Plan,
    ProvisionMode,
    QueueSpec,
    Sink,
    Subscription,
    Topology,
)
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.client.errors import ClientError
from msgkit_rocketmq.lending import lend
from msgkit_rocketmq.session import Session

__all__ = ["RocketBinding"]

T = TypeVar("T")


class RocketBinding(Binding):
    """A client of a RocketMQ: `rocketmq://host:9876,host:9876`."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(options)
        self._settings = RocketSettings.parse(options.url, options.options)
        self._connected: Session | None = None

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        session = Session(self._settings, self.options, on_event)
        found = await session.connect()
        self._connected = session
        return found

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        return await self._session.provision(topology, mode)

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sender = self._session.replies if envelope.kind is Kind.REPLY else self._session.publisher
        return sender.send(envelope)

    def abandon(self, sent: "Future[Receipt]") -> bool:
        return self._session.publisher.abandon(sent)

    async def writable(self) -> None:
        await self._session.publisher.writable()

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return await self._session.subscribe(subscription, sink)

    async def close(self, deadline: float) -> None:
        if self._connected is not None:
            await self._connected.close(deadline)

    # -- the powers

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        session = self._session
        return await session.asked(lambda: session.replies.listen(on_reply))

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        return await self._session.halves.prepare(envelope, check)

    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        session = self._session
        _ = session.spawn(session.asked(lambda: session.halves.answer(checker, names)))

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        session = self._session
        session.reread(queue.name)
        count = await session.asked(lambda: session.books.seek(queue, to))
        # What was accepted meanwhile is handed out again as well.
        session.reread(queue.name)
        return count

    async def depth(self, queue: QueueSpec, /) -> Depth:
        session = self._session
        return await session.asked(lambda: session.books.depth(queue))

    async def purge(self, queue: QueueSpec, /) -> int:
        session = self._session
        return await session.asked(lambda: session.books.purge(queue))

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncGenerator[Envelope]:
        session = self._session
        waiting = await session.asked(lambda: session.books.waiting(queue))
        left = sys.maxsize if limit is None else limit
        try:
            async with aclosing(session.books.browse(waiting)) as found:
                while left and (envelope := await anext(found, None)) is not None:
                    left -= 1
                    yield envelope
        except ClientError as error:
            raise BrokerUnavailable(f"queue {queue.name!r} cannot be looked at: {error}") from error

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        return lend(kind, self._settings, self.options.client)

    # -- helpers

    @property
    def _session(self) -> Session:
        if self._connected is None:
            raise Closed("connect() comes first")
        return self._connected
