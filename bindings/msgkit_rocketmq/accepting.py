"""Telling brokers what is done: all that is done meanwhile at once, and again until they have heard."""

import asyncio
import logging
from asyncio import Future, Task
from collections import deque
from collections.abc import Sequence

from msgkit.spi.pauses import pause
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.errors import ClientError, Refused
from msgkit_rocketmq.client.settling import Share, accept_all
from msgkit_rocketmq.loans import Loan

__all__ = ["Acceptances"]

_log = logging.getLogger("msgkit.rocketmq")
_MOST = 512
_WITHIN = 5.0


class Acceptances:
    """Those of one consumer that its brokers have not heard of."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Share, deque[Loan]] = {}
        self._telling: dict[Share, Task[None]] = {}
        #: Those that are lent for longer just now.
        self._renewing: set[Future[None]] = set()

    def put(self, loan: Loan) -> None:
        if (renewing := loan.renewing) is not None:
            # It is the new handle that settles it.
            self._renewing.add(renewing)
            renewing.add_done_callback(lambda _: self._renewed(loan, renewing))
            return
        self._waiting.setdefault(loan.share, deque()).append(loan)
        if loan.share not in self._telling:
            self._telling[loan.share] = self._loop.create_task(self._tell(loan.share))

    def _renewed(self, loan: Loan, renewing: "Future[None]") -> None:
        self._renewing.discard(renewing)
        self.put(loan)

    async def _tell(self, share: Share) -> None:
        waiting, failures = self._waiting[share], 0
        try:
            while waiting:
                some = [waiting.popleft() for _ in range(min(len(waiting), _MOST))]
                try:
                    await accept_all(self._cluster, share, [loan.handle for loan in some], within=_WITHIN)
                    failures = 0
                except ClientError as error:
                    waiting.extendleft(reversed(self._left(some, share, error)))
                    failures += 1
                    await asyncio.sleep(pause(failures))
        finally:
            del self._telling[share]

    def _left(self, loans: Sequence[Loan], share: Share, error: ClientError) -> Sequence[Loan]:
        """Return those that it is of use to tell of again.

        The end of a lease is none of it: brokers that were away hand out a moment later what ended meanwhile.
        """
        if not isinstance(error, Refused) or error.passes:
            return loans
        text = "%s hands out again what was accepted of %s, %d of it: it does not want to hear of it: %s"
        _log.error(text, share.broker.name, share.topic, len(loans), error)
        return ()

    async def finish(self, patience: float) -> None:
        """Return when all is told, or after so many seconds."""
        until = self._loop.time() + patience
        while (under_way := [*self._telling.values(), *self._renewing]) and (left := until - self._loop.time()) > 0:
            await asyncio.wait(under_way, timeout=left)
        if under_way:
            left_over = sum(map(len, self._waiting.values())) + len(self._renewing)
            _log.warning(
                "brokers have not heard yet what was accepted last, and hand it out again: %d and more", left_over
            )
        tasks = tuple(self._telling.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
