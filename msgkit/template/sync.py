"""The blocking twin: for Django and Flask views, scripts, and handlers that are plain functions."""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar, Unpack

from msgkit.envelope import Receipt
from msgkit.errors import ConfigurationError
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


class _Portal:
    """An event loop in a thread of its own, and the way into it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="msgkit:sync", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class SyncTemplate:
    """A `MessageTemplate` for code that blocks: connects at the first use, once a process, and closes at exit.

    In a listener that is a plain function it is the application's own template.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process = 0
        self._portal: _Portal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._template: MessageTemplate | None = None

    @classmethod
    def over(cls, template: MessageTemplate, loop: asyncio.AbstractEventLoop) -> "SyncTemplate":
        """Return the blocking face of a template that lives on a loop of another thread."""
        sync = cls()
        sync._template, sync._loop, sync._process = template, loop, os.getpid()
        return sync

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all brokers; the next use connects again."""
        with self._lock:
            portal, template = self._portal, self._template
            if portal is None or template is None or self._process != os.getpid():
                return
            self._portal = self._template = self._loop = None
            atexit.unregister(self.close)
            asyncio.run_coroutine_threadsafe(template.close(), portal.loop).result()
            portal.close()

    def send(self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]) -> Receipt:
        return self._run(self._on().send(to, payload, **options))

    def send_many(
        self,
        to: Destination[T],
        payloads: Sequence[T | Message[T]],
        /,
        **options: Unpack[SendOptions],
    ) -> list[Receipt]:
        return self._run(self._on().send_many(to, payloads, **options))

    def request(
        self,
        to: Destination[T],
        payload: T | Message[T],
        reply: type[R],
        /,
        **options: Unpack[SendOptions],
    ) -> R:
        return self._run(self._on().request(to, payload, reply, **options))

    def declare(self, *destinations: Destination[Any]) -> None:
        self._run(self._on().declare(*destinations))

    @contextmanager
    def receive(
        self, queue: Queue[T], /, *, limit: int = 1, timeout: Seconds = 0
    ) -> Generator[Sequence["SyncDelivery[T]"]]:
        """Take up to `limit` messages, once; a clean exit accepts what is unsettled, an error gives it back."""
        manager = self._on().receive(queue, limit=limit, timeout=timeout)
        deliveries = self._run(manager.__aenter__())
        try:
            yield [SyncDelivery(delivery, self) for delivery in deliveries]
        except BaseException as error:
            if not self._run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self._run(manager.__aexit__(None, None, None))

    def browse(self, queue: Queue[T], /, *, limit: int | None = None) -> Iterator[Message[T]]:
        """Look at what waits, oldest first, and take nothing."""
        messages = self._on().browse(queue, limit=limit)
        while (message := self._run(_next(messages))) is not None:
            yield message

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Wait for a coroutine on the template's loop."""
        return self._run(coroutine)

    def _run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        loop = self._loop
        if loop is None or _is_running_here(loop):
            coroutine.close()
            msg = "a SyncTemplate would block the event loop here; use the MessageTemplate, or a plain def listener"
            raise ConfigurationError(msg)
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _on(self) -> MessageTemplate:
        """Return the template of this process, with its loop running; a fork starts anew."""
        template = self._template
        if template is not None and self._process == os.getpid():
            return template
        with self._lock:
            if self._template is None or self._process != os.getpid():
                self._process = os.getpid()
                self._portal = _Portal()
                self._loop = self._portal.loop
                self._template = MessageTemplate(self._settings)
                atexit.register(self.close)
            return self._template


class SyncDelivery(Generic[T_co]):
    """A delivery whose taker blocks."""

    __slots__ = ("_delivery", "_template")

    def __init__(self, delivery: Delivery[T_co], template: SyncTemplate) -> None:
        self._delivery = delivery
        self._template = template

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
        self._template.run(self._delivery.settle(how))

    def reply(self, payload: object, /) -> Receipt:
        return self._template.run(self._delivery.reply(payload))


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _next(messages: AsyncIterator[Message[T]]) -> Message[T] | None:
    """StopAsyncIteration cannot pass a future, so the end is None."""
    return await anext(messages, None)
