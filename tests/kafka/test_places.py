"""Places in a group that are refused, or that another one has: nobody is disturbed for them, and people are told."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from msgkit.spi import Down, Fatal, QueueSpec, RouteSpec, Up
from msgkit.spi.filtering import Filter
from msgkit_kafka.agreeing import Disagrees, encode
from msgkit_kafka.entering import Entrance, Profile
from msgkit_kafka.membership import Membership
from msgkit_kafka.orders import Order
from msgkit_kafka.wire.errors import Code
from msgkit_kafka.wire.groups import (
    DESCRIBE_GROUPS,
    HEARTBEAT,
    JOIN_GROUP,
    Answered,
    Beat,
    DescribeGroups,
    Join,
    MemberState,
)
from msgkit_kafka.wire.subscriptions import Partition, Subscription, encode_subscription
from tests.bench import Bench
from tests.kafka.wire_broker import Broker, serving, state
from tests.waiting import until

EU, US = (Filter([RouteSpec(exchange="orders", subject=f"placed.{region}")]) for region in ("eu", "us"))
TILL = "till"


class Holder:
    """Does nothing with what it is given, and keeps what it is told."""

    def __init__(self) -> None:
        self.alarms: list[str | None] = []

    async def take(self, partitions: Sequence[Partition], /) -> None: ...
    async def give_up(self, partition: Partition, /) -> None: ...
    def lose(self, partitions: Sequence[Partition], why: str, /) -> None: ...
    def go_on(self, order: Order, /) -> None: ...
    def alarm(self, why: str | None, /) -> None:
        self.alarms.append(why)


def saying(name: str, taken: Filter, instance: str | None = None) -> MemberState:
    """Return a member that has just come."""
    metadata = encode_subscription(Subscription(topics=("orders",), also=encode({"orders": taken})))
    return MemberState(name, instance, "", "", metadata, b"")


def has(broker: Broker, name: str, *members: MemberState) -> None:
    """Have all groups be so."""
    broker.says(DESCRIBE_GROUPS, lambda asked: state(asked, name, members))


@asynccontextmanager
async def member(broker: Broker, profile: Profile) -> AsyncGenerator[tuple[Membership, Holder]]:
    cluster, holder = broker.cluster(), Holder()
    await cluster.refresh(["orders"])
    membership = Membership(cluster, "jobs", ["orders"], holder, session=10, profile=profile)
    try:
        await membership.open()
        yield membership, holder
    finally:
        await membership.close()
        await cluster.close()


def expel(broker: Broker, code: Code) -> None:
    """Have whoever beats next be told that he is nobody."""

    def once(_: object) -> Answered:
        broker.says(HEARTBEAT, lambda _: Answered(0, 0))
        return Answered(0, code)

    broker.says(HEARTBEAT, once)


async def looked(broker: Broker, membership: Membership, times: int) -> None:
    """Have it look so often whether it may come in, and do what follows from all but the last."""
    before = len(broker.asked)

    async def is_so() -> bool:
        membership.look()
        return sum(isinstance(each, DescribeGroups) for each in broker.asked[before:]) >= times

    await until(is_so)


def joins(broker: Broker) -> int:
    return sum(isinstance(each, Join) for each in broker.asked)


async def until_told(holder: Holder, why: str | None) -> None:
    async def is_told() -> bool:
        last = holder.alarms[-1]
        return last is why if why is None or last is None else why in last

    await until(is_told)


async def test_whoever_lost_his_place_to_another_of_his_name_says_so_and_stays_out_while_that_one_has_it() -> None:
    async with serving() as broker, member(broker, Profile(instance=TILL)) as (membership, holder):
        has(broker, "Stable", saying("another", EU, TILL))
        expel(broker, Code.FENCED_INSTANCE_ID)
        await until_told(holder, "another process uses instance 'till'")
        await looked(broker, membership, 4)
        assert joins(broker) == 1
        has(broker, "Empty")
        await looked(broker, membership, 1)
        await until_told(holder, None)
        assert joins(broker) == 2


async def test_whoever_is_refused_disturbs_nobody_again_while_others_come_and_goes_on_saying_so() -> None:
    async with serving() as broker:
        has(broker, "Stable")
        async with member(broker, Profile(filters={"orders": EU})) as (membership, holder):
            has(broker, "Stable", saying("another", US))
            expel(broker, Code.UNKNOWN_MEMBER_ID)
            await until_told(holder, "who died, or has an instance's name, is counted until its session ends")
            has(broker, "PreparingRebalance", saying("another", US))
            await looked(broker, membership, 4)
            assert joins(broker) == 1
            assert None not in holder.alarms[1:]
            has(broker, "Stable")
            await looked(broker, membership, 1)
            await until_told(holder, None)


async def test_whoever_may_not_come_back_says_so_at_once_and_is_not_waited_for() -> None:
    async with serving() as broker, member(broker, Profile()) as (membership, holder):
        join = broker.answer_to(JOIN_GROUP)
        broker.says(JOIN_GROUP, lambda asked: join(asked)._replace(error=Code.GROUP_AUTHORIZATION_FAILED))
        expel(broker, Code.UNKNOWN_MEMBER_ID)
        await until_told(holder, "group 'jobs' cannot be joined: group authorization failed")
        assert len(holder.alarms) == len([None, "cannot be joined"])
        assert membership.is_well
        assert not membership.is_in


async def test_whoever_lost_his_place_keeps_nobody_from_hearing_that_the_brokers_are_back() -> None:
    """He alone hears nothing, and of that it is told again."""
    is_cut = False

    def beat(asked: Beat) -> Answered:
        nonlocal is_cut
        if asked.group == "jobs":
            return Answered(0, Code.FENCED_INSTANCE_ID)
        if is_cut:
            is_cut = False
            raise ConnectionResetError
        return Answered(0, 0)

    async with serving() as broker, asyncio.timeout(15):
        url = f"kafka://127.0.0.1:{broker.port}"
        async with Bench.open(url, options={"instance": TILL}) as bench:
            await bench.consume(QueueSpec(name="jobs"))
            await bench.consume(QueueSpec(name="bills"))
            has(broker, "Stable", saying("another", EU, TILL))
            broker.says(HEARTBEAT, beat)
            lost = await bench.events.get()
            assert isinstance(lost, Fatal)
            is_cut = True
            assert isinstance(await bench.events.get(), Down)
            assert isinstance(await bench.events.get(), Up)
            assert await bench.events.get() == lost


@pytest.mark.parametrize(("seen", "is_let_in"), [("Stable", True), ("PreparingRebalance", False)])
async def test_whoever_takes_a_place_back_while_others_come_yields_to_those_whatever_his_name(
    seen: str, *, is_let_in: bool
) -> None:
    """One of them may have begun, and seen nothing of him but who had his place before."""
    async with serving() as broker, asyncio.timeout(10):
        cluster = broker.cluster()
        await cluster.refresh(["orders"])
        node = await cluster.coordinator("jobs", 0)
        entrance = Entrance(cluster, "jobs", ["orders"], Profile(instance=TILL, filters={"orders": EU}), session=10)
        has(broker, seen, saying("former", EU, TILL))
        await entrance.look(node, "", is_fenced=False)
        has(broker, "Stable", saying("a", EU, TILL), saying("b", US))
        if is_let_in:
            assert await entrance.is_open(node)
        else:
            with pytest.raises(Disagrees):
                await entrance.is_open(node)
        await cluster.close()
