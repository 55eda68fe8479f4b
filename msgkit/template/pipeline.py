"""Sending without waiting for each confirmation: bounded in flight, and awaited as a whole."""

import asyncio
from asyncio import Future, Task, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, Unpack

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, ConfigurationError, SendUnknown
from msgkit.message import Message, SendOptions
from msgkit.spi import Binding
from msgkit.template.confirming import limit, time_for
from msgkit.template.outgoing import Outgoing
from msgkit.topology import Destination
from msgkit.values import check_whole

__all__ = ["BoundedPipeline", "Write"]

T = TypeVar("T")

#: Puts an envelope on its way; the event is set when it is.
Write = Callable[[Outgoing, Envelope, float, asyncio.Event], Coroutine[Any, Any, Receipt]]
_Reach = Callable[[Destination[Any], float], Awaitable[tuple[Outgoing, float]]]


class BoundedPipeline:
    """At most so many messages that are not confirmed.

    :param write: the way through interceptors; None where there are none, which takes a task less for each message
    """

    def __init__(self, reach: _Reach, write: Write | None, *, in_flight: int) -> None:
        if check_whole(in_flight, "pipeline(in_flight=)", least=0) < 1:
            msg = f"pipeline(in_flight={in_flight}): at least one message must be in flight"
            raise ConfigurationError(msg)
        self._reach = reach
        self._write = write
        self._room = asyncio.Semaphore(in_flight)
        self._open: set[Future[Receipt]] = set()
        self._failures: list[Exception] = []
        self._closed = False

    async def send(
        self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]
    ) -> "Future[Receipt]":
        if self._closed:
            msg = "the pipeline was left; its messages are confirmed, and it takes no more"
            raise Closed(msg)
        outgoing, timeout = await self._reach(to, time_for(to, payload, options))
        return await self.send_envelope(outgoing, outgoing.envelope(payload, options), timeout)

    async def send_envelope(self, outgoing: Outgoing, envelope: Envelope, timeout: float) -> "Future[Receipt]":
        """Put an envelope on its way; what becomes of it is the future's."""
        await self._room.acquire()
        try:
            await outgoing.link.binding.writable()
        except BaseException:
            self._room.release()
            raise
        if self._write is None:
            return self._put(outgoing, envelope, timeout)
        written = asyncio.Event()
        task = asyncio.create_task(self._write(outgoing, envelope, timeout, written))
        self._open.add(task)
        task.add_done_callback(self._done)
        # Only when this one is on its way may the next be, or interceptors would reorder them.
        task.add_done_callback(lambda _: written.set())
        await written.wait()
        return task

    def _put(self, outgoing: Outgoing, envelope: Envelope, timeout: float) -> "Future[Receipt]":
        binding = outgoing.link.binding
        try:
            future = outgoing.write(envelope)
        except BaseException:
            self._room.release()
            raise
        self._open.add(future)
        if not future.done():
            future.add_done_callback(partial(_no_more, binding, limit(binding, envelope, future, timeout)))
        future.add_done_callback(self._done)
        return future

    def _done(self, sent: "Future[Receipt]") -> None:
        self._open.discard(sent)
        self._room.release()
        if not sent.cancelled():
            if isinstance(error := sent.exception(), Exception):
                self._failures.append(error)
        elif isinstance(sent, Task) and not sent.cancelling():
            # Nobody asked for it: an interceptor, or what it calls, gave up.
            self._failures.append(SendUnknown("a send was cancelled from within; it may not have been sent"))

    async def settle(self) -> None:
        """Take no more, and wait for every confirmation, whatever it is."""
        self._closed = True
        while self._open:
            await asyncio.wait(self._open)

    async def finish(self) -> None:
        """Take no more, and wait for every confirmation.

        :raises ExceptionGroup: of those that failed
        """
        await self.settle()
        if self._failures:
            msg = "messages of the pipeline were not confirmed"
            raise ExceptionGroup(msg, self._failures)


def _no_more(binding: Binding, timer: TimerHandle, sent: "Future[Receipt]") -> None:
    timer.cancel()
    if sent.cancelled():
        binding.abandon(sent)
