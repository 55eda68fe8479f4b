"""Who of a group reads what: what the group's leader works out, and what that changes for a member."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from msgkit_kafka.wire.subscriptions import Partition, Subscription

__all__ = ["Change", "assign"]


def assign(members: Mapping[str, Subscription], partitions: Mapping[str, int]) -> dict[str, tuple[Partition, ...]]:
    """Share out the partitions of each topic among those who want it; `partitions` tells how many there are.

    No other shares would be more even, and little moves that could stay. What has to move is given to nobody yet: who
    has it does not find it in his share, gives it up, and joins again. The second round gives it, and ends it. The
    same members get the same, in whatever order they come.
    """
    claims = _claims(members)
    owners = _owners(claims, members)
    shares = _even(members, partitions, owners)
    return {
        name: tuple(sorted(each for each in share.all() if each not in claims or owners.get(each) == name))
        for name, share in shares.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a new share means for a member."""

    kept: frozenset[Partition]
    given_up: frozenset[Partition]
    gained: frozenset[Partition]

    @classmethod
    def between(cls, owned: Collection[Partition], assigned: Collection[Partition]) -> "Change":
        before, after = frozenset(owned), frozenset(assigned)
        return cls(kept=before & after, given_up=before - after, gained=after - before)


# -- who has what


def _claims(members: Mapping[str, Subscription]) -> dict[Partition, list[str]]:
    claims: dict[Partition, list[str]] = {}
    for name, member in members.items():
        for each in member.owned:
            claims.setdefault(each, []).append(name)
    return claims


def _owners(claims: Mapping[Partition, Collection[str]], members: Mapping[str, Subscription]) -> dict[Partition, str]:
    """Tell whose each is: his who got it last, if he still wants it. When two say so, nobody knows who is right."""
    wanted = {name: frozenset(member.topics) for name, member in members.items()}
    owners: dict[Partition, str] = {}
    for each, names in claims.items():
        latest = max(members[name].generation for name in names)
        last, *others = [name for name in names if members[name].generation == latest]
        if not others and each.topic in wanted[last]:
            owners[each] = last
    return owners


# -- even shares


class _Crowd:
    """Those who want the same topics: any partition of these may go from any of them to any other."""

    __slots__ = ("everyone", "shares")

    def __init__(self, shares: Iterable["_Share"]) -> None:
        self.shares = tuple(shares)
        self.everyone = frozenset(self.shares)

    def least(self, topic: str) -> "_Share":
        return min(self.shares, key=lambda share: (share.size, share.counts.get(topic, 0)))


_Stock = dict[_Crowd, dict[str, list[Partition]]]


class _Share:
    """What a member is to have: what it owns already, and what is loose, which disturbs nobody wherever it goes."""

    __slots__ = ("counts", "loose", "own", "size")

    def __init__(self) -> None:
        self.own: _Stock = {}
        self.loose: _Stock = {}
        self.counts = Counter[str]()
        self.size = 0

    def all(self) -> Iterator[Partition]:
        for stock in (self.own, self.loose):
            for topics in stock.values():
                for partitions in topics.values():
                    yield from partitions

    def put(self, stock: _Stock, crowd: _Crowd, partition: Partition) -> None:
        stock.setdefault(crowd, {}).setdefault(partition.topic, []).append(partition)
        self.counts[partition.topic] += 1
        self.size += 1

    def give(self, crowd: _Crowd, taker: "_Share") -> None:
        """Give one away that the crowd wants; of the topic of which the taker has fewest, so that each is spread."""
        stock = self.loose if crowd in self.loose else self.own
        topics = stock[crowd]
        topic = max(topics, key=lambda topic: self.counts[topic] - taker.counts.get(topic, 0))
        taker.put(taker.loose, crowd, topics[topic].pop())
        self.counts[topic] -= 1
        self.size -= 1
        if not topics[topic]:
            del topics[topic]
        if not topics:
            del stock[crowd]


def _even(
    members: Mapping[str, Subscription], partitions: Mapping[str, int], owners: Mapping[Partition, str]
) -> dict[str, _Share]:
    shares = {name: _Share() for name in sorted(members)}
    crowds = _crowds(shares, members, partitions)
    free: list[tuple[_Crowd, Partition]] = []
    for topic, crowd in crowds.items():
        for each in (Partition(topic, number) for number in range(partitions[topic])):
            if each in owners:
                owner = shares[owners[each]]
                owner.put(owner.own, crowd, each)
            else:
                free.append((crowd, each))
    for crowd, each in free:
        least = crowd.least(each.topic)
        least.put(least.loose, crowd, each)
    # What is loose alone makes the shares even in a second round. So nothing is given up in one.
    _level(shares.values(), also_own=False)
    _level(shares.values(), also_own=True)
    return shares


def _crowds(
    shares: Mapping[str, _Share], members: Mapping[str, Subscription], partitions: Mapping[str, int]
) -> dict[str, _Crowd]:
    """Tell who wants each topic, if anybody does."""
    wanting: dict[str, list[_Share]] = {topic: [] for topic in sorted(partitions)}
    for name, share in shares.items():
        for topic in wanting.keys() & members[name].topics:
            wanting[topic].append(share)
    crowds: dict[tuple[_Share, ...], _Crowd] = {}
    return {topic: crowds.setdefault(tuple(those), _Crowd(those)) for topic, those in wanting.items() if those}


def _level(shares: Iterable[_Share], *, also_own: bool) -> None:
    """Have the largest share give to the smallest that it can reach, be it by way of others, until all are even."""
    unsettled: list[_Share] = list(shares)
    while unsettled:
        giver = max(unsettled, key=_size)
        ways = _ways(giver, unsettled, also_own=also_own)
        taker = min(ways, key=_size, default=giver)
        if giver.size - taker.size > 1:
            _pass_on(giver, taker, ways)
        else:
            # Those that it reaches are as even as can be, and what the smaller ones do does not change that.
            unsettled.remove(giver)


def _size(share: _Share) -> int:
    return share.size


_Step = tuple[_Share, _Crowd]


def _ways(giver: _Share, others: Iterable[_Share], *, also_own: bool) -> dict[_Share, _Step]:
    """Tell which others a share can reach, and for each the last step there; on the shortest way."""
    ways: dict[_Share, _Step] = {}
    left = {*others} - {giver}
    reached = [giver]
    for share in reached:
        if not left:
            break
        for crowd in (*share.loose, *share.own) if also_own else share.loose:
            if not left.isdisjoint(crowd.everyone):
                found = [other for other in crowd.shares if other in left]
                left.difference_update(found)
                reached += found
                ways.update(dict.fromkeys(found, (share, crowd)))
    return ways


def _pass_on(giver: _Share, taker: _Share, ways: Mapping[_Share, _Step]) -> None:
    # From the end, so that each gives what it had when the way was found.
    while taker is not giver:
        before, crowd = ways[taker]
        before.give(crowd, taker)
        taker = before
