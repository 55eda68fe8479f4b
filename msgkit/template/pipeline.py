"""Sending without waiting for each confirmation: bounded in flight, and awaited as a whole."""

import asyncio
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, Unpack

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, ConfigurationError, SendUnknown
from msgkit.message import Message, SendOptions
from msgkit.template.confirming import time_for
from msgkit.template.outgoing import Outgoing
from msgkit.topology import Destination
from msgkit.values import check_whole

__all__ = ["BoundedPipeline", "Write"]

T = TypeVar("T")

#: Puts an envelope on its way; the event is set when it is.
Write = Callable[[Outgoing, Envelope, float, asyncio.Event], Coroutine[Any, Any, Receipt]]
_Reach = Callable[[Destination[Any], float], Awaitable[tuple[Outgoing, float]]]


class BoundedPipeline:
    """At most so many messages that are not confirmed."""

    def __init__(self, reach: _Reach, write: Write, *, in_flight: int) -> None:
        if check_whole(in_flight, "pipeline(in_flight=)", least=0) < 1:
            msg = f"pipeline(in_flight={in_flight}): at least one message must be in flight"
            raise ConfigurationError(msg)
        self._reach = reach
        self._write = write
        self._room = asyncio.Semaphore(in_flight)
        self._tasks: set[Task[Receipt]] = set()
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
        written = asyncio.Event()
        task = asyncio.create_task(self._write(outgoing, envelope, timeout, written))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        # Only when this one is on its way may the next be, or interceptors would reorder them.
        task.add_done_callback(lambda _: written.set())
        await written.wait()
        return task

    def _done(self, task: "Task[Receipt]") -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled():
            if isinstance(error := task.exception(), Exception):
                self._failures.append(error)
        elif not task.cancelling():
            # Nobody asked for it: an interceptor, or what it calls, gave up.
            self._failures.append(SendUnknown("a send was cancelled from within; it may not have been sent"))

    async def settle(self) -> None:
        """Take no more, and wait for every confirmation, whatever it is."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self) -> None:
        """Take no more, and wait for every confirmation.

        :raises ExceptionGroup: of those that failed
        """
        await self.settle()
        if self._failures:
            msg = "messages of the pipeline were not confirmed"
            raise ExceptionGroup(msg, self._failures)
