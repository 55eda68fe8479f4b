"""What is made of a topology on a real RocketMQ, and what is left as it is."""

from collections.abc import AsyncIterator

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.errors import TopologyMismatch
from msgkit.spi import (
    BindingOptions,
    ExchangeSpec,
    Plan,
    PlanAction,
    ProvisionMode,
    QueueSpec,
    RouteSpec,
    Topology,
)
from msgkit.testing.brokers import RocketMQ
from msgkit.topology import Start
from msgkit.values import Option
from msgkit_rocketmq.binding import RocketBinding
from msgkit_rocketmq.client import groups, offsets, topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.places import Broker, Place
from msgkit_rocketmq.options import RocketQueue, RocketTopic

pytestmark = pytest.mark.broker


class Theirs(Option):
    schemes = ("kafka",)


@pytest.fixture
async def binding(lending: RocketMQ) -> AsyncIterator[RocketBinding]:
    binding = RocketBinding(BindingOptions(url=lending.url))
    await binding.connect(lambda _: None)
    yield binding
    await binding.close(5.0)


def shop(name: str, *options: Option, ordered: bool = False, start: Start = "latest") -> Topology:
    """Return an exchange, and a queue that takes some of it."""
    route = RouteSpec(exchange=f"{name}.orders", subject="placed.*")
    queue = QueueSpec(name=f"{name}.billing", routes=(route,), ordered=ordered, start=start, options=options)
    return Topology({route.exchange: ExchangeSpec(name=route.exchange)}, {queue.name: queue})


def said(plan: Plan) -> list[tuple[str, str]]:
    return [(entry.action.value, entry.name) for entry in plan.entries]


async def where(cluster: Cluster, group: str, topic: str) -> list[int | None]:
    """Return where a group begins in each queue of a topic."""
    route = await cluster.route(topic, fresh=True)
    at = {name: Broker(name, address) for name, address in route.masters.items()}
    places = [Place(at[each.broker], topic, each.number) for each in route.readable]
    return [await offsets.committed(cluster, place, group) for place in places]


async def test_what_is_missing_is_planned_and_made_and_then_there(
    binding: RocketBinding, cluster: Cluster, name: str
) -> None:
    topology = shop(name, RocketTopic(queues=3), Theirs())
    names = [f"{name}-orders", f"{name}-billing", f"{name}-billing"]
    with pytest.raises(TopologyMismatch, match=f"topic '{names[0]}' does not exist; topic .*; group .* does not exist"):
        await binding.provision(topology, ProvisionMode.VERIFY)
    for mode, action in (
        (ProvisionMode.PLAN, "create"),
        (ProvisionMode.CREATE, "create"),
        (ProvisionMode.CREATE, "exists"),
        (ProvisionMode.VERIFY, "exists"),
    ):
        plan = await binding.provision(topology, mode)
        assert said(plan) == [*((action, each) for each in names), ("ignored", f"{name}.billing")]
    assert [topic.readable for topic in (await topics.describe(cluster, names[1])).values()] == [3]
    assert [topic.readable for topic in (await topics.describe(cluster, names[0])).values()] == [16]


async def test_what_nobody_may_make_is_not_even_looked_at(binding: RocketBinding, cluster: Cluster, name: str) -> None:
    assert await binding.provision(shop(name), ProvisionMode.ASSUME) == Plan(())
    assert not await topics.describe(cluster, f"{name}-orders")


async def test_a_new_queue_begins_at_the_end_or_where_it_is_said_to(
    binding: RocketBinding, cluster: Cluster, name: str
) -> None:
    await binding.provision(shop(name, RocketQueue(group="first")), ProvisionMode.CREATE)
    for number in range(40):
        await binding.send(Envelope(b"x", f"{name}.orders", Kind.EXCHANGE, f"{number}"))
    topic = f"{name}-orders"
    await binding.provision(shop(name, RocketQueue(group=f"{name}-late")), ProvisionMode.CREATE)
    assert sum(each or 0 for each in await where(cluster, f"{name}-late", topic)) == 40
    early = shop(name, RocketQueue(group=f"{name}-early"), start="earliest")
    await binding.provision(early, ProvisionMode.CREATE)
    assert set(await where(cluster, f"{name}-early", topic)) == {0}


async def test_a_group_that_is_somebody_elses_stays_as_it_is(
    binding: RocketBinding, cluster: Cluster, name: str
) -> None:
    group = f"GID_{name}"
    await groups.create(cluster, group, in_order=True)
    before = await groups.describe(cluster)
    plan = await binding.provision(shop(name, RocketQueue(group=group)), ProvisionMode.CREATE)
    assert ("create", group) in said(plan), "it has never read these topics"
    after = await groups.describe(cluster)
    assert [table[group] for table in after.values()] == [table[group] for table in before.values()]


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        ({"queues": 4}, {"queues": 8}, "queues=8 is declared, but it has 4; more of them would move keys"),
        ({"queues": 4}, {"queues": 2}, "queues=2 is declared, but it has 4$"),
        ({"message_type": "fifo"}, {"message_type": "delay"}, "message_type=delay is declared, but it has fifo"),
        ({}, {"message_type": "fifo"}, "message_type=fifo is declared, but it has unspecified"),
    ],
)
async def test_a_topic_that_differs_is_refused_and_one_of_which_nothing_is_said_never_does(
    binding: RocketBinding, name: str, first: dict[str, object], then: dict[str, object], why: str
) -> None:
    async def made(said: dict[str, object]) -> Plan:
        return await binding.provision(shop(name, RocketTopic(**said)), ProvisionMode.CREATE)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- what is said differs

    await made(first)
    with pytest.raises(TopologyMismatch, match=why):
        await made(then)
    assert (await made({})).clean


async def test_a_queue_that_was_there_without_order_is_refused_with_what_to_do(
    binding: RocketBinding, name: str
) -> None:
    await binding.provision(shop(name), ProvisionMode.CREATE)
    with pytest.raises(TopologyMismatch, match="ordered=True is declared, and it is there with ordered=False: delete"):
        await binding.provision(shop(name, ordered=True), ProvisionMode.CREATE)


async def test_what_is_somebody_elses_must_be_there(binding: RocketBinding, name: str) -> None:
    with pytest.raises(TopologyMismatch, match="it is somebody else's, and it is not there"):
        await binding.provision(shop(name, RocketTopic(declare=False)), ProvisionMode.CREATE)
    plan = await binding.provision(shop(name, RocketTopic(declare=False)), ProvisionMode.PLAN)
    assert PlanAction.DIFFERS in {entry.action for entry in plan.entries}


async def test_names_that_become_one_are_refused_also_where_they_are_declared_one_after_the_other(
    binding: RocketBinding, name: str
) -> None:
    await binding.provision(shop(f"{name}.x"), ProvisionMode.CREATE)
    await binding.provision(shop(f"{name}.x"), ProvisionMode.CREATE)
    with pytest.raises(TopologyMismatch, match=f"{name}_x.billing' would both be group"):
        await binding.provision(shop(f"{name}_x"), ProvisionMode.CREATE)
    await binding.provision(shop(f"{name}.y"), ProvisionMode.CREATE)
