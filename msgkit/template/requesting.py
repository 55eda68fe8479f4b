"""Requests and their answers: the first one wins, late ones are counted."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable
from functools import partial

from msgkit.brokers import Link
from msgkit.clock import Clock
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError, RemoteError, RequestTimeout, RequestUnknown, SendUnknown
from msgkit.spi import Down, Event, Power, Replies

__all__ = ["ERROR_HEADER", "REASON_HEADER", "Requester"]

logger = logging.getLogger("msgkit")

#: What an answer carries that is none: the type of the failure, and the text of a `Reject`.
ERROR_HEADER, REASON_HEADER = "msgkit-error", "msgkit-error-reason"


class Requester:
    """The requests of one client to one broker that wait for their answers."""

    def __init__(self, link: Link, address: str) -> None:
        self.address = address
        self.late = 0
        self._pending: dict[str, Future[Envelope]] = {}
        self._unwatch = link.watch(self._on_event)

    @classmethod
    async def open(cls, link: Link, who: str) -> "Requester":
        """Return a requester that is ready for answers.

        :raises UnsupportedCapability: when the broker has no way to answer
        """
        link.capabilities.require(Power.REQUEST, who)
        binding = link.binding
        if not isinstance(binding, Replies):
            msg = f"{type(binding).__name__} declares {Power.REQUEST.value}, but does not offer it"
            raise ConfigurationError(msg)
        # The requester is made after its address is known, and answers come only after that.
        waiting: list[Requester] = []

        def on_reply(envelope: Envelope) -> None:
            waiting[0].on_reply(envelope)

        address = await binding.listen_for_replies(on_reply)
        waiting.append(cls(link, address))
        return waiting[0]

    async def ask(
        self, plain: Envelope, send: Callable[[Envelope], Awaitable[None]], *, timeout: float, clock: Clock
    ) -> Envelope:
        """Send a request, and return the first answer.

        :raises RequestTimeout: when none came in time
        :raises RequestUnknown: when the connection was lost: it may have been handled
        :raises RemoteError: when the answer is that the handler failed
        """
        correlation = plain.correlation_id or plain.message_id
        request = plain._replace(
            reply_to=self.address,
            correlation_id=correlation,
            expires_at=clock.now() + timeout + (plain.delay or 0.0),
        )
        answer = self._expect(correlation)
        timer = clock.call_later(timeout, partial(_time_out, answer, request, timeout))
        try:
            await send(request)
            return _checked(await answer)
        except SendUnknown as error:
            msg = f"request {request.message_id} to {request.destination!r} may have been sent: {error}"
            raise RequestUnknown(msg) from error
        finally:
            timer.cancel()
            self._pending.pop(correlation, None)
            if not answer.cancel() and not answer.cancelled():
                # It failed, and so did the send: only one of both is raised, and neither is missed.
                answer.exception()

    def _expect(self, correlation_id: str) -> "Future[Envelope]":
        if correlation_id in self._pending:
            msg = f"a request with correlation_id {correlation_id!r} is waiting for its answer already"
            raise ConfigurationError(msg)
        future: Future[Envelope] = asyncio.get_running_loop().create_future()
        self._pending[correlation_id] = future
        return future

    def on_reply(self, envelope: Envelope) -> None:
        future = self._pending.pop(envelope.correlation_id or "", None)
        if future is None or future.done():
            self.late += 1
            logger.info("answer %s came too late, or a second time", envelope.message_id)
        else:
            future.set_result(envelope)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Down):
            self._fail(f"the connection was lost while waiting for the answer ({event.reason})")

    def close(self) -> None:
        self._unwatch()
        self._fail("the template was closed while waiting for the answer")

    def _fail(self, why: str) -> None:
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(RequestUnknown(why))


def _checked(envelope: Envelope) -> Envelope:
    """Return an answer that is one.

    :raises RemoteError: when it says that the handler failed
    """
    error = envelope.headers.get(ERROR_HEADER)
    if error is not None:
        raise RemoteError(str(error), str(envelope.headers.get(REASON_HEADER, "")))
    return envelope


def _time_out(answer: "Future[Envelope]", request: Envelope, timeout: float) -> None:
    if not answer.done():
        msg = f"no answer to request {request.message_id} to {request.destination!r} within {timeout:.3g} s"
        answer.set_exception(RequestTimeout(msg))
