"""A place in a consumer group: what of its partitions is ours, for as long as it is.

A partition that goes to another member is given up first, and only then do we join again: until that moment nobody
else has it, however long it takes to finish what runs. What stays with us is not disturbed.
"""

import asyncio
import logging
from asyncio import Task
from collections.abc import Mapping, Sequence
from functools import partial

from msgkit.errors import Closed
from msgkit.spi.pauses import pause
from msgkit_kafka import agreeing
from msgkit_kafka.agreeing import Disagrees
from msgkit_kafka.assigning import Change
from msgkit_kafka.entering import ANYBODY, Entrance, Profile
from msgkit_kafka.holder import Holder
from msgkit_kafka.leading import Leading
from msgkit_kafka.offsets import BEATING, Standing, offsets_of
from msgkit_kafka.orders import Order, decode, encode
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import BrokerError, Code, WireError, checked
from msgkit_kafka.wire.groups import (
    GROUP,
    HEARTBEAT,
    LEAVE_GROUP,
    Beat,
    Joined,
    Leave,
    Leaver,
)
from msgkit_kafka.wire.subscriptions import (
    NEVER,
    Partition,
    Subscription,
)

__all__ = ["Membership"]

_log = logging.getLogger("msgkit.kafka")
#: Seconds between two beats, and of a session at most this part: so soon a member hears that others come or go.
_BEAT, _BEATS = 0.5, 3
#: Seconds to say goodbye in.
_FAREWELL = 3.0
#: Seconds to wait for others that are given up, too.
_TOGETHER = 0.2
#: Who we were is not known any more: nothing is ours.
_EXPELLED = frozenset({Code.UNKNOWN_MEMBER_ID, Code.ILLEGAL_GENERATION, Code.FENCED_INSTANCE_ID})
_ELSEWHERE = frozenset({Code.NOT_COORDINATOR, Code.COORDINATOR_NOT_AVAILABLE})
#: It will hardly be otherwise the next time.
_FINAL = frozenset(
    {
        Code.INCONSISTENT_GROUP_PROTOCOL,
        Code.INVALID_GROUP_ID,
        Code.INVALID_SESSION_TIMEOUT,
        Code.GROUP_AUTHORIZATION_FAILED,
        Code.TOPIC_AUTHORIZATION_FAILED,
        Code.GROUP_MAX_SIZE_REACHED,
        Code.FENCED_INSTANCE_ID,
    }
)


