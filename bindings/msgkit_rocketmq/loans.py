"""What was taken from brokers, for as long as it is lent; it is lent for longer while somebody works on it."""

import asyncio
import logging
from asyncio import Future, Task
from collections.abc import Callable

from msgkit.errors import DeliveryLost
from msgkit.spi import RawDelivery
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.errors import ClientError, Unanswered
from msgkit_rocketmq.client.settling import Share, lend
from msgkit_rocketmq.client.taking import Taken

__all__ = ["Loan", "Loans", "Place", "taken_back"]

_log = logging.getLogger("msgkit.rocketmq")
#: Where a message is: broker, topic, queue and offset.
Place = tuple[str, str, int, int]
#: In what part of a lease it is renewed, and how often in that it is looked which are due.
_PART, _LOOKS = 0.5, 8
#: Seconds that a broker may take.
_WITHIN = 5.0


class Loan:
    """One message that was taken. Each is a scope of its own: it is lost alone."""

    __slots__ = ("ends_at", "handle", "is_open", "is_unsure", "place", "raw", "renewing", "returned", "share", "size")

    def __init__(self, taken: Taken, share: Share, ends_at: float) -> None:
        self.share = share
        #: The newest, which alone settles it.
        self.handle = taken.handle
        handle = taken.handle
        self.place: Place = handle.broker, handle.topic_of(share.topic, share.group), handle.queue, handle.offset
        self.size = len(taken.record.body)
        #: How often it came back.
        self.returned = taken.attempt - 1
        #: By the loop's clock: others may have it from then on.
        self.ends_at = ends_at
        #: Is it for us to settle?
        self.is_open = True
        #: Is there perhaps a newer handle, which nobody told us? Then it comes back in any case.
        self.is_unsure = False
        #: What is handed over, once it is.
        self.raw: RawDelivery | None = None
        #: When there will be another handle, if it is lent for longer just now.
        self.renewing: Future[None] | None = None


class Loans:
    """Those of one consumer that are not settled."""

    def __init__(self, cluster: Cluster, lease: float, on_lost: Callable[[Loan], None]) -> None:
        self._cluster = cluster
        self._lease = lease
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        #: In the order in which they came.
        self.open: dict[Loan, None] = {}
        self._looking: Task[None] | None = None
        self._tasks: set[Task[None]] = set()

    def add(self, loan: Loan) -> None:
        self.open[loan] = None
        if self._looking is None:
            self._looking = self._loop.create_task(self._look())

    def end(self, loan: Loan) -> None:
        """Hear that it is settled, or about to be."""
        loan.is_open = False
        self.open.pop(loan, None)

    def reopen(self, loan: Loan) -> None:
        """Hear that it could not be settled."""
        loan.is_open = True
        self.add(loan)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._lease * _PART / _LOOKS)
            now = self._loop.time()
            ended = [loan for loan in self.open if loan.ends_at <= now]
            if ended:
                _log.warning("%d messages are lent to us no longer: that was not prolonged in time", len(ended))
            for loan in ended:
                self._lose(loan)
            for loan in tuple(self.open):
                is_due = loan.ends_at - self._lease * _PART <= now
                # With a handle that is not the newest, it would be lent twice from then on.
                if is_due and loan.renewing is None and not loan.is_unsure:
                    self._begin(loan)

    def _begin(self, loan: Loan) -> None:
        loan.renewing = self._loop.create_future()
        task = self._loop.create_task(self._renew(loan, loan.renewing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew(self, loan: Loan, renewing: "Future[None]") -> None:
        began = self._loop.time()
        try:
            within = max(_WITHIN, loan.ends_at - began)
            handle = await lend(self._cluster, loan.share, loan.handle, self._lease, within=within)
        except ClientError as error:
            # Of what nobody heard it is tried again until it is over.
            loan.is_unsure = isinstance(error, Unanswered) and not loan.handle.in_order
        else:
            if handle is not None:
                loan.handle, loan.ends_at = handle, began + self._lease
            elif loan.is_open:
                self._lose(loan)
        finally:
            loan.renewing = None
            renewing.set_result(None)

    def _lose(self, loan: Loan) -> None:
        self.end(loan)
        self._on_lost(loan)

    async def close(self) -> None:
        tasks = [*self._tasks, *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def taken_back(raw: RawDelivery) -> DeliveryLost:
    return DeliveryLost(f"message {raw.envelope.message_id} was taken back: it was not settled in time")
