"""Time that passes by itself: a test can only wait until nothing seems to be left to do."""

import asyncio
from collections.abc import Hashable

from msgkit.clock import SYSTEM, Clock
from msgkit.envelope import Envelope
from msgkit.testing.looking import Look, Looker, refuse_when_stopped

__all__ = ["RealTime"]

#: Seconds without any change, after which nothing is left to do: a message may be between the broker
#: and us, or stored and not ready yet, and nobody tells.
_QUIET = 0.3
#: The same where a broker cannot tell what its queues hold, or has more in others' hands than is here.
_QUIET_UNSEEN = 2.0
_PAUSE = 0.03


class RealTime:
    """The time of one test on real brokers, and of all that it probes."""

    patience = 30.0

    def __init__(self) -> None:
        self.clock: Clock = SYSTEM
        self._lookers: list[Looker] = []

    def join(self, looker: Looker) -> None:
        self._lookers.append(looker)

    async def leave(self, looker: Looker) -> None:
        self._lookers.remove(looker)

    async def idle(self, timeout: float) -> None:
        refuse_when_stopped(self._lookers)
        loop_time = asyncio.get_running_loop().time
        until = loop_time() + timeout
        since, before = loop_time(), None
        while True:
            look = await self._look(until)
            now = loop_time()
            if look.busy or look.trace != before:
                since, before = now, look.trace
                _check(until, timeout, look)
            elif now - since >= (_QUIET if look.certain else _QUIET_UNSEEN):
                return
            await asyncio.sleep(_PAUSE)

    async def advance(self, by: float) -> None:
        loop_time = asyncio.get_running_loop().time
        # What is being done is done at this time, as it is where time stands still.
        await self._done()
        end = loop_time() + by
        await asyncio.sleep(by)
        while loop_time() < await self._latest(end):  # noqa: ASYNC110 -- a broker tells nobody that all has come
            await asyncio.sleep(_PAUSE)
        await self.idle(self.patience)

    async def _latest(self, end: float) -> float:
        return max([await looker.latest(end) for looker in self._lookers], default=end)

    async def _done(self) -> None:
        """Return when nothing is being done, nor seems to be on its way."""
        loop_time = asyncio.get_running_loop().time
        began, until = loop_time(), loop_time() + self.patience
        while (look := await self._look(until)).busy or (not look.certain and loop_time() - began < _QUIET):
            if look.busy:
                _check(until, self.patience, look)
            await asyncio.sleep(_PAUSE)

    async def _look(self, until: float) -> Look:
        patience = max(until - asyncio.get_running_loop().time(), _PAUSE)
        looks = [await looker.look(patience) for looker in self._lookers]
        trace: Hashable = tuple(look.trace for look in looks)
        busy = {queue: words for look in looks for queue, words in look.busy.items()}
        return Look(busy=busy, trace=trace, certain=all(look.certain for look in looks))

    # -- requests: their time passes

    def asked(self, request: Envelope, queue: str | None) -> None:
        """Nothing is to be done for a request."""

    def answered(self, answer: Envelope) -> None:
        """Nothing is to be done for an answer."""


def _check(until: float, timeout: float, look: Look) -> None:
    if asyncio.get_running_loop().time() > until:
        doing = ", ".join(look.busy.values()) or "messages come and go"
        msg = f"not idle within {timeout:g} s: {doing}"
        raise TimeoutError(msg)