class Membership:
    """One member of one group. It is in when `open` has returned, and comes back in by itself."""

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        topics: Sequence[str],
        holder: Holder,
        *,
        session: float,
        profile: Profile = ANYBODY,
        order: Order | None = None,
    ) -> None:
        self.group = group
        self.instance = profile.instance
        self.member = ""
        self.generation = NEVER
        #: Partitions of which it is not known how far the group has come: what is committed could undo a transaction.
        self.in_doubt: set[Partition] = set()
        self._cluster = cluster
        self._topics = tuple(topics)
        self._holder = holder
        self._session = session
        self._rack = profile.rack
        self._also = agreeing.encode(profile.filters) if order is None else encode(order)
        self._loop = asyncio.get_running_loop()
        self._owned: set[Partition] = set()
        #: The generation that gave it.
        self._since = NEVER
        self._going: dict[Partition, Task[None]] = {}
        self._entrance = Entrance(cluster, group, topics, profile, session=session)
        self._leading = Leading(cluster, group)
        self._task: Task[None] | None = None
        self._turn = asyncio.Event()
        self._was_in = asyncio.Event()
        self._heard = 0.0
        self._coordinator: int | None = None
        #: Is something in the way that passes, or is it not known yet?
        self._is_failing = True
        self._is_fenced = False
        self._look = asyncio.Event()
        self._begun = asyncio.Event()

    # -- for those who commit

    @property
    def is_in(self) -> bool:
        return self.generation != NEVER

    @property
    def is_well(self) -> bool:
        """Is it in, as far as is known, or does its coordinator say that it may not be? Its alarm says why, then."""
        return not self._is_failing

    @property
    def is_closed(self) -> bool:
        """Is there nobody to ask any more?"""
        return self._cluster.is_closed

    def look(self) -> None:
        """See at once whether it is still in."""
        self._look.set()

    async def coordinator(self) -> int:
        """Return the broker that leads the group.

        :raises BrokerError: when none does at the moment
        """
        if self._coordinator is None:
            self._coordinator = await self._cluster.coordinator(self.group, GROUP)
        return self._coordinator

    def coordinator_lost(self) -> None:
        """Look for another one the next time."""
        self._coordinator = None

    def refused(self, code: Code) -> None:
        """Hear what the coordinator said to a commit."""
        if code in _ELSEWHERE:
            self._coordinator = None
        else:
            # Whether it is still in, it hears with the next beat. A generation may only just have ended.
            self.look()

    async def begun(self) -> None:
        """Return when it is in a generation that is not about to end, as far as is known."""
        await self._begun.wait()

    async def standings(self, partitions: Sequence[Partition]) -> Mapping[Partition, Standing]:
        """Return how far the group has come."""
        return await offsets_of(self._cluster, await self.coordinator(), self.group, partitions)

    # -- coming and going

    async def open(self) -> None:
        """Join, and return when the first partitions are ours, or it is known that there are none for us.

        :raises Closed: when it is closed before
        """
        self._task = self._loop.create_task(self._stay())
        entering = self._loop.create_task(self._was_in.wait())
        try:
            await asyncio.wait([self._task, entering], return_when=asyncio.FIRST_COMPLETED)
        finally:
            entering.cancel()
        if self._task.cancelled():
            raise Closed(f"group {self.group!r} was left before it was joined")
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Leave, so that others get what was ours at once. Whoever has an instance's name keeps its place."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for going in self._going.values():
            going.cancel()
        self._owned.clear()
        await self._entrance.close()
        if self.instance is None:
            await self._leave()

    async def _leave(self) -> None:
        leaver, self.member = Leaver(self.member, self.instance), ""
        if leaver.member:
            try:
                async with asyncio.timeout(min(_FAREWELL, self._session / _BEATS)):
                    leave = Leave(self.group, [leaver])
                    await self._cluster.ask(await self.coordinator(), LEAVE_GROUP, leave, purpose=BEATING)
            except (WireError, TimeoutError) as error:
                _log.info("group %r was left without a word: %s", self.group, error)

    async def _stay(self) -> None:
        failures, was_final = 0, None
        while True:
            try:
                await self._join()
                failures, was_final = 0, None
                await self._beat()
            except (WireError, TimeoutError) as error:
                is_refused = isinstance(error, Disagrees)
                is_final = is_refused or (isinstance(error, BrokerError) and error.code in _FINAL)
                # What is final after what passes, or the other way round, is told as something new.
                failures = failures + 1 if was_final in (None, is_final) else 1
                was_final, self._coordinator, self._is_failing = is_final, None, not is_final
                if is_refused:
                    await self._leave()
                if is_final and not self._was_in.is_set() and self.generation == NEVER:
                    raise
                self._note(error, failures, is_final=is_final)
                await self._wait(pause(failures, is_final=is_final), self._look)
                self._see_whether_it_is_over()

    def _note(self, error: Exception, failures: int, *, is_final: bool) -> None:
        if isinstance(error, BrokerError) and error.code in _EXPELLED:
            self._expelled(str(error))
            if error.code is Code.FENCED_INSTANCE_ID:
                self._is_fenced = True
                self._holder.alarm(f"another process uses instance {self.instance!r}: end one, or give it another name")
        elif isinstance(error, Disagrees):
            self._holder.alarm(str(error))
        elif (is_final and failures == 1) or failures in (5, 20) or failures % 100 == 0:
            _log.warning("group %r cannot be joined yet, trying on: %s", self.group, error)
            if isinstance(error, BrokerError):
                # What is no answer at all is told as the loss of the connection.
                self._holder.alarm(f"group {self.group!r} cannot be joined: {error}")

    def _see_whether_it_is_over(self) -> None:
        if self._owned and self._loop.time() - self._heard > self._session:
            self._expelled(f"the group's coordinator was not reached for {self._session:g} s")

    def _expelled(self, why: str) -> None:
        self.member, self.generation, self._since = "", NEVER, NEVER
        for going in self._going.values():
            going.cancel()
        lost, self._owned = sorted(self._owned), set()
        if lost:
            _log.warning("group %r takes us for gone: %s; joining again", self.group, why)
            self._holder.lose(lost, why)

    # -- joining

    async def _join(self) -> None:
        self._turn.clear()
        coordinator, is_new = await self.coordinator(), self._since == NEVER
        if is_new:
            await self._entrance.look(coordinator, self.member, is_fenced=self._is_fenced)
        joined = await self._joined(coordinator)
        # While the others are waited for, what is done is committed to the generation that ends.
        self._begun.clear()
        self._heard = self._loop.time()
        shares = await self._leading.shares(joined)
        assignment = await self._entrance.share(coordinator, joined, shares)
        self._heard = self._loop.time()
        if is_new and not await self._entrance.is_open(coordinator):
            self._turn.set()
            return
        self._is_failing = False
        self.generation = self._since = joined.generation
        self._begun.set()
        # An instance that comes back is given what it read before.
        await self._take_on(frozenset(each for each in assignment.partitions if each.topic in self._topics))
        if is_new and self._entrance.changes_shares(joined):
            self._turn.set()
        if (order := decode(assignment.user_data)) is not None:
            self._holder.go_on(order)
        self._is_fenced = False
        self._was_in.set()
        self._holder.alarm(None)
        _log.debug("group %r, generation %d: %d partitions are ours", self.group, self.generation, len(self._owned))

    async def _joined(self, coordinator: int) -> Joined:
        while True:
            about = Subscription(
                topics=self._topics,
                owned=frozenset(self._owned),
                generation=self._since,
                rack=self._rack,
                also=self._also,
            )
            joined = await self._entrance.join(coordinator, self.member, about)
            self.member = joined.member
            if joined.error != Code.MEMBER_ID_REQUIRED:
                return joined

    async def _take_on(self, assigned: frozenset[Partition]) -> None:
        change = Change.between(self._owned, assigned)
        for partition in change.given_up:
            if partition not in self._going:
                going = self._going[partition] = self._loop.create_task(self._give_up(partition))
                going.add_done_callback(partial(self._gone, partition))
        # What is on its way out is finished first; then we join again, and may get it back.
        gained = sorted(change.gained)
        if gained:
            try:
                # Nobody hears of us meanwhile: once we are taken for gone, others have what is ours.
                async with asyncio.timeout_at(self._heard + self._session):
                    await self._holder.take(gained)
            except BaseException:
                self._holder.lose(gained, "it is not known how far they have come")
                raise
        self._owned.update(gained)

    async def _give_up(self, partition: Partition) -> None:
        await self._holder.give_up(partition)

    def _gone(self, partition: Partition, going: Task[None]) -> None:
        del self._going[partition]
        self._owned.discard(partition)
        if not going.cancelled():
            if (error := going.exception()) is not None:
                _log.error("%s of group %r was not given up in order", partition, self.group, exc_info=error)
            # Those that follow at once are told of together.
            self._loop.call_later(_TOGETHER if self._going else 0, self._turn.set)

    # -- staying

    async def _beat(self) -> None:
        """Stay in until there is a reason to join again."""
        pause_between = min(_BEAT, self._session / _BEATS)
        while not self._turn.is_set():
            coordinator = await self.coordinator()
            beat = Beat(self.group, self.generation, self.member, self.instance)
            answer = await self._cluster.ask(coordinator, HEARTBEAT, beat, purpose=BEATING)
            if answer.error == Code.REBALANCE_IN_PROGRESS:
                return
            checked(answer.error)
            self._heard, self._is_failing = self._loop.time(), False
            if await self._leading.has_grown(self._session / _BEATS):
                return
            await self._wait(pause_between, self._turn, self._look)

    async def _wait(self, seconds: float, *events: asyncio.Event) -> None:
        """Wait for the next time, or a reason for it."""
        self._look.clear()
        reasons = [self._loop.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(reasons, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()
