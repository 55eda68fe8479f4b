from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from math import ceil
from random import Random
from time import process_time

import pytest

from msgkit_kafka.assigning import Change, assign
from msgkit_kafka.wire.subscriptions import NEVER, Partition, Subscription

Shares = Mapping[str, tuple[Partition, ...]]


def wanting(*topics: str, owned: Iterable[Partition] = (), generation: int = NEVER) -> Subscription:
    return Subscription(topics=topics, owned=frozenset(owned), generation=generation)


def all_of(partitions: Mapping[str, int]) -> list[Partition]:
    return [Partition(topic, number) for topic, count in partitions.items() for number in range(count)]


def sizes(shares: Shares) -> list[int]:
    return sorted(len(share) for share in shares.values())


class Group:
    """Members that do as they are told, and see to it that no two read the same."""

    def __init__(self, partitions: Mapping[str, int], members: Mapping[str, Subscription]) -> None:
        self.partitions = dict(partitions)
        self.members = dict(members)
        self.generation = 0

    @property
    def owners(self) -> dict[Partition, str]:
        return {each: name for name, member in self.members.items() for each in member.owned}

    def settle(self) -> int:
        """Go round until nobody has to join again; tell how often that was."""
        rounds = 1
        while self._round():
            rounds += 1
        assert sorted(each for member in self.members.values() for each in member.owned) == sorted(
            each
            for each in all_of(self.partitions)
            if any(each.topic in member.topics for member in self.members.values())
        )
        assert all(each.topic in self.members[name].topics for each, name in self.owners.items())
        return rounds

    def _round(self) -> bool:
        shares = assign(self.members, self.partitions)
        changes = {name: Change.between(member.owned, shares[name]) for name, member in self.members.items()}
        # Some are slow to give up, and some are quick to begin.
        for name, change in changes.items():
            for other, member in self.members.items():
                assert other == name or not change.gained & member.owned
        self.generation += 1
        self.members = {
            name: replace(member, owned=frozenset(shares[name]), generation=self.generation)
            for name, member in self.members.items()
        }
        return any(change.given_up for change in changes.values())


def settled(partitions: Mapping[str, int], members: Mapping[str, Subscription]) -> Group:
    group = Group(partitions, members)
    group.settle()
    return group


def moved(before: Mapping[Partition, str], after: Mapping[Partition, str]) -> int:
    return sum(name != after[each] for each, name in before.items() if each in after)


def equal_members(count: int, *topics: str) -> dict[str, Subscription]:
    return {f"m{number:02}": wanting(*topics) for number in range(count)}


def can_be_more_even(group: Group) -> bool:
    """Look for a way by which a share could become smaller for one that would stay smaller still."""
    return any(
        len(member.owned) - len(group.members[name].owned) > 1
        for giver, member in group.members.items()
        for name in reached_from(giver, group)
    )


def reached_from(giver: str, group: Group) -> list[str]:
    reached = [giver]
    for name in reached:
        topics = {each.topic for each in group.members[name].owned}
        reached += [
            other
            for other, member in group.members.items()
            if other not in reached and not topics.isdisjoint(member.topics)
        ]
    return reached


# -- histories


class History:
    """Members come and go, by chance but the same each time."""

    def __init__(self, seed: int, *, mixed: bool) -> None:
        self.draw = Random(seed)  # noqa: S311 -- the same history each time
        self.mixed = mixed
        self.topics = {f"t{number}": self.draw.randint(1, 12) for number in range(self.draw.randint(1, 4))}
        self.group = Group(self.topics, {"first": self._member()})

    def _member(self) -> Subscription:
        return wanting(*[topic for topic in self.topics if not self.mixed or self.draw.random() < 0.6])

    def step(self) -> None:
        group, draw = self.group, self.draw
        match draw.choice(["come", "come", "go", "grow", "vanish", "want"]):
            case "come":
                for _ in range(draw.randint(1, 3)):
                    group.members[f"m{draw.randrange(1000):03}"] = self._member()
            case "go" if len(group.members) > 1:
                del group.members[draw.choice(sorted(group.members))]
            case "grow":
                topic = draw.choice(sorted(self.topics))
                group.partitions[topic] = group.partitions.get(topic, 0) + draw.randint(1, 3)
            case "vanish" if len(group.partitions) > 1:
                del group.partitions[draw.choice(sorted(group.partitions))]
            case "want" if self.mixed:
                name = draw.choice(sorted(group.members))
                group.members[name] = replace(group.members[name], topics=self._member().topics)
            case _:
                pass


