"""Giving messages back to brokers, which hand them out again now or later."""

import asyncio
from asyncio import Task
from collections.abc import Callable

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.errors import ClientError
from msgkit_rocketmq.client.settling import lend
from msgkit_rocketmq.loans import Loan

__all__ = ["Done", "Returning"]

#: Seconds that a broker may take.
_WITHIN = 5.0
#: Hears that a broker was told, or why not.
Done = Callable[[ClientError | None], None]


class Returning:
    """What one consumer gives back."""

    __slots__ = ("_cluster", "_loop", "_tasks")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._tasks: set[Task[None]] = set()

    def put(self, loan: Loan, after: float, done: Done) -> None:
        """Have a message handed out again after so many seconds."""
        task = self._loop.create_task(self._give_back(loan, after, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, loan: Loan, after: float, done: Done) -> None:
        if loan.renewing is not None:
            # It is the new handle that gives it back.
            await asyncio.shield(loan.renewing)
        if loan.is_unsure:
            done(None)
            return
        try:
            await lend(self._cluster, loan.share, loan.handle, after, within=_WITHIN)
        except ClientError as error:
            done(error)
        else:
            done(None)

    async def finish(self, patience: float) -> None:
        """Return when all is given back, or after so many seconds."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=patience)
