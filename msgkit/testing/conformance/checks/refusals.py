"""Refused loudly: what a binding declares it cannot do is refused by name, and what it declares is there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from msgkit.brokers import binding_for
from msgkit.errors import ConfigurationError, InvalidMessage, UnsupportedCapability
from msgkit.spi import (
    Binding,
    BindingOptions,
    Browsable,
    Emulated,
    Inspectable,
    Order,
    Power,
    Refused,
    Replayable,
    Replies,
    Transactional,
    TwoPhase,
)
from msgkit.testing.conformance.handlers import accept, numbered
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Destination, Exchange, Queue

__all__: list[str] = []

OFFERS: Mapping[Power, type] = {
    Power.REQUEST: Replies,
    Power.TRANSACTION: Transactional,
    Power.PREPARE: TwoPhase,
    Power.REPLAY: Replayable,
    Power.INSPECT: Inspectable,
    Power.BROWSE: Browsable,
}


@check(17)
async def what_is_declared_is_offered_and_said_in_words(lab: Lab) -> None:
    keeps = lab.capabilities
    assert keeps.broker
    async with lab.binding() as binding:
        for power, protocol in OFFERS.items():
            assert lab.refused(power) or isinstance(binding, protocol), f"{power.value} is missing"
    for power, support in keeps.powers.items():
        match support:
            case Refused():
                assert support.why, f"{power.value} is refused without a reason"
            case Emulated():
                assert support.how, f"{power.value} is emulated somehow"
                assert support.cost, f"{power.value} is emulated at no known cost"
            case _:
                pass
    assert (keeps.order is Order.NONE) == lab.refused(Power.ORDERED)
    assert keeps.delay.lateness >= 0


@check(17)
async def what_the_topology_asks_for_in_vain_is_refused_at_start(lab: Lab) -> None:
    exchange = lab.exchange()
    asks: Mapping[Power, Destination[str]] = {
        Power.ORDERED: lab.queue("ordered", ordered=True),
        Power.STRICT: lab.queue("strict", ordered="strict"),
        Power.PRIORITY: lab.queue("urgent", priorities=3),
        Power.HEADERS_EXCHANGE: lab.exchange(kind="headers"),
        Power.START: lab.queue("replays", exchange.where(), start="earliest"),
        Power.ANONYMOUS: Queue.anonymous(exchange.where()),
    }
    good = Kept(lab, lab.queue("good"), str)
    for power, destination in asks.items():
        if lab.refused(power):
            with lab.refusal(destination.name):
                async with lab.application(good.function, topology=[destination]):
                    pass
        else:
            async with lab.application(good.function, topology=[destination]):
                pass
    async with lab.application(good.function):
        await lab.sender.send(good.queue, "sentinel")
        await good.gets_just(1)


@check(17)
async def what_a_call_asks_for_in_vain_is_refused_before_anything_is_sent(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    calls: Mapping[Power, Callable[[], Awaitable[object]]] = {
        Power.DELAY: lambda: lab.sender.send(queue, "never", delay=1),
        Power.DELIVER_AT: lambda: lab.sender.send(queue, "never", deliver_at=datetime.now(UTC) + timedelta(seconds=1)),
        Power.PRIORITY: lambda: lab.sender.send(queue, "never", priority=1),
        Power.REQUIRE_ROUTE: lambda: lab.sender.send(exchange, "never", require_route=True),
        Power.REQUEST: lambda: lab.sender.request(queue, "never", str, timeout=1),
    }
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        for power, call in calls.items():
            if lab.refused(power):
                with lab.refusal():
                    await call()
        await lab.sender.send(queue, "sentinel")
        await kept.gets_just(1)


@check(8, 17)
async def a_delay_beyond_the_longest_is_refused_and_a_long_one_is_not(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    longest = lab.capabilities.delay.longest
    async with lab.application(kept.function):
        if not lab.refused(Power.DELAY):
            if longest is not None:
                with raises(InvalidMessage, lab.capabilities.broker):
                    await lab.sender.send(queue, "never", delay=longest + 60)
            await lab.sender.send(queue, "much later", delay=min(longest or 1e9, 3600.0))
        await lab.sender.send(queue, "sentinel")
        await kept.gets(1)
        await lab.quiet()
    assert kept.payloads == ["sentinel"]


@check(11, 17)
async def a_handler_that_may_hold_longer_than_the_broker_lets_it_is_refused(lab: Lab) -> None:
    hold = lab.capabilities.max_hold
    queue = lab.queue()
    handler = lab.unlisted(queue).does(accept, timeout=(hold or 1e6) + 60)
    if hold is not None:
        with lab.refusal(queue.name):
            async with lab.application(handler):
                pass
        return
    kept = Kept(lab, queue, str, timeout=1e6)
    async with lab.application(kept.function):
        await lab.sender.send(queue, "held as long as need be")
        await kept.gets_just(1)


@check(17)
async def an_option_of_the_broker_that_nobody_knows_is_refused(lab: Lab) -> None:
    url = lab.harness.url
    asking = f"{url}{'&' if '?' in url else '?'}no_such_option=1"
    for options in (
        BindingOptions(url=asking, wait=lab.patience),
        BindingOptions(url=url, options={"no_such_option": 1}, wait=lab.patience),
    ):
        with raises(ConfigurationError, "no_such_option"):
            binding: Binding = binding_for(options.url)(options)
            try:
                await binding.connect(lambda _: None)
            finally:
                await binding.close(lab.patience)


@check(1, 17)
async def a_refusal_disturbs_nothing_that_runs(lab: Lab) -> None:
    queue, exchange = lab.queue(), lab.exchange()
    handler = lab.handler(queue).does(accept)
    wrong: Exchange[str] = Exchange(exchange.name, str, kind="fanout")
    async with lab.application(handler, topology=[exchange]):
        sending = asyncio.create_task(lab.send_all(queue, numbered("steady", 40)))
        for _ in range(3):
            try:
                await lab.declare(wrong)
            except (ConfigurationError, UnsupportedCapability):
                continue
        await sending
        await lab.accepts(handler, 40)
        await lab.quiet(handler)