@pytest.mark.parametrize("mixed", [False, True], ids=["equal", "mixed"])
@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_two_rounds_make_the_shares_whole_and_even(seed: int, *, mixed: bool) -> None:
    history = History(seed, mixed=mixed)
    for _ in range(12):
        history.step()
        assert history.group.settle() <= 2
        assert not can_be_more_even(history.group)


@pytest.mark.parametrize("mixed", [False, True], ids=["equal", "mixed"])
def test_a_group_that_is_settled_stays_as_it_is(*, mixed: bool) -> None:
    for seed in range(20):
        history = History(seed, mixed=mixed)
        for _ in range(6):
            history.step()
        history.group.settle()
        before = history.group.owners
        assert history.group.settle() == 1
        assert history.group.owners == before


@pytest.mark.parametrize("mixed", [False, True], ids=["equal", "mixed"])
def test_the_order_of_members_topics_and_partitions_does_not_matter(*, mixed: bool) -> None:
    draw = Random(11)  # noqa: S311 -- the same orders each time
    for seed in range(20):
        history = History(seed, mixed=mixed)
        for _ in range(4):
            history.step()
            history.group.settle()
        history.step()
        members, partitions = history.group.members, history.group.partitions
        shuffled = {
            name: replace(members[name], topics=tuple(draw.sample(members[name].topics, len(members[name].topics))))
            for name in draw.sample(sorted(members), len(members))
        }
        turned = dict(reversed(partitions.items()))
        assert assign(shuffled, turned) == assign(members, partitions)


def the_best(members: Mapping[str, Subscription], partitions: Mapping[str, int]) -> int:
    """Try every way to share out; tell how even the most even is."""
    choices = [[name for name, member in members.items() if each.topic in member.topics] for each in all_of(partitions)]
    return min(sum(size**2 for size in Counter(way).values()) for way in product(*filter(None, choices)))


def test_no_other_shares_would_be_more_even() -> None:
    draw = Random(5)  # noqa: S311 -- the same members each time
    for _ in range(60):
        partitions = {topic: draw.randint(1, 2) for topic in "abcd"}
        members = {name: wanting(*draw.sample("abcd", draw.randint(1, 3))) for name in ("x", "y", "z")}
        group = settled(partitions, members)
        assert sum(len(member.owned) ** 2 for member in group.members.values()) == the_best(members, partitions)


# -- how little moves


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("partitions", [{"a": 12}, {"a": 1}, {"a": 7, "b": 30}, {"a": 5, "b": 5, "c": 5, "d": 6}])
def test_who_comes_takes_its_share_and_no_more_and_nothing_moves_among_the_others(
    count: int, partitions: dict[str, int]
) -> None:
    group = settled(partitions, equal_members(count, *partitions))
    before = group.owners
    group.members["comes"] = wanting(*partitions)
    assert group.settle() <= 2
    total = sum(partitions.values())
    assert moved(before, group.owners) == len(group.members["comes"].owned) <= ceil(total / (count + 1))
    assert total // (count + 1) <= len(group.members["comes"].owned)


@pytest.mark.parametrize("count", range(2, 9))
@pytest.mark.parametrize("partitions", [{"a": 12}, {"a": 7, "b": 30}, {"a": 5, "b": 5, "c": 5, "d": 6}])
def test_of_who_leaves_the_others_take_what_it_had_in_one_round(count: int, partitions: dict[str, int]) -> None:
    group = settled(partitions, equal_members(count, *partitions))
    before = group.owners
    left = group.members.pop("m01").owned
    assert group.settle() == 1
    assert all(group.owners[each] == name for each, name in before.items() if each not in left)
    assert not can_be_more_even(group)


def test_who_comes_back_at_once_changes_little() -> None:
    group = settled({"a": 100}, equal_members(10, "a"))
    before = group.owners
    del group.members["m04"]
    group.settle()
    group.members["m04"] = wanting("a")
    group.settle()
    assert moved(before, group.owners) <= 20


