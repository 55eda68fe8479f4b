"""Handlers that write down what they see, and what a check has them do."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from msgkit.errors import ConversionError
from msgkit.listener import Batch, ListenerOptions, listener
from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.settlement import Reject, Retry, Settlement
from msgkit.testing.conformance.journal import Journal
from msgkit.testing.conformance.ledger import Content, content
from msgkit.testing.conformance.ledger.records import Settled
from msgkit.topology import Queue

__all__ = [
    "Behaviour",
    "Boom",
    "Gate",
    "Handler",
    "Outcome",
    "Seen",
    "accept",
    "content_of",
    "fails",
    "numbered",
    "rejects",
    "takes",
]

Outcome = Settlement | None
Behaviour = Callable[[Message[str]], Awaitable[Outcome]]
_BatchBehaviour = Callable[[list[Message[str]]], Awaitable[Sequence[Settlement] | None]]


class Boom(Exception):
    """What a handler fails with."""


def content_of(message: Message[str] | Message[bytes]) -> Content:
    """Return what a message carries, as the ledger compares it."""
    payload = message.payload
    body = payload if isinstance(payload, bytes) else payload.encode()
    return content(body, message.headers, key=message.key, subject=message.subject)


@dataclass(slots=True, eq=False)
class Seen:
    """One handling."""

    message: Message[str]
    consumer: str
    began: float
    token: str
    #: None while it runs.
    how: Settled | None = None
    ended: float | None = None
    error: BaseException | None = None

    @property
    def payload(self) -> str:
        return self.message.payload

    @property
    def attempt(self) -> int:
        return self.message.attempt


@dataclass(eq=False, kw_only=True)
class Handler:
    """A listener of one queue that records each handling, then does as it was told.

    `function` is what an application lists; `Lab.application` takes the handler itself.
    """

    queue: Queue[Any]
    consumer: str
    journal: Journal
    retry: Backoff
    function: Callable[..., object] = field(init=False)
    seen: list[Seen] = field(default_factory=list[Seen])
    #: How many ran at once, at most.
    most: int = 0
    #: What a cancellation means just now, by the lab's knowledge.
    cancelled: Callable[[str], Settled] = lambda _: "released"

    # -- what was seen

    @property
    def payloads(self) -> list[str]:
        """In the order of their begin, repetitions included."""
        return [seen.payload for seen in self.seen]

    @property
    def accepted(self) -> list[str]:
        """In the order of their begin."""
        return [seen.payload for seen in self.seen if seen.how == "accepted"]

    @property
    def running(self) -> list[str]:
        return [seen.payload for seen in self.seen if seen.how is None]

    def attempts(self, payload: str) -> list[int]:
        """Return the attempts that one message was handled with."""
        return [seen.attempt for seen in self.seen if seen.payload == payload]

    def times(self, payload: str) -> list[float]:
        """Return when the handlings of one message began."""
        return [seen.began for seen in self.seen if seen.payload == payload]

    # -- making the function

    def does(self, behave: Behaviour, **options: Unpack[ListenerOptions]) -> "Handler":
        async def handle(message: Message[str]) -> Outcome:
            seen = self.begin(message)
            try:
                outcome = await behave(message)
            except BaseException as error:
                self.finish(seen, error)
                raise
            self.finish(seen, outcome)
            return outcome

        return self._listening(handle, None, options)

    def does_in_a_thread(
        self, behave: Callable[[Message[str]], Outcome], **options: Unpack[ListenerOptions]
    ) -> "Handler":
        def handle(message: Message[str]) -> Outcome:
            seen = self.begin(message)
            try:
                outcome = behave(message)
            except BaseException as error:
                self.finish(seen, error)
                raise
            self.finish(seen, outcome)
            return outcome

        return self._listening(handle, None, options)

    def does_batches(self, batch: Batch, behave: _BatchBehaviour, **options: Unpack[ListenerOptions]) -> "Handler":
        async def handle(messages: list[Message[str]]) -> Sequence[Settlement] | None:
            at = self.journal.now()
            seen = [self.begin(message, at) for message in messages]
            try:
                outcome = await behave(messages)
            except BaseException as error:
                for each in seen:
                    self.finish(each, error)
                raise
            hows = [None] * len(seen) if outcome is None else outcome
            for each, how in zip(seen, hows, strict=True):
                self.finish(each, how)
            return outcome

        return self._listening(handle, batch, options)

    def _listening(self, handle: Callable[..., object], batch: Batch | None, options: ListenerOptions) -> "Handler":
        # The name that errors and plans give it.
        handle.__qualname__ = handle.__name__ = self.consumer.replace("-", "_").replace(".", "_")
        options["retry"] = self.retry
        self.function = listener(self.queue, batch=batch, **options)(handle)
        return self

    # -- recording: for functions that a check makes itself, too

    def begin(self, message: Message[str], at: float | None = None) -> Seen:
        """Record that a handling begins."""
        with self.journal.writing() as ledger:
            at = self.journal.now() if at is None else at
            token = ledger.began(self.queue.name, self.consumer, message.id, message.attempt, at, content_of(message))
            seen = Seen(message, self.consumer, at, token)
            self.seen.append(seen)
            self.most = max(self.most, len(self.running))
        return seen

    def finish(self, seen: Seen, outcome: Outcome | BaseException) -> None:
        """Record how a handling ends, before the broker is told."""
        how, after = self._judged(outcome, seen.attempt)
        with self.journal.writing() as ledger:
            seen.how, seen.ended = how, self.journal.now()
            seen.error = outcome if isinstance(outcome, BaseException) else None
            ledger.ended(seen.token, how, seen.ended, after=after)

    def _judged(self, outcome: object, attempt: int) -> tuple[Settled, float]:
        """Return how it ends, and the least pause before it comes again."""
        match outcome:
            case Reject() | ConversionError():
                return "rejected", 0.0
            case Retry() if outcome.after is not None:
                return "retried", outcome.after
            case asyncio.CancelledError():
                how = self.cancelled(self.consumer)
                return how, self.retry.pause(attempt, 0.0) if how == "retried" else 0.0
            case BaseException() if isinstance(outcome, self.retry.give_up_on):
                return "rejected", 0.0
            case BaseException():
                return "retried", self.retry.pause(attempt, 0.0)
            case _:
                return "accepted", 0.0


def numbered(phase: str, n: int) -> list[str]:
    """Return payloads that no other phase of the check has."""
    return [f"{phase}{number:03}" for number in range(n)]


# -- behaviours


async def accept(_message: Message[str]) -> None:
    """Accept."""


def fails(times: int | None = None, *, error: type[Exception] = Boom) -> Behaviour:
    """Fail so many times with each message, or always, and accept it then."""
    failed: Counter[str] = Counter()

    async def behave(message: Message[str]) -> None:
        failed[message.id] += 1
        if times is None or failed[message.id] <= times:
            msg = f"failure {failed[message.id]} of {message.payload}"
            raise error(msg)

    return behave


def rejects(reason: str = "unwanted", *, after: Behaviour = accept) -> Behaviour:
    """Reject everything, after whatever else is done."""

    async def behave(message: Message[str]) -> Outcome:
        await after(message)
        return Reject(reason)

    return behave


def takes(seconds: float) -> Behaviour:
    """Accept after a while."""

    async def behave(_message: Message[str]) -> None:
        await asyncio.sleep(seconds)

    return behave


class Gate:
    """A behaviour that waits until it is opened, then accepts; or only for some payloads."""

    def __init__(self, journal: Journal, *payloads: str) -> None:
        self._journal = journal
        self._payloads = frozenset(payloads)
        self._opened = asyncio.Event()
        #: Who has come to it, in that order.
        self.reached: list[str] = []

    def open(self) -> None:
        self._opened.set()

    def open_in(self, seconds: float) -> None:
        """Open it while something else is waited for."""
        asyncio.get_running_loop().call_later(seconds, self.open)

    async def __call__(self, message: Message[str]) -> None:
        if self._payloads and message.payload not in self._payloads:
            return
        self.reached.append(message.payload)
        self._journal.pulse()
        await self._opened.wait()
