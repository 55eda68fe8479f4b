"""What falls to whoever leads a group: to share out, and to see when there is more to share."""

import asyncio
import logging
from collections.abc import Sequence

from msgkit_kafka.assigning import assign
from msgkit_kafka.orders import first_of
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import Garbled, WireError
from msgkit_kafka.wire.groups import Assigned, Joined
from msgkit_kafka.wire.subscriptions import Assignment, Subscription, decode_subscription, encode_assignment

__all__ = ["Leading"]

_log = logging.getLogger("msgkit.kafka")


class Leading:
    """One member's part in it, which is none while another leads."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster = cluster
        self._group = group
        #: How many partitions the topics had that were shared out.
        self._sizes: dict[str, int] = {}

    async def shares(self, joined: Joined) -> Sequence[Assigned]:
        """Return what each member is to have: nothing is said by who does not lead."""
        if joined.leader != joined.member:
            self._sizes = {}
            return ()
        members: dict[str, Subscription] = {}
        for each in joined.members:
            try:
                members[each.member] = decode_subscription(each.metadata)
            except Garbled as error:
                _log.error("member %r of group %r says nothing that can be read: %s", each.member, self._group, error)
                members[each.member] = Subscription(topics=())
        topics = sorted({topic for member in members.values() for topic in member.topics})
        self._sizes = await self._sizes_of(topics)
        shares, order = assign(members, self._sizes), first_of(members.values())
        return [
            Assigned(name, encode_assignment(Assignment(partitions=frozenset(share), user_data=order)))
            for name, share in shares.items()
        ]

    async def has_grown(self, within: float) -> bool:
        """Tell, as the leader, whether there is more to share out; not when that is not known in so many seconds."""
        before = self._sizes
        if not before:
            return False
        try:
            async with asyncio.timeout(within):
                return await self._sizes_of(sorted(before)) != before
        except (WireError, TimeoutError) as error:
            _log.debug("it is not known whether the topics of group %r have grown: %s", self._group, error)
            return False

    async def _sizes_of(self, topics: Sequence[str]) -> dict[str, int]:
        await self._cluster.refresh(topics)
        known = self._cluster.topics
        return {topic: known[topic].size if topic in known else 0 for topic in topics}
