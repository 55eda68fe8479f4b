"""Time that a test turns forward: nothing waits for it, and it waits for nothing."""

import asyncio
from asyncio import Task
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from msgkit.envelope import Envelope
from msgkit.testing.clock import VirtualClock
from msgkit.testing.looking import Looker, refuse_when_stopped

__all__ = ["VirtualTime"]

#: Turns of the loop without any change, after which nothing is left to do.
_QUIET_TURNS = 5
#: Seconds of real time, after which who waits for an answer is taken to wait for time to pass.
_STILL = 1.0
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class _Question:
    """A request that waits for its answer."""

    ends: float
    asker: "Task[Any] | None"
    #: The queue whose handler asks; None when it is somebody else.
    queue: str | None


class VirtualTime:
    """The time of one test, and of all that it probes.

    It stands still unless it is advanced. One thing makes it pass by itself: a request which waits for
    its answer while nothing else happens. Else who awaits it would do so for ever.
    """

    patience = 5.0

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self._lookers: list[Looker] = []
        self._questions: dict[str, _Question] = {}
        self._passing: Task[None] | None = None

    def join(self, looker: Looker) -> None:
        self._lookers.append(looker)

    async def leave(self, looker: Looker) -> None:
        self._lookers.remove(looker)
        if not self._lookers and self._passing is not None:
            self._questions.clear()
            self._passing.cancel()
            await asyncio.wait([self._passing])

    async def idle(self, timeout: float) -> None:
        refuse_when_stopped(self._lookers)
        loop_time = asyncio.get_running_loop().time
        until = loop_time() + timeout
        quiet = 0
        while quiet < _QUIET_TURNS:
            # What is due at this very time is not for later: a retry after no pause at all.
            self.clock.advance_to(self.clock.now())
            busy = await self._busy()
            quiet = 0 if busy else quiet + 1
            if busy and loop_time() > until:
                msg = f"not idle within {timeout:g} s: {', '.join(busy.values())}"
                raise TimeoutError(msg)
            # Handlers in threads take real time; turns of the loop alone would spin.
            await asyncio.sleep(0 if not busy else 0.001)

    async def advance(self, by: float) -> None:
        clock, end = self.clock, self.clock.now() + by
        await self.idle(self.patience)
        while (due := clock.next_due) is not None and due <= end:
            clock.advance_to(due)
            await self.idle(self.patience)
        clock.advance_to(end)
        await self.idle(self.patience)

    async def _busy(self) -> Mapping[str, str]:
        busy: dict[str, str] = {}
        for looker in self._lookers:
            busy.update(await looker.busy())
        return busy

    # -- requests

    def asked(self, request: Envelope, queue: str | None) -> None:
        """Hear of a request, and of the queue whose handler asks."""
        if request.correlation_id is None or request.expires_at is None:
            return
        ends = request.expires_at - (request.delay or 0.0)
        self._questions[request.correlation_id] = _Question(ends, asyncio.current_task(), queue)
        if self._passing is None or self._passing.done():
            self._passing = asyncio.create_task(self._let_time_pass())

    def answered(self, answer: Envelope) -> None:
        """Hear of an answer."""
        self._questions.pop(answer.correlation_id or "", None)

    async def _let_time_pass(self) -> None:
        """Turn the time forward to what is due next, whenever there is nothing but waiting for answers."""
        while await self._is_still():
            end = max(question.ends for question in self._questions.values())
            due = self.clock.next_due
            self.clock.advance_to(end if due is None else min(due, end))

    async def _is_still(self) -> bool:
        """Return True when nothing was done for a while but waiting, and False when nobody waits any more."""
        loop_time = asyncio.get_running_loop().time
        since, before = loop_time(), None
        while self._pending() and loop_time() - since < _STILL:
            await asyncio.sleep(_PAUSE)
            trace = await self._trace()
            if trace is None or trace != before:
                since, before = loop_time(), trace
        return bool(self._questions)

    def _pending(self) -> Mapping[str, _Question]:
        now = self.clock.now()
        for correlation_id, question in tuple(self._questions.items()):
            if question.ends <= now or (question.asker is not None and question.asker.done()):
                del self._questions[correlation_id]
        return self._questions

    async def _trace(self) -> Hashable:
        """Return what happened so far; None when there is more at work than who asks."""
        looks = [await looker.look(self.patience) for looker in self._lookers]
        asking = {question.queue for question in self._questions.values()}
        if any(look.busy.keys() - asking for look in looks):
            return None
        return tuple(look.trace for look in looks)