def test_an_uneven_group_gives_up_only_what_is_too_much() -> None:
    members = {
        "much": wanting("a", owned=[Partition("a", number) for number in range(8)], generation=1),
        "some": wanting("a", owned=[Partition("a", 8), Partition("a", 9)], generation=1),
        "none": wanting("a", generation=1),
    }
    shares = assign(members, {"a": 10})
    assert {name: len(share) for name, share in shares.items()} == {"much": 4, "some": 2, "none": 0}
    assert set(shares["some"]) == members["some"].owned
    assert set(shares["much"]) < members["much"].owned


def test_a_chain_of_members_hands_on_what_the_last_of_them_cannot_take() -> None:
    a, b = ([Partition(topic, number) for number in range(3)] for topic in "ab")
    members = {
        "x": wanting("a", owned=a, generation=1),
        "y": wanting("a", "b", owned=b, generation=1),
        "z": wanting("b", generation=1),
    }
    group = settled({"a": 3, "b": 3}, members)
    assert [len(group.members[name].owned) for name in "xyz"] == [2, 2, 2]


# -- topics


def test_each_topic_is_spread_when_members_want_several() -> None:
    group = settled({"a": 8, "b": 8}, equal_members(1, "a", "b"))
    for name in ("m01", "m02", "m03"):
        group.members[name] = wanting("a", "b")
    group.settle()
    assert Counter((name, each.topic) for each, name in group.owners.items()) == {
        (name, topic): 2 for name in group.members for topic in "ab"
    }
    fresh = assign(equal_members(4, "a", "b"), {"a": 8, "b": 8})
    assert Counter((name, each.topic) for name, share in fresh.items() for each in share) == {
        (name, topic): 2 for name in fresh for topic in "ab"
    }


def test_of_those_who_have_least_who_has_fewest_of_a_topic_gets_what_is_new_of_it() -> None:
    members = {
        "x": wanting("a", "b", owned=[Partition("a", 0)], generation=1),
        "y": wanting("a", "b", owned=[Partition("b", 0)], generation=1),
    }
    assert assign(members, {"a": 2, "b": 1})["y"] == (Partition("a", 1), Partition("b", 0))
    assert assign(members, {"a": 1, "b": 2})["x"] == (Partition("a", 0), Partition("b", 1))


def test_when_a_topic_grows_the_new_partitions_go_where_least_is_and_nothing_else_moves() -> None:
    group = settled({"a": 7}, equal_members(3, "a"))
    before = group.owners
    group.partitions["a"] = 12
    assert group.settle() == 1
    assert moved(before, group.owners) == 0
    assert sorted(len(member.owned) for member in group.members.values()) == [4, 4, 4]


def test_what_is_gone_is_in_no_share() -> None:
    group = settled({"a": 6, "b": 6}, equal_members(3, "a", "b"))
    del group.partitions["a"]
    group.partitions["b"] = 4
    group.settle()
    assert set(group.owners) == set(all_of({"b": 4}))
    assert not can_be_more_even(group)


def test_members_get_only_what_they_want() -> None:
    members = {"x": wanting("a"), "y": wanting("b", "unknown", "b"), "z": wanting()}
    shares = assign(members, {"a": 2, "b": 3, "nobody's": 4, "empty": 0})
    assert shares == {"x": tuple(all_of({"a": 2})), "y": tuple(all_of({"b": 3})), "z": ()}


def test_without_members_or_partitions_there_is_nothing_to_share() -> None:
    assert assign({}, {"a": 3}) == {}
    assert assign({"x": wanting("a"), "y": wanting()}, {}) == {"x": (), "y": ()}


def test_more_members_than_partitions_leave_some_without() -> None:
    assert sizes(assign(equal_members(5, "a"), {"a": 3})) == [0, 0, 1, 1, 1]


# -- who is believed


def test_what_moves_is_given_to_nobody_until_its_owner_gave_it_up() -> None:
    members = {"old": wanting("a", owned=all_of({"a": 4}), generation=1), "new": wanting("a")}
    first = assign(members, {"a": 4})
    assert {name: len(share) for name, share in first.items()} == {"old": 2, "new": 0}
    members["old"] = replace(members["old"], owned=frozenset(first["old"]), generation=2)
    second = assign(members, {"a": 4})
    assert second["old"] == first["old"]
    assert sorted(second["old"] + second["new"]) == all_of({"a": 4})


