"""The way from a client to the server when it is not clear: late, held up or cut."""

from asyncio import AbstractEventLoop, Future
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from msgkit.clock import Timer
from msgkit.errors import MessagingError, SendRefused
from msgkit_memory.clients import Client
from msgkit_memory.server import Broker

__all__ = ["Wire"]

T = TypeVar("T")
_ROOM = 1024


class _Request(Generic[T]):
    """Something to be done by the server, and whoever waits for the answer."""

    __slots__ = ("future", "lost", "perform", "written")

    def __init__(
        self,
        future: "Future[T]",
        perform: Callable[[], T],
        lost: Callable[[], MessagingError] | None,
    ) -> None:
        self.future = future
        self.perform = perform
        self.lost = lost
        #: Is it under way already? Then giving up waiting does not stop it.
        self.written = False


class Wire:
    """Requests of one client, performed in the order of their calls and each answered once.

    A request that was not written yet waits for the connection; one whose future is
    cancelled meanwhile is never written. When the connection is lost after writing,
    `lost` makes the error; without it, the request is made again.
    """

    def __init__(self, client: Client, broker: Broker, loop: AbstractEventLoop) -> None:
        self._client = client
        self._broker = broker
        self._loop = loop
        self._pending: OrderedDict[Future[Any], _Request[Any]] = OrderedDict()
        self._unanswered: dict[_Request[Any], Timer] = {}
        self._waiters: list[tuple[int, Future[None]]] = []
        self._closed: Callable[[], MessagingError] | None = None

    def request(self, perform: Callable[[], T], lost: Callable[[], MessagingError] | None = None) -> "Future[T]":
        """Have something performed under the server's lock, and return its answer to come."""
        future: Future[T] = self._loop.create_future()
        request = _Request(future, perform, lost)
        if self._closed is not None:
            future.set_exception(self._closed())
            return future
        with self._broker.lock:
            request.written = self._client.connected
            if self._pending or not self._open:
                self._client.clear = False
                self._pending[future] = request
                return future
            outcome, delay = _attempt(perform), self._broker.faults.delay
        self._answer(request, outcome, delay)
        return future

    def abandon(self, future: "Future[Any]") -> bool:
        """Take back a request, if it was not written yet."""
        request = self._pending.get(future)
        if request is None or request.written:
            return False
        del self._pending[future]
        self._tell_waiters()
        return True

    def flush(self) -> None:
        """Perform what was held up, as far as it can be."""
        while self._pending:
            with self._broker.lock:
                if not self._open:
                    return
                _, request = self._pending.popitem(last=False)
                if request.future.cancelled() and not request.written:
                    continue
                request.written = True
                outcome, delay = _attempt(request.perform), self._broker.faults.delay
            self._answer(request, outcome, delay)
        with self._broker.lock:
            self._client.clear = self._open and not self._broker.troubled
        self._tell_waiters()

    def went_down(self) -> None:
        """Fail what was under way; what was not written yet keeps waiting."""
        pending = self._pending.values()
        under_way = [*self._unanswered, *(one for one in pending if one.written)]
        again = [one for one in pending if not one.written]
        for request in under_way:
            if timer := self._unanswered.pop(request, None):
                timer.cancel()
            if request.lost is None:
                request.written = False
                again.append(request)
            else:
                _set(request.future, request.lost())
        self._pending = OrderedDict((one.future, one) for one in again)
        self._tell_waiters()

    def close(self, closed: Callable[[], MessagingError]) -> None:
        """Fail all that waits, and what is asked from now on."""
        self._closed = closed
        for request in [*self._unanswered, *self._pending.values()]:
            if timer := self._unanswered.pop(request, None):
                timer.cancel()
            if request.lost is None:
                _set(request.future, closed())
            else:
                _set(request.future, request.lost() if request.written else _never_sent())
        self._pending.clear()
        self._tell_waiters()

    async def room(self) -> None:
        """Return when not many requests wait."""
        await self._until(_ROOM)

    async def idle(self) -> None:
        """Return when all is answered."""
        await self._until(0)

    @property
    def _open(self) -> bool:
        return self._client.connected and not self._broker.faults.paused

    @property
    def _waiting(self) -> int:
        return len(self._pending) + len(self._unanswered)

    def _answer(self, request: _Request[T], outcome: T | MessagingError, delay: float) -> None:
        if not delay:
            _set(request.future, outcome)
            return
        arrive = partial(self._arrive, request, outcome)
        self._unanswered[request] = self._broker.clock.call_later(delay, arrive)

    def _arrive(self, request: _Request[T], outcome: T | MessagingError) -> None:
        if self._unanswered.pop(request, None) is not None:
            _set(request.future, outcome)
            self._tell_waiters()

    async def _until(self, most: int) -> None:
        if self._waiting > most:
            waiter: Future[None] = self._loop.create_future()
            self._waiters.append((most, waiter))
            await waiter

    def _tell_waiters(self) -> None:
        waiting = self._waiting
        for _, waiter in (one for one in self._waiters if one[0] >= waiting):
            _set(waiter, None)
        self._waiters = [one for one in self._waiters if not one[1].done()]


def _never_sent() -> SendRefused:
    return SendRefused("the message was not sent before the connection was closed")


def _attempt(perform: Callable[[], T]) -> T | MessagingError:
    try:
        return perform()
    except MessagingError as error:
        # Its traceback holds this frame and the frame holds the error: a cycle each time.
        return error.with_traceback(None)


def _set(future: "Future[T]", outcome: T | MessagingError) -> None:
    if future.done():
        return
    if isinstance(outcome, MessagingError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
