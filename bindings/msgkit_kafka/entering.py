"""Coming into a group: whether one may, and whether those who are in it have to share out anew for that."""

from collections.abc import Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import NamedTuple

from msgkit.spi.filtering import Filter
from msgkit_kafka.agreeing import Disagrees, disputed
from msgkit_kafka.groups import state_of
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import Code, Garbled, checked
from msgkit_kafka.wire.groups import (
    JOIN_GROUP,
    SYNC_GROUP,
    Assigned,
    GroupState,
    Join,
    Joined,
    MemberState,
    Protocol,
    Sync,
)
from msgkit_kafka.wire.subscriptions import (
    ASSIGNOR,
    KIND,
    Assignment,
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_subscription,
)

__all__ = ["ANYBODY", "Entrance", "Profile"]

_NUMBERS = count(1)
#: Seconds that the others have to join again. None of them waits for its handlers before it does.
_TO_JOIN = 30.0
#: Only of such a group it is told what its members say.
_STABLE = "Stable"
_UNHEARD = Subscription(topics=())


class Profile(NamedTuple):
    """What a group is told of one member."""

    #: Whose place it takes, and keeps when it goes.
    instance: str | None = None
    rack: str | None = None
    #: What it takes of topics, where it does not take all.
    filters: Mapping[str, Filter] = MappingProxyType({})


ANYBODY = Profile()


class Entrance:
    """One member's way in."""

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        topics: Sequence[str],
        profile: Profile,
        *,
        session: float,
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._topics = frozenset(topics)
        self._filters = profile.filters
        self._instance = profile.instance
        self._session = session
        # Who waits for the others to join must hold up none of them, and no other group's on whom they may be waiting.
        self._purpose = f"joining {group}, member {next(_NUMBERS)} of this process"
        self._is_known = True
        #: Who had our instance's name before, and has its place and its share until we come.
        self._former: MemberState | None = None
        #: Why we were refused, until that is so no longer.
        self._refusal: str | None = None

    async def look(self, coordinator: int, member: str, *, is_fenced: bool) -> None:
        """See who is in beside us, before anybody is disturbed.

        :param member: what the group calls us, if we have joined before
        :param is_fenced: did we lose our place to another one of our name?
        :raises Disagrees: when one may not come in
        :raises BrokerError: when another one has the place
        """
        if not self._filters and self._instance is None:
            return
        state = await state_of(self._cluster, coordinator, self._group)
        ours = [each for each in state.members if self._instance is not None and each.instance == self._instance]
        # Whoever has joined before, and was not let in yet, finds himself.
        self._former = ours[0] if ours and ours[0].member != member else None
        if ours and is_fenced:
            checked(Code.FENCED_INSTANCE_ID, f"another process uses instance {self._instance!r}")
        self._is_known = state.state == _STABLE or not state.members
        if not self._is_known and self._refusal is not None:
            # Nobody is disturbed again before it is known whether it would be for anything.
            raise Disagrees(self._refusal)
        self._agree(state, [each for each in state.members if each not in ours])
        self._refusal = None

    async def join(self, coordinator: int, member: str, about: Subscription) -> Joined:
        """Ask to be in, and return when all others have done so; or at once, with a name to ask with again."""
        join = Join(
            self._group,
            round(self._session * 1000),
            round(_TO_JOIN * 1000),
            member,
            self._instance,
            KIND,
            [Protocol(ASSIGNOR, encode_subscription(about))],
        )
        joined = await self._cluster.ask(coordinator, JOIN_GROUP, join, purpose=self._purpose, patience=_TO_JOIN)
        if joined.error != Code.MEMBER_ID_REQUIRED:
            checked(joined.error, self._otherwise if joined.error == Code.INCONSISTENT_GROUP_PROTOCOL else None)
        return joined

    @property
    def _otherwise(self) -> str:
        return (
            f"group {self._group!r} has members that do not share out its partitions by {ASSIGNOR!r}, as msgkit does: "
            "stop them, or set their partition.assignment.strategy to it, or give the queue a group of its own, "
            "KafkaQueue(group=…)"
        )

    async def share(self, coordinator: int, joined: Joined, shares: Sequence[Assigned]) -> Assignment:
        """Return our share; whoever leads says what each is to have."""
        sync = Sync(self._group, joined.generation, joined.member, self._instance, shares)
        synced = await self._cluster.ask(coordinator, SYNC_GROUP, sync, purpose=self._purpose, patience=_TO_JOIN)
        checked(synced.error)
        return decode_assignment(synced.assignment)

    async def is_open(self, coordinator: int) -> bool:
        """Tell, when it has joined, whether it may begin; if not, others come at the same time, and it joins again.

        :raises Disagrees: when it has to leave
        """
        if not self._filters:
            return True
        state = await state_of(self._cluster, coordinator, self._group)
        # Whoever took a place back while others came may have been let in beside one that has begun: he yields.
        yields = self._former is not None and not self._is_known
        self._agree(state, [each for each in state.members if not yields or each.instance != self._instance])
        return state.state == _STABLE

    def changes_shares(self, joined: Joined) -> bool:
        """Tell whether an instance that came back to its old share has to have the group share out anew.

        Its coordinator told nobody that it came. So its leader does not know what it reads now; and if the leader is
        itself, it does not know that.
        """
        if self._instance is None:
            return False
        former = self._former
        if former is None or not self._is_known:
            return not self._is_known
        return joined.leader == former.member != joined.member or self._topics != frozenset(_said(former).topics)

    async def close(self) -> None:
        await self._cluster.done_with(self._purpose)

    def _agree(self, state: GroupState, members: Sequence[MemberState]) -> None:
        if state.state != _STABLE:
            return
        topic = disputed(self._filters, {each.member: _said(each) for each in members})
        if topic is not None:
            self._refusal = (
                f"others consume it with other routes than {self._filters[topic].text} from {topic!r}, so that "
                "messages of either would be lost: stop them first; who died, or has an instance's name, is counted "
                "until its session ends"
            )
            raise Disagrees(self._refusal)


def _said(member: MemberState) -> Subscription:
    try:
        return decode_subscription(member.metadata)
    except Garbled:
        return _UNHEARD
