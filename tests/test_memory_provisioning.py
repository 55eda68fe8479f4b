import asyncio

import pytest

from msgkit.envelope import Kind
from msgkit.errors import TopologyMismatch
from msgkit.spi import ExchangeSpec, PlanAction, ProvisionMode, QueueSpec, RouteSpec, Up
from msgkit.values import Option
from tests.memory_client import Bench, until

ORDERS = ExchangeSpec(name="orders")
BILLING = QueueSpec(name="billing", routes=(RouteSpec(exchange="orders", subject="placed.*"),))


class RabbitThing(Option):
    schemes = ("amqp", "amqps")


async def test_declaring_twice_makes_nothing_twice() -> None:
    async with Bench.open() as bench:
        first = await bench.declare(ORDERS, BILLING)
        second = await bench.declare(ORDERS, BILLING)
        made = [(entry.action, entry.what, entry.name) for entry in first.entries]
        assert made == [
            (PlanAction.CREATE, "exchange", "orders"),
            (PlanAction.CREATE, "queue", "billing"),
            (PlanAction.CREATE, "route", "orders [placed.*] -> billing"),
        ]
        assert second.clean
        await bench.send("x", "orders", kind=Kind.EXCHANGE, subject="placed.eu")
        assert (await bench.depth(BILLING)).ready == 1


async def test_declarations_add_up() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERS)
        await bench.declare(QueueSpec(name="jobs"))
        await bench.send("x", "orders", kind=Kind.EXCHANGE)
        await bench.send("x", "jobs")


async def test_a_queue_brings_the_exchanges_that_it_routes_from() -> None:
    async with Bench.open() as bench:
        await bench.declare(QueueSpec(name="all", routes=(RouteSpec(exchange="all", kind="fanout"),)))
        await bench.send("x", "all", kind=Kind.EXCHANGE)
        assert bench.broker.depths()["all"].ready == 1


@pytest.mark.parametrize(
    ("there", "declared", "said"),
    [
        (ORDERS, ExchangeSpec(name="orders", kind="fanout"), "kind='fanout' .* kind='topic'"),
        (
            QueueSpec(name="jobs"),
            QueueSpec(name="jobs", ordered="strict", dead_letters="d"),
            "ordered='strict' .* ordered=False",
        ),
        (
            QueueSpec(name="jobs", priorities=5),
            QueueSpec(name="jobs"),
            "priorities=None .* priorities=5",
        ),
    ],
)
@pytest.mark.parametrize("mode", [ProvisionMode.CREATE, ProvisionMode.VERIFY, ProvisionMode.PRUNE])
async def test_what_differs_is_refused_with_both_values_and_nothing_is_made(
    there: QueueSpec, declared: QueueSpec, said: str, mode: ProvisionMode
) -> None:
    async with Bench.open() as bench:
        await bench.declare(there)
        with pytest.raises(TopologyMismatch, match=said):
            await bench.declare(QueueSpec(name="new"), declared, mode=mode)
        assert "new" not in bench.broker.depths()


async def test_verifying_makes_nothing_and_names_all_that_is_missing() -> None:
    async with Bench.open() as bench:
        with pytest.raises(TopologyMismatch) as refused:
            await bench.declare(ORDERS, BILLING, mode=ProvisionMode.VERIFY)
        assert "exchange 'orders' does not exist" in str(refused.value)
        assert "queue 'billing' does not exist" in str(refused.value)
        await bench.declare(ORDERS, BILLING)
        assert (await bench.declare(ORDERS, BILLING, mode=ProvisionMode.VERIFY)).clean


async def test_assuming_looks_at_nothing() -> None:
    async with Bench.open() as bench:
        plan = await bench.declare(ORDERS, BILLING, mode=ProvisionMode.ASSUME)
        assert plan.entries == ()
        assert bench.broker.depths() == {}


@pytest.mark.parametrize("mode", [ProvisionMode.VERIFY, ProvisionMode.ASSUME])
async def test_anonymous_queues_are_made_in_any_mode(mode: ProvisionMode) -> None:
    copy = QueueSpec(name="orders.1", routes=BILLING.routes, anonymous=True)
    async with Bench.open() as bench:
        with pytest.raises(TopologyMismatch, match="exchange 'orders' does not exist"):
            await bench.declare(copy, mode=mode)
        await bench.declare(ORDERS)
        await bench.declare(copy, mode=mode)
        assert list(bench.broker.depths()) == ["orders.1"]


async def test_a_plan_changes_nothing_and_refuses_nothing() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERS)
        different = ExchangeSpec(name="orders", kind="fanout")
        plan = await bench.declare(different, QueueSpec(name="new"), mode=ProvisionMode.PLAN)
        assert [entry.action for entry in plan.entries] == [PlanAction.DIFFERS, PlanAction.CREATE]
        assert not plan.clean
        assert bench.broker.depths() == {}


async def test_a_route_that_nobody_declares_any_more_is_reported_and_goes_when_pruned() -> None:
    changed = QueueSpec(name="billing", routes=(RouteSpec(exchange="orders", subject="paid.*"),))
    async with Bench.open() as bench:
        await bench.declare(ORDERS, BILLING)
        plan = await bench.declare(ORDERS, changed)
        stale = [entry for entry in plan.entries if entry.action is PlanAction.STALE]
        assert [entry.name for entry in stale] == ["orders [placed.*] -> billing"]
        await bench.send("x", "orders", kind=Kind.EXCHANGE, subject="placed.eu")
        assert (await bench.depth(BILLING)).ready == 1
        await bench.declare(ORDERS, changed, mode=ProvisionMode.PRUNE)
        await bench.send("x", "orders", kind=Kind.EXCHANGE, subject="placed.eu")
        await bench.send("x", "orders", kind=Kind.EXCHANGE, subject="paid.eu")
        assert (await bench.depth(BILLING)).ready == 2
        assert (await bench.declare(ORDERS, changed, mode=ProvisionMode.VERIFY)).clean


async def test_options_of_other_brokers_are_listed_and_change_nothing() -> None:
    spec = QueueSpec(name="jobs", options=(RabbitThing(),))
    async with Bench.open() as bench:
        await bench.declare(spec)
        plan = await bench.declare(spec)
        ignored = plan.entries[-1]
        assert (ignored.action, ignored.name) == (PlanAction.IGNORED, "jobs")
        assert ignored.detail == "RabbitThing is for amqp://, amqps://"
        assert plan.clean


async def test_two_that_declare_at_once_agree() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        plans = await asyncio.gather(one.declare(ORDERS, BILLING), two.declare(ORDERS, BILLING))
        created = [e for plan in plans for e in plan.entries if e.action is PlanAction.CREATE]
        assert len(created) == 3


async def test_the_topology_is_there_after_a_reconnect() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERS, BILLING)
        bench.broker.content.drop_queue(bench.broker.content.queues["billing"])
        bench.broker.faults.disconnect()
        await until(lambda: Up() in bench.events)
        await bench.send("x", "orders", kind=Kind.EXCHANGE, subject="placed.eu")
        assert (await bench.depth(BILLING)).ready == 1
