"""Several brokers in one program, and names that settings change: kept apart, each where it belongs."""

from msgkit.errors import ConfigurationError
from msgkit.listener import listener
from msgkit.settings import Settings
from msgkit.spi import PlanAction, ProvisionMode
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import Handler, accept, numbered
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.provisioning import entries, provision
from msgkit.testing.conformance.raising import may_raise
from msgkit.testing.conformance.registry import check
from msgkit.topology import Exchange, Queue

__all__: list[str] = []


def two_brokers(lab: Lab) -> Settings:
    """Return settings with a second broker: the same one, under a prefix of its own."""
    url, prefix = lab.harness.url, f"{lab.name('second')}."
    return lab.harness.settings(brokers={"second": {"url": url, "prefix": prefix}})


@check(1, 2)
async def a_destination_lives_on_its_own_broker(lab: Lab) -> None:
    name = lab.name("jobs")
    here, there = Queue(name, str), Queue(name, str, broker="second")
    kept = [Kept(lab, queue, str) for queue in (here, there)]
    listeners = [each.function for each in kept]
    async with lab.application(*listeners, settings=two_brokers(lab)) as app:
        receipts = [await app.template.send(queue, queue.broker) for queue in (here, there)]
        for each in kept:
            await each.gets(1)
        await lab.quiet()
    assert [receipt.broker for receipt in receipts] == ["default", "second"]
    assert [each.payloads for each in kept] == [["default"], ["second"]]


@check(1, 3)
async def a_listener_carries_from_one_broker_to_the_other(lab: Lab) -> None:
    source = Exchange(lab.name("source"), str, broker="second")
    target = lab.queue("target")

    @listener(source.queue(lab.name("relay"), "a.*"))
    async def relays(text: str, template: MessageTemplate) -> None:
        await template.send(target, f"{text} carried")

    kept = Kept(lab, target, str)
    async with lab.application(relays, kept.function, settings=two_brokers(lab)) as app:
        for payload in numbered("event", 20):
            await app.template.send(source, payload, subject="a.b")
        await kept.gets_just(20)
    assert sorted(kept.payloads) == [f"{payload} carried" for payload in numbered("event", 20)]


@check(2)
async def prefixes_keep_programs_apart(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    blue, green = (lab.harness.settings(prefix=f"{lab.name(word)}.") for word in ("b", "g"))
    kept = [Kept(lab, queue, str) for _ in range(2)]
    async with (
        lab.application(kept[0].function, settings=blue) as first,
        lab.application(kept[1].function, settings=green) as second,
    ):
        await first.template.send(exchange, "blue event", subject="x")
        await first.template.send(queue, "blue job")
        await second.template.send(exchange, "green event", subject="x")
        await second.template.send(queue, "green job")
        for each in kept:
            await each.gets(2)
        await lab.quiet()
    assert sorted(kept[0].payloads) == ["blue event", "blue job"]
    assert sorted(kept[1].payloads) == ["green event", "green job"]


@check(7, 18)
async def a_prefix_stands_before_every_name(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    prefix = f"{lab.name('p')}."
    async with MessageTemplate(lab.harness.settings(prefix=prefix)) as template:
        await template.declare(exchange, queue)
    for word in (exchange.name, queue.name, queue.dead_letters.name):
        twin: Exchange[str] | Queue[str] = (
            Exchange(prefix + word, str) if word == exchange.name else Queue(prefix + word, str, dead_letters=False)
        )
        plan = await provision(lab, ProvisionMode.PLAN, twin)
        assert entries(plan, PlanAction.EXISTS, prefix + word), f"{word} has no prefix: {plan}"
    assert not (await provision(lab, ProvisionMode.PLAN, exchange)).clean


@check(2, 7)
async def settings_may_name_a_queue_and_its_dead_letters_follow(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    named, renamed = lab.name("named"), lab.name("renamed")
    settings = lab.harness.settings(queues={queue.name: {"name": named}}, exchanges={exchange.name: {"name": renamed}})
    wire, out = Queue(named, str), Exchange(renamed, str)
    got: list[str] = []

    @listener(queue)
    async def takes(text: str) -> None:
        got.append(text)
        lab.journal.pulse()

    async with lab.application(takes, settings=settings) as app:
        await app.template.send(exchange, "by its name in code", subject="x")
        await lab.sender.send(out, "by its name on the wire", subject="x")
        await lab.sender.send(Queue(wire.name, bytes), b"\xff", content_type="text/plain")
        await lab.until(lambda: len(got) == 2, "both")
        (dead,) = await lab.dead(wire)
    assert sorted(got) == ["by its name in code", "by its name on the wire"]
    assert dead.payload == b"\xff"


@check(10)
async def settings_may_say_how_a_queue_is_consumed(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    settings = lab.harness.settings(queues={queue.name: {"concurrency": 3, "attempts": 1}})
    handler = lab.handler(queue).does(gate)
    async with lab.application(handler, settings=settings):
        await lab.send_all(queue, numbered("at once", 6))
        await lab.reached(gate, 3)
        await lab.quiet(handler)
        gate.open()
        await lab.accepts(handler, 6)
    assert handler.most == 3


@check(2, 18)
async def two_names_that_the_broker_could_confuse_are_two_or_refused(lab: Lab) -> None:
    base = lab.name("shop")
    names = [f"{base}.a", f"{base}_a", f"{base}-a", f"{base}.A", f"{base}/a", f"{base}:ą", f"{base} a"]
    handlers: list[Handler] = []
    for name in names:
        queue = Queue(name, str)
        with may_raise(ConfigurationError, name) as refused:
            await lab.declare(queue)
        if refused.found is None:
            handlers.append(lab.handler(queue).does(accept))
    assert len(handlers) > 1
    async with lab.application(*handlers):
        for handler in handlers:
            await lab.send(handler.queue, f"for {handler.queue.name}")
        for handler in handlers:
            await lab.accepts(handler, 1)
        await lab.quiet(*handlers)
