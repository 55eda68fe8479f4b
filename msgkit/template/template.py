"""The template: every way of sending, and of taking by hand, over all brokers of the settings."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar, Union, Unpack, cast

from msgkit.clock import SYSTEM, Clock
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import (
    Closed,
    ConfigurationError,
    SendUnknown,
    UnsupportedCapability,
)
from msgkit.interception import SendInterceptor
from msgkit.message import Delivery, Message, SendOptions
from msgkit.policy import GiveUp
from msgkit.settings import Settings
from msgkit.spi import Browsable, Native, Power
from msgkit.template.confirming import confirmed, reached, time_for
from msgkit.template.handle import Handle
from msgkit.template.outgoing import check_common_options, check_queue, check_request_options, no_destination
from msgkit.template.pipeline import BoundedPipeline
from msgkit.template.receiving import Receiver
from msgkit.template.sender import Prepared, Sender
from msgkit.template.session import Session
from msgkit.template.transacting import TransactionSender, enlist, prepare_half
from msgkit.topology import Destination, Queue
from msgkit.values import Seconds, check_whole

__all__ = ["MessageTemplate", "payload_type"]

T = TypeVar("T")
R = TypeVar("R")

#: Seconds that closing may take before what is not confirmed is given up.
_CLOSING = 10.0

#: Seconds that a receiver waits for its broker to hear what was settled, and how long after an error.
_LEAVING, _LEAVING_IN_HASTE = 10.0, 1.0


class MessageTemplate(Sender):
    """Sends, requests, receives and browses; connects when it is first used, or by `async with`.

    An application uses the template that it is given, or makes one; then the application
    connects and closes it.
    """

    def __init__(self, settings: Settings | None = None, *, interceptors: Sequence[SendInterceptor] = ()) -> None:
        self._settings = settings
        self._interceptors = tuple(interceptors)
        self._session: Session | None = None
        self._closed = False
        self.clock: Clock = SYSTEM

    # -- lifetime

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def settings(self) -> Settings | None:
        """What it was made with; None means that they are loaded when it connects."""
        return self._settings

    async def connect(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock = SYSTEM,
        interceptors: Sequence[SendInterceptor] = (),
    ) -> Session:
        """Be ready; brokers are connected when first sent to. What is given here counts for this run."""
        if self._session is not None:
            msg = "the template is connected already; a template serves one application at a time"
            raise ConfigurationError(msg)
        self._closed = False
        self._session = Session(
            settings or self._settings or Settings.load(),
            clock,
            (*interceptors, *self._interceptors),
        )
        self.clock = clock
        return self._session

    async def attach(
        self, settings: Settings | None, *, clock: Clock = SYSTEM, interceptors: Sequence[SendInterceptor] = ()
    ) -> Session:
        """Be an application's template: connect for it, or lend it the connection that there is.

        :raises ConfigurationError: when it is connected on other settings, or serves an application already
        """
        session = self._session
        if session is None:
            session = await self.connect(settings, clock=clock, interceptors=interceptors)
            session.user = "application"
            return session
        if session.user != "template" or settings not in (None, session.settings) or clock is not session.clock:
            msg = "the template is in use already, by another application or on other settings; make a second one"
            raise ConfigurationError(msg)
        session.user = "guest"
        session.interceptors = (*interceptors, *self._interceptors)
        return session

    async def detach(self) -> None:
        """Be an application's template no more; what was connected for it is closed."""
        session = self._session
        if session is not None and session.user == "guest":
            session.user = "template"
            session.interceptors = self._interceptors
        else:
            await self.close()

    async def close(self, deadline: float = _CLOSING) -> None:
        """Let go of all brokers; what is used afterwards raises `Closed`."""
        session, self._session = self._session, None
        self._closed = True
        if session is not None:
            await session.close(deadline)

    async def session(self) -> Session:
        """Return the connected state, connecting first when this is the first use."""
        if self._session is not None:
            self._session.refuse_other_loops()
            return self._session
        if self._closed:
            msg = "the template is closed; use it inside `async with`, or inside its application's run"
            raise Closed(msg)
        return await self.connect()

    # -- sending

    async def send(self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]) -> Receipt:
        session = self._session or await self.session()
        timeout = time_for(to, payload, options)
        try:
            outgoing = session.outgoing.get(to)
        except TypeError:
            raise no_destination(to) from None
        if outgoing is None:
            outgoing, timeout = await session.reach(to, timeout)
        envelope = outgoing.envelope(payload, options)
        if session.interceptors:
            return await session.send(outgoing, envelope, timeout)
        future = outgoing.write(envelope)
        if future.done():
            return future.result()
        return await confirmed(outgoing.link.binding, envelope, future, timeout)

    async def send_many(
        self,
        to: Destination[T],
        payloads: Sequence[T | Message[T]],
        /,
        **options: Unpack[SendOptions],
    ) -> list[Receipt]:
        check_common_options(options)
        session = await self.session()
        outgoing, _ = await session.reach(to, time_for(to, None, options))
        # Refused as a whole before the first is sent, as a list with a wrong payload in it is one mistake.
        ready = [(outgoing.envelope(payload, options), time_for(to, payload, options)) for payload in payloads]
        async with self.pipeline() as pipeline:
            futures = [await pipeline.send_envelope(outgoing, envelope, timeout) for envelope, timeout in ready]
        return [future.result() for future in futures]

    def to(self, destination: Destination[T], /, **options: Unpack[SendOptions]) -> Handle[T]:
        """Return a handle that sends to one destination, with options that hold for all."""
        return Handle(self, destination, options)

    @asynccontextmanager
    async def pipeline(self, *, in_flight: int = 256) -> AsyncGenerator[BoundedPipeline]:
        """Send without waiting for each confirmation; leaving waits for all.

        :raises ExceptionGroup: on leaving, of the sends that failed
        """
        session = await self.session()
        pipeline = BoundedPipeline(session.reach, session.send if session.interceptors else None, in_flight=in_flight)
        try:
            yield pipeline
        except BaseException:
            await pipeline.settle()
            raise
        await pipeline.finish()

    async def request(
        self,
        to: Destination[T],
        payload: T | Message[T],
        reply: type[R],
        /,
        **options: Unpack[SendOptions],
    ) -> R:
        """Send, and return the answer; `timeout` is also how long the request lives.

        :raises RequestTimeout: when no answer came in time
        :raises RemoteError: when the handler failed for good
        :raises RequestUnknown: when the connection was lost: it may have been handled
        """
        check_request_options(payload, options)
        session = await self.session()
        outgoing, left = await session.reach(to, time_for(to, payload, options))
        decode = session.conversion.decoder(reply, to.converter)
        requester, timeout = await reached(session.requester(outgoing.link, f"request({to})"), str(to), left)

        async def send(request: Envelope) -> None:
            await session.send(outgoing, request, timeout)

        answer = await requester.ask(outgoing.envelope(payload, options), send, timeout=timeout, clock=session.clock)
        return cast("R", decode(answer))

    @asynccontextmanager
    async def transaction(
        self, *, source: Delivery[Any] | None = None, broker: str = "default"
    ) -> AsyncGenerator[Sender]:
        """Send all or nothing; the `source` delivery is accepted with it. An error takes everything back.

        :raises UnsupportedCapability: when the broker has no transactions
        """
        session = await self.session()
        link = await session.links.get(broker)
        link.capabilities.require(Power.TRANSACTION, "transaction()")
        enlisted = None if source is None else enlist(source)
        transaction = await TransactionSender.begin(session, link)
        try:
            yield transaction
        except BaseException:
            await transaction.abort()
            raise
        await transaction.commit(enlisted)

    @asynccontextmanager
    async def prepare(
        self,
        to: Destination[T],
        payload: T | Message[T],
        /,
        *,
        check: str,
        **options: Unpack[SendOptions],
    ) -> AsyncGenerator[Prepared]:
        """Store a message that nobody sees yet; a clean exit commits it, an error takes it back.

        When this process dies in between, the `@checker(check)` of any instance decides.

        :raises UnsupportedCapability: when the broker has no half messages
        """
        session = await self.session()
        outgoing, timeout = await session.reach(to, time_for(to, payload, options))
        outgoing.link.capabilities.require(Power.PREPARE, f"prepare({to})")
        half = await prepare_half(session, outgoing, outgoing.envelope(payload, options), check=check, timeout=timeout)
        try:
            yield half
        except BaseException:
            with suppress(SendUnknown):
                await half.roll_back()
            raise
        if not half.decided:
            await half.commit()

    # -- taking

    @asynccontextmanager
    async def receiver(self, queue: Queue[T], /, *, max_in_flight: int = 1) -> AsyncGenerator[Receiver[T]]:
        """Consume by hand, for many takes; what is taken and not settled goes back on leaving."""
        check_queue(queue, "receiver()")
        session = await self.session()
        link = await session.link_of(queue)
        broker = link.broker.name

        async def reply(request: Envelope, payload: object) -> Receipt:
            return await session.answer(request, payload, broker)

        async def fail_reply(request: Envelope, why: GiveUp) -> None:
            await session.answer_failure(request, why, broker)

        receiver = Receiver[T](
            session.naming.queue_spec(queue),
            max_in_flight=max_in_flight,
            decode=session.conversion.decoder(payload_type(queue), queue.converter),
            clock=session.clock,
            reply=reply,
            fail_reply=fail_reply,
        )
        await receiver.open(link, session.settings.wait_for_broker)
        try:
            yield receiver
        except BaseException:
            await receiver.close(_LEAVING_IN_HASTE)
            raise
        await receiver.close(_LEAVING)

    @asynccontextmanager
    async def receive(
        self, queue: Queue[T], /, *, limit: int = 1, timeout: Seconds = 0
    ) -> AsyncGenerator[Sequence[Delivery[T]]]:
        """Take up to `limit` messages, once; a clean exit accepts what is unsettled, an error gives it back."""
        check_whole(limit, f"receive({queue}): limit=")
        async with self.receiver(queue, max_in_flight=limit) as receiver:
            deliveries = await receiver.take(limit, timeout=timeout)
            yield deliveries
            await receiver.accept_all(deliveries, _LEAVING)

    async def browse(self, queue: Queue[T], /, *, limit: int | None = None) -> AsyncIterator[Message[T]]:
        """Look at what waits, oldest first, and take nothing.

        :raises UnsupportedCapability: when the broker cannot show it
        """
        check_queue(queue, "browse()")
        session = await self.session()
        link = await session.link_of(queue)
        link.capabilities.require(Power.BROWSE, f"browse({queue})")
        decode = session.conversion.decoder(payload_type(queue), queue.converter)
        async for envelope in cast("Browsable", link.binding).browse(session.naming.queue_spec(queue), limit):
            yield Message.received(decode(envelope), envelope)

    # -- the rest

    async def declare(self, *destinations: Destination[Any]) -> None:
        """Have destinations be there, as an application does for those that it knows of."""
        await (await self.session()).declare(destinations)

    @asynccontextmanager
    async def native(self, kind: type[R], /, *, broker: str = "default") -> AsyncGenerator[R]:
        """Borrow the client library's own object of that type.

        :raises UnsupportedCapability: when the binding has none
        """
        link = await (await self.session()).links.get(broker)
        if not isinstance(link.binding, Native):
            msg = f"{link.capabilities.broker} has nothing native to lend"
            raise UnsupportedCapability(msg)
        async with link.binding.native(kind) as lent:
            yield lent


def payload_type(queue: Queue[Any]) -> Any:
    """Return what a queue's messages are decoded into: one type, or the union of all."""
    if not queue.types:
        return object
    return Union[queue.types]  # noqa: UP007 -- built from a tuple, not written down
