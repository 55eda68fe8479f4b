"""A batch of messages through one handler: each has its own outcome, and its own way through the interceptors."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from msgkit.dispatch.handler import Handler
from msgkit.envelope import Envelope
from msgkit.interception import around_handling
from msgkit.message import Message
from msgkit.settlement import Accept, Reject, Retry, Settlement

__all__ = ["Outcome", "handle_batch"]

Outcome = Settlement | BaseException
_Call = Callable[[Sequence[Envelope]], Awaitable[list[Outcome]]]


async def handle_batch(
    handler: Handler, envelopes: Sequence[Envelope], seen: list[Message[Any]] | None
) -> list[Outcome]:
    """Return how each message is to end; poison ends alone, and the rest is handled."""
    call = partial(_call, handler, seen)
    if not handler.interceptors:
        return await call(envelopes)
    return await _Meeting(handler, call).run(envelopes)


async def _call(handler: Handler, seen: list[Message[Any]] | None, envelopes: Sequence[Envelope]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    good: list[tuple[int, Envelope, Any]] = []
    for place, envelope in enumerate(envelopes):
        try:
            good.append((place, envelope, handler.decode(envelope)))
        except Exception as error:  # noqa: BLE001 -- one's poison is not another's
            outcomes[place] = error
    if good:
        _, kept, payloads = zip(*good, strict=True)
        settlements = await _settlements(handler, kept, payloads, seen)
        outcomes |= {place: settlement for (place, _, _), settlement in zip(good, settlements, strict=True)}
    return [outcomes[place] for place in range(len(envelopes))]


async def _settlements(
    handler: Handler,
    envelopes: Sequence[Envelope],
    payloads: Sequence[Any],
    seen: list[Message[Any]] | None,
) -> Sequence[Outcome]:
    try:
        return await handler.call_batch(envelopes, payloads, seen)
    except Exception as error:  # noqa: BLE001 -- whatever a handler raises becomes an outcome, here of each
        return [error] * len(envelopes)


class _Meeting:
    """Interceptors wrap one message; those of a batch meet at the handler, and leave it one by one."""

    def __init__(self, handler: Handler, call: _Call) -> None:
        self._handler = handler
        self._call = call
        self._met: dict[int, tuple[Envelope, asyncio.Future[Settlement]]] = {}
        self._expected = 0
        self._complete = asyncio.Event()
        self._begun = False

    async def run(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        self._expected = len(envelopes)
        async with asyncio.TaskGroup() as group:
            ways = [group.create_task(self._way(place, envelope)) for place, envelope in enumerate(envelopes)]
            await self._complete.wait()
            self._begun = True
            # In the order of delivery, however long each of them took on its way.
            met = [self._met[place] for place in sorted(self._met)]
            waiting = [(envelope, future) for envelope, future in met if not future.done()]
            if waiting:
                outcomes = await self._call([envelope for envelope, _ in waiting])
                for (_, future), outcome in zip(waiting, outcomes, strict=True):
                    _tell(future, outcome)
        return [way.result() for way in ways]

    async def _way(self, place: int, envelope: Envelope) -> Outcome:
        onion = around_handling(self._handler.interceptors, partial(self._meet, place))
        try:
            return await onion(envelope)
        except Exception as error:  # noqa: BLE001 -- whatever comes out becomes an outcome
            return error
        finally:
            if place not in self._met:
                # An interceptor kept it: the others need not wait.
                self._expected -= 1
                self._check()

    async def _meet(self, place: int, envelope: Envelope) -> Settlement:
        future: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()
        if self._begun:
            # An interceptor asks once more: alone, since the others have gone on.
            (outcome,) = await self._call([envelope])
            _tell(future, outcome)
        else:
            self._met[place] = (envelope, future)
            self._check()
        return await future

    def _check(self) -> None:
        if len(self._met) == self._expected:
            self._complete.set()


def _tell(future: "asyncio.Future[Settlement]", outcome: Outcome) -> None:
    """Tell whoever waits how its message is to end, unless it waits no longer."""
    if future.done():
        return
    if isinstance(outcome, (Accept, Retry, Reject)):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
