"""The blocking twin: for Django and Flask views, scripts, and handlers that are plain functions."""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, Unpack
from weakref import WeakSet

from msgkit.envelope import Receipt
from msgkit.errors import Closed, ConfigurationError
from msgkit.message import Delivery, Message, SendOptions
from msgkit.settings import Settings
from msgkit.settlement import Settlement
from msgkit.template.template import MessageTemplate
from msgkit.topology import Destination, Queue
from msgkit.values import Headers, Seconds

__all__ = ["SyncDelivery", "SyncTemplate"]

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)

#: Seconds that what is cancelled on closing may take to end.
_ENDING = 10.0
_CLOSED = "the template was closed in another thread"


class _Portal:
    """An event loop in a thread of its own, and the way into it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self.loop.run_forever, name="msgkit:sync", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, R]) -> "Future[R]":
        with self._lock:
            if self._closing:
                coroutine.close()
                raise Closed(_CLOSED)
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        """End the loop, and the wait of everybody who waits for it."""
        with self._lock:
            # Nothing is begun from now on, so whatever waits is seen below.
            self._closing = True
        asyncio.run_coroutine_threadsafe(_end_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass(frozen=True, slots=True)
class _Live:
    """A template at work: in which process, on which loop, and the portal when the loop is our own."""

    process: int
    template: MessageTemplate
    loop: asyncio.AbstractEventLoop
    portal: _Portal | None

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Wait for a coroutine on the template's loop."""
        running = _running_loop()
        if running is self.loop or (running is not None and self.portal is not None):
            coroutine.close()
            msg = "a SyncTemplate would block the event loop here; use the MessageTemplate, or a plain def listener"
            raise ConfigurationError(msg)
        if self.portal is None:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()
        try:
            return self.portal.submit(coroutine).result()
        except CancelledError:
            raise Closed(_CLOSED) from None


class SyncTemplate:
    """A `MessageTemplate` for code that blocks: connects at the first use, once a process, and closes at exit.

    In a listener that is a plain function it is the application's own template.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._live: _Live | None = None
        _templates.add(self)

    @classmethod
    def over(cls, template: MessageTemplate, loop: asyncio.AbstractEventLoop) -> "SyncTemplate":
        """Return the blocking face of a template that lives on a loop of another thread."""
        sync = cls()
        sync._live = _Live(os.getpid(), template, loop, None)
        return sync

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all brokers, and end what waits in other threads; the next use connects again."""
        with self._lock:
            live = self._live
            if live is None or live.portal is None or live.process != os.getpid():
                return
            self._live = None
            atexit.unregister(self.close)
            try:
                live.portal.submit(live.template.close()).result()
            finally:
                live.portal.close()

    def send(self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]) -> Receipt:
        live = self._on()
        return live.run(live.template.send(to, payload, **options))

    def send_many(
        self,
        to: Destination[T],
        payloads: Sequence[T | Message[T]],
        /,
        **options: Unpack[SendOptions],
    ) -> list[Receipt]:
        live = self._on()
        return live.run(live.template.send_many(to, payloads, **options))

    def request(
        self,
        to: Destination[T],
        payload: T | Message[T],
        reply: type[R],
        /,
        **options: Unpack[SendOptions],
    ) -> R:
        live = self._on()
        return live.run(live.template.request(to, payload, reply, **options))

    def declare(self, *destinations: Destination[Any]) -> None:
        live = self._on()
        live.run(live.template.declare(*destinations))

    @contextmanager
    def receive(
        self, queue: Queue[T], /, *, limit: int = 1, timeout: Seconds = 0
    ) -> Generator[Sequence["SyncDelivery[T]"]]:
        """Take up to `limit` messages, once; a clean exit accepts what is unsettled, an error gives it back."""
        # It is left where it was entered, even when the template was closed and used again in between.
        live = self._on()
        manager = live.template.receive(queue, limit=limit, timeout=timeout)
        deliveries = live.run(manager.__aenter__())
        try:
            yield [SyncDelivery(delivery, live) for delivery in deliveries]
        except BaseException as error:
            if not live.run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            live.run(manager.__aexit__(None, None, None))

    def browse(self, queue: Queue[T], /, *, limit: int | None = None) -> Iterator[Message[T]]:
        """Look at what waits, oldest first, and take nothing."""
        live = self._on()
        messages = live.template.browse(queue, limit=limit)
        while (message := live.run(_next(messages))) is not None:
            yield message

    def _on(self) -> _Live:
        """Return the template of this process, with its loop running; a fork starts anew."""
        live = self._live
        if live is not None and live.process == os.getpid():
            return live
        with self._lock:
            live = self._live
            if live is None or live.process != os.getpid():
                portal = _Portal()
                # Whole before it is seen: others look without the lock.
                self._live = live = _Live(os.getpid(), MessageTemplate(self._settings), portal.loop, portal)
                atexit.register(self.close)
            return live

    def renew_lock(self) -> None:
        """Have a lock that nobody holds: in a child, its holder of before the fork does not exist."""
        self._lock = threading.Lock()


class SyncDelivery(Generic[T_co]):
    """A delivery whose taker blocks."""

    __slots__ = ("_delivery", "_live")

    def __init__(self, delivery: Delivery[T_co], live: _Live) -> None:
        self._delivery = delivery
        self._live = live

    @property
    def message(self) -> Message[T_co]:
        """Everything that is said about it."""
        return self._delivery

    @property
    def payload(self) -> T_co:
        return self._delivery.payload

    @property
    def headers(self) -> Headers:
        return self._delivery.headers

    @property
    def id(self) -> str:
        return self._delivery.id

    @property
    def attempt(self) -> int:
        return self._delivery.attempt

    def settle(self, how: Settlement, /) -> None:
        self._live.run(self._delivery.settle(how))

    def reply(self, payload: object, /) -> Receipt:
        return self._live.run(self._delivery.reply(payload))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _end_all() -> None:
    """Cancel what runs on this loop, and let it end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_ENDING)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _next(messages: AsyncIterator[Message[T]]) -> Message[T] | None:
    """StopAsyncIteration cannot pass a future, so the end is None."""
    return await anext(messages, None)


_templates: WeakSet[SyncTemplate] = WeakSet()


def _after_fork() -> None:
    for template in tuple(_templates):
        template.renew_lock()


os.register_at_fork(after_in_child=_after_fork)