def test_of_two_who_claim_the_same_the_later_has_it() -> None:
    contested = all_of({"a": 2})
    members = {
        "early": wanting("a", owned=contested, generation=4),
        "late": wanting("a", owned=contested, generation=5),
    }
    # One of them moves, to the early one: but not while it is the other's.
    assert sizes(assign(members, {"a": 2})) == [0, 1]
    assert len(assign(members, {"a": 2})["late"]) == 1
    members["third"] = wanting("a", owned=[contested[0]], generation=4)
    assert assign(members, {"a": 1}) == {"early": (), "late": (contested[0],), "third": ()}


@pytest.mark.parametrize("generation", [NEVER, 4])
def test_of_two_who_claim_the_same_in_one_generation_both_lose_it_and_then_one_gets_it(generation: int) -> None:
    contested = Partition("a", 0)
    members = {name: wanting("a", owned=[contested], generation=generation) for name in ("x", "y")}
    assert assign(members, {"a": 1}) == {"x": (), "y": ()}
    group = Group({"a": 1}, members)
    assert group.settle() == 2


def test_whoever_is_later_than_two_who_contest_has_it() -> None:
    contested = Partition("a", 0)
    members = {name: wanting("a", owned=[contested], generation=4) for name in ("w", "y")}
    members["x"] = wanting("a", owned=[contested], generation=5)
    assert assign(members, {"a": 1}) == {"w": (), "x": (contested,), "y": ()}


def test_what_somebody_has_and_wants_no_more_waits_until_it_is_given_up() -> None:
    members = {"x": wanting("b", owned=[Partition("a", 0)], generation=1), "y": wanting("a")}
    assert assign(members, {"a": 1, "b": 1}) == {"x": (Partition("b", 0),), "y": ()}
    assert settled({"a": 1, "b": 1}, members).members["y"].owned == {Partition("a", 0)}


def test_claims_of_what_there_is_not_count_for_nothing() -> None:
    nonsense = [Partition("a", -1), Partition("a", 2), Partition("", 0), Partition("b", 0)]
    members = {"x": wanting("a", owned=nonsense, generation=9), "y": wanting("a")}
    shares = assign(members, {"a": 2})
    assert sizes(shares) == [1, 1]
    assert sorted(shares["x"] + shares["y"]) == all_of({"a": 2})


# -- what a member makes of it


def test_a_change_tells_what_is_kept_given_up_and_gained() -> None:
    one, two, three = all_of({"a": 3})
    change = Change.between([one, two], (two, three))
    assert change == Change(kept=frozenset({two}), given_up=frozenset({one}), gained=frozenset({three}))


# -- how long it takes


ONE_TOPIC, MANY_TOPICS = {"a": 1000}, {f"t{number:03}": 1 for number in range(1000)}


def all_with_one(partitions: Mapping[str, int]) -> dict[str, Subscription]:
    members = equal_members(100, *partitions)
    return members | {"m50": replace(members["m50"], owned=frozenset(all_of(partitions)), generation=1)}


def all_with_three(partitions: Mapping[str, int]) -> dict[str, Subscription]:
    draw = Random(1)  # noqa: S311 -- the same members each time
    members = {
        name: wanting(*[topic for topic in partitions if draw.random() < 0.5]) for name in equal_members(100, "a")
    }
    few = settled(partitions, {name: members[name] for name in ("m10", "m20", "m30")}).members
    # To one who cannot have any there is no way, however long it is looked for.
    return members | few | {"none": wanting("unknown")}


@pytest.mark.parametrize(
    ("partitions", "members"),
    [
        (ONE_TOPIC, equal_members(100, *ONE_TOPIC)),
        (MANY_TOPICS, equal_members(100, *MANY_TOPICS)),
        (ONE_TOPIC, all_with_one(ONE_TOPIC)),
        (MANY_TOPICS, all_with_one(MANY_TOPICS)),
        (MANY_TOPICS, all_with_three(MANY_TOPICS)),
    ],
    ids=["one topic", "many topics", "one topic of one", "many topics of one", "some of many topics of three"],
)
def test_a_thousand_partitions_are_soon_shared_among_a_hundred(
    partitions: dict[str, int], members: dict[str, Subscription]
) -> None:
    began = process_time()
    shares = assign(members, partitions)
    # A tenth of it is usual: this finds what grows faster than the partitions times the members.
    assert process_time() - began < 1.5
    assert max(sizes(shares)) <= 11
