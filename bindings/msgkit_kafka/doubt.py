"""What became of a transaction when the brokers do not say it: how far its group has come is seen together with it."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from msgkit.spi.pauses import pause
from msgkit_kafka.membership import Membership
from msgkit_kafka.progress import Progress
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Doubt"]

_log = logging.getLogger("msgkit.kafka")
#: Questions that nobody answers until it is said that there are some.
_MANY = 5


class Doubt:
    """Partitions that it may have ended something in: what else is committed of them waits until that is known."""

    def __init__(self, membership: Membership, partitions: Iterable[Partition]) -> None:
        self._membership = membership
        self._partitions = sorted(set(partitions))
        membership.in_doubt.update(self._partitions)

    async def found_out(self, is_wanted: Callable[[], bool]) -> Mapping[Partition, Progress] | None:
        """Ask until it is known what the group has done; return None when nobody wants to, or can say it.

        However long that takes: what was committed meanwhile would undo it, and then all of it would be there twice.
        Nothing ever is when it ends before, because whoever asks is cancelled.
        """
        found: Mapping[Partition, Progress] | None = None
        failures = 0
        while found is None and is_wanted() and not self._membership.is_closed:
            try:
                standings = await self._membership.standings(self._partitions)
            except (WireError, TimeoutError) as unknown:
                failures += 1
                if failures == _MANY:
                    _log.warning("it is not known yet what became of a transaction, asking on: %s", unknown)
                self._membership.coordinator_lost()
                await asyncio.sleep(pause(failures))
            else:
                found = {each: Progress(offset or 0, said.done) for each, (offset, said) in standings.items()}
        self._membership.in_doubt.difference_update(self._partitions)
        return found
