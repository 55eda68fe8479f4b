"""Declaring: what is there is compared, what is missing is made if that was asked, drift is told."""

import asyncio
from typing import Any

from msgkit.application import Application
from msgkit.errors import ConfigurationError, TopologyMismatch
from msgkit.spi import PlanAction, Power, ProvisionMode
from msgkit.testing.conformance.handlers import accept, numbered, takes
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.provisioning import entries, provision
from msgkit.testing.conformance.raising import may_raise, raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Destination, Exchange, Queue
from msgkit.values import Option

__all__: list[str] = []


class NobodysOption(Option):
    """An option of a broker that nobody has."""

    schemes = ("nobodys",)


async def exists(lab: Lab, *destinations: Destination[Any]) -> bool:
    """Tell whether everything is there, as far as the binding says."""
    return (await provision(lab, ProvisionMode.PLAN, *destinations)).clean


def pair(lab: Lab) -> tuple[Exchange[str], Queue[str]]:
    exchange = lab.exchange()
    return exchange, lab.queue("jobs", exchange.where("a.*"))


@check(18)
async def a_plan_says_what_is_missing_and_makes_nothing(lab: Lab) -> None:
    exchange, queue = pair(lab)
    for _ in range(2):
        plan = await provision(lab, ProvisionMode.PLAN, exchange, queue)
        assert not plan.clean
        for name in (exchange.name, queue.name, queue.dead_letters.name):
            assert entries(plan, PlanAction.CREATE, name), f"nothing is said of {name}"
    assert await lab.offer(exchange, "refused", subject="a.b") == "refused"


@check(18)
async def declaring_twice_changes_nothing_and_keeps_what_waits(lab: Lab) -> None:
    exchange, queue = pair(lab)
    await lab.declare(queue)
    await lab.send_all(exchange, numbered("waits", 5), subject="a.b")
    again = await provision(lab, ProvisionMode.CREATE, exchange, queue)
    assert not entries(again, PlanAction.CREATE), "what is there was made again"
    assert not entries(again, PlanAction.DIFFERS)
    assert await exists(lab, exchange, queue)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 5)
        await lab.quiet(handler)


@check(18)
async def many_may_declare_the_same_at_once(lab: Lab) -> None:
    exchange, queue = pair(lab)
    await asyncio.gather(*(provision(lab, ProvisionMode.CREATE, exchange, queue) for _ in range(8)))
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send_all(exchange, numbered("event", 5), subject="a.b")
        await lab.accepts(handler, 5)
        await lab.quiet(handler)


@check(18)
async def declaring_under_a_consumer_disturbs_nobody(lab: Lab) -> None:
    exchange, queue = pair(lab)
    handler = lab.handler(queue).does(takes(0.003), max_in_flight=2)
    async with lab.application(handler):
        sending = asyncio.create_task(lab.send_all(exchange, numbered("e", 60), subject="a.b"))
        for n in range(5):
            await lab.accepts(handler, 5 * n)
            await provision(lab, ProvisionMode.CREATE, exchange, queue)
        await sending
        await lab.accepts(handler, 60)
        await lab.quiet(handler)


@check(18)
async def verifying_refuses_what_is_missing_and_makes_nothing(lab: Lab) -> None:
    exchange, queue = pair(lab)
    with raises(TopologyMismatch, queue.name):
        await provision(lab, ProvisionMode.VERIFY, exchange, queue)
    assert not await exists(lab, exchange)
    await lab.declare(queue)
    plan = await provision(lab, ProvisionMode.VERIFY, exchange, queue)
    assert plan.clean
    wider = Queue(queue.name, exchange.where("a.*"), lab.exchange("other").where())
    with raises(TopologyMismatch):
        await provision(lab, ProvisionMode.VERIFY, wider)


@check(18)
async def an_application_that_verifies_runs_on_what_others_declared(lab: Lab) -> None:
    exchange, queue = pair(lab)
    settings = lab.harness.settings(topology="verify")
    handler = lab.handler(queue).does(accept)
    with raises(TopologyMismatch):
        async with lab.application(handler, settings=settings):
            pass
    await lab.declare(queue)
    async with lab.application(handler, settings=settings):
        await lab.send(exchange, "event", subject="a.b")
        await lab.accepts(handler, 1)


@check(18)
async def assuming_declares_nothing_and_works_on_what_is_there(lab: Lab) -> None:
    exchange, queue = pair(lab)
    await provision(lab, ProvisionMode.ASSUME, exchange, queue)
    assert not await exists(lab, exchange)
    assert not await exists(lab, queue)
    await lab.declare(queue)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler, settings=lab.harness.settings(topology="assume")):
        await lab.send(exchange, "event", subject="a.b")
        await lab.accepts(handler, 1)


@check(18)
async def what_differs_is_refused_by_name_or_done(lab: Lab) -> None:
    exchange = lab.exchange()
    await lab.declare(exchange)
    other: Exchange[str] = Exchange(exchange.name, str, kind="direct")
    queue = lab.queue("jobs", other.where("a.#"))
    with may_raise(TopologyMismatch, exchange.name, "kind") as refused:
        await lab.declare(queue)
    if refused.found is not None:
        plan = await provision(lab, ProvisionMode.PLAN, other)
        assert entries(plan, PlanAction.DIFFERS, exchange.name, "kind")
        return
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(other, "not by pattern", subject="a.b")
        await lab.send(other, "by its whole subject", subject="a.#")
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(18)
async def a_stale_route_is_told_and_goes_only_when_pruned(lab: Lab) -> None:
    exchange = lab.exchange()
    name = lab.name("jobs")
    await lab.declare(Queue(name, exchange.where("kept.*"), exchange.where("stale.*")))
    queue = Queue(name, exchange.where("kept.*"))
    kept = Kept(lab, queue, str)
    planning = Application([kept.function], settings=lab.settings())
    if lab.refused(Power.PRUNE):
        with lab.refusal("prune"):
            await planning.plan(prune=True)
        return
    async with lab.application(kept.function) as app:
        ((_, _, plan),) = await planning.plan()
        assert entries(plan, PlanAction.STALE, "stale.*", name), f"no drift in {plan}"
        assert not entries(plan, PlanAction.STALE, "kept.*")
        await app.template.send(exchange, "still routed", subject="stale.a")
        await kept.gets(1)
        await planning.plan(prune=True)
        assert await exists(lab, queue)
        await app.template.send(exchange, "routed no more", subject="stale.a")
        await app.template.send(exchange, "kept", subject="kept.a")
        await kept.gets_just(2)
    assert kept.payloads == ["still routed", "kept"]


@check(18)
async def a_route_that_drifts_loses_nothing_of_what_it_kept(lab: Lab) -> None:
    """Where filters run in consumers, a member with another filter is refused while others live."""
    exchange = lab.exchange()
    name = lab.name("jobs")
    before = Kept(lab, Queue(name, exchange.where("a.*"), exchange.where("b.*")), str)
    after = Kept(lab, Queue(name, exchange.where("a.*"), exchange.where("c.*")), str)
    sent = 0
    async with lab.application(before.function):
        with may_raise(ConfigurationError, name):
            async with lab.application(after.function):
                for n in range(30):
                    await lab.sender.send(exchange, f"at once {n}", subject=f"{'abc'[n % 3]}.{n}")
                sent = 30
                await lab.until(lambda: len(before.payloads) + len(after.payloads) >= sent, "all of both")
        await lab.sender.send(exchange, "of the old", subject="b.x")
        await lab.until(lambda: len(before.payloads) + len(after.payloads) >= sent + 1, "the old route's")
    async with lab.application(after.function):
        await lab.sender.send(exchange, "of the new", subject="c.x")
        await lab.until(lambda: "of the new" in after.payloads, "the new route's")
        await lab.quiet()
    arrived = before.payloads + after.payloads
    assert sorted(arrived) == sorted(set(arrived)), f"twice: {arrived}"


@check(17, 18)
async def options_of_other_brokers_are_listed_and_do_no_harm(lab: Lab) -> None:
    exchange: Exchange[str] = Exchange(lab.name("events"), str, options=[NobodysOption()])
    queue = lab.queue("jobs", exchange.where(), options=[NobodysOption()])
    for mode in (ProvisionMode.PLAN, ProvisionMode.CREATE):
        plan = await provision(lab, mode, exchange, queue)
        for name in (exchange.name, queue.name):
            assert entries(plan, PlanAction.IGNORED, name, "NobodysOption"), f"{name} in {plan}"
    assert await exists(lab, exchange, queue)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(exchange, "event", subject="x")
        await lab.accepts(handler, 1)
