"""Coming and going: nothing happens on construction, closing is for ever and harmless, queues wait."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from msgkit.application import Application
from msgkit.errors import Closed, ConfigurationError
from msgkit.template import MessageTemplate, SyncTemplate
from msgkit.testing.conformance.handlers import accept, numbered, takes
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.leaks import Leaks
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check

__all__: list[str] = []


def makes_everything(lab: Lab) -> list[object]:
    queue = lab.queue()
    return [
        lab.harness.binding("made"),
        MessageTemplate(lab.settings()),
        SyncTemplate(lab.settings()),
        Application([Kept(lab, queue, str).function], settings=lab.settings()),
    ]


@check(13)
async def making_things_starts_nothing(lab: Lab) -> None:
    leaks = Leaks()
    made = makes_everything(lab)
    await asyncio.sleep(0)
    assert leaks.found() == []
    assert all(str(each) for each in made)


@check(13, needs=(Fault.STOP,))
async def making_things_asks_for_no_broker(lab: Lab) -> None:
    await lab.harness.stop()
    began = lab.journal.now()
    makes_everything(lab)
    assert lab.journal.now() - began < lab.patience / 2
    await lab.harness.start()


@check(13)
async def closing_twice_is_harmless(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    template = MessageTemplate(lab.settings())
    async with template:
        await template.send(queue, "sent")
        await template.close()
        await template.close()
    async with lab.binding() as binding:
        await asyncio.gather(*(binding.close(lab.patience) for _ in range(3)))
        await binding.close(lab.patience)
    never = lab.harness.binding("never connected")
    await never.close(lab.patience)


@check(3, 13)
async def a_consumer_may_be_drained_and_closed_twice(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("waits", 3))
    async with lab.tap(queue, credit=2) as tap:
        await lab.until(lambda: len(tap.deliveries) == 2, "two deliveries")
        for _ in range(2):
            await tap.consumer.drain()
        tap.consumer.credit(5)
        await lab.quiet()
        assert len(tap.deliveries) == 2, "delivered after it was drained"
        tap.release_all()
        for _ in range(2):
            await tap.consumer.close()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 3)
        await lab.quiet(handler)


@check(1, 13)
async def a_template_can_be_used_again_only_after_it_is_entered_again(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    template = MessageTemplate(lab.settings())
    for payload in numbered("round", 3):
        async with template:
            await lab.send(queue, payload, via=template)
        with raises(Closed):
            await template.send(queue, "between")
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 3)
        await lab.quiet(handler)


@check(12, 13)
async def leaving_by_an_error_closes_too(lab: Lab) -> None:
    queue = lab.queue()
    leaks = Leaks()
    kept = Kept(lab, queue, str)
    with raises(KeyError):
        async with lab.application(kept.function) as app:
            await app.template.send(queue, "sent")
            await kept.gets(1)
            raise KeyError
    await lab.until(lambda: not leaks.found(), "nothing left running")
    with raises(Closed):
        await app.template.send(queue, "too late")


@check(12)
async def a_queue_that_does_not_start_by_itself_waits_for_resume(lab: Lab) -> None:
    queue, other = lab.queue(), lab.queue("other")
    handler = lab.handler(queue).does(accept, autostart=False)
    running = lab.handler(other).does(accept)
    async with lab.application(handler, running) as app:
        await lab.send_all(queue, numbered("waits", 5))
        await lab.send_all(other, numbered("flows", 5))
        await lab.accepts(running, 5)
        await lab.quiet(handler)
        assert handler.payloads == [], "it started by itself"
        await app.resume(queue)
        await lab.accepts(handler, 5)


@check(12)
async def pausing_one_queue_stops_no_other(lab: Lab) -> None:
    paused, running = (lab.handler(lab.queue(word)).does(accept) for word in ("paused", "running"))
    async with lab.application(paused, running) as app:
        await app.pause(paused.queue)
        await lab.send_all(paused.queue, numbered("held", 5))
        await lab.send_all(running.queue, numbered("flows", 5))
        await lab.accepts(running, 5)
        await lab.quiet(paused)
        assert paused.payloads == [], "it was paused"
        await app.resume(paused.queue)
        await lab.accepts(paused, 5)
        await app.resume(paused.queue)
        with raises(ConfigurationError):
            await app.pause(lab.queue("unknown"))
        await lab.quiet(paused, running)


@check(3, 12)
async def pausing_again_and_again_loses_and_repeats_nothing(lab: Lab) -> None:
    handler = lab.handler(lab.queue()).does(takes(0.002), concurrency=4, max_in_flight=8)
    async with lab.application(handler) as app:
        sending = asyncio.create_task(lab.send_all(handler.queue, numbered("steady", 80)))
        for turn in range(10):
            await lab.accepts(handler, 6 * turn)
            await app.pause(handler.queue)
            await app.resume(handler.queue)
        await sending
        await lab.accepts(handler, 80)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == numbered("steady", 80)


@check(13)
async def health_tells_how_brokers_and_queues_fare(lab: Lab) -> None:
    queue = lab.queue()
    app = Application([Kept(lab, queue, str).function], settings=lab.settings())
    assert (await app.health())["status"] == "stopped"
    async with app:
        await app.template.send(queue, "one")
        await lab.until(lambda: handled(app, queue.name, 1), "one counted as handled")
        health = await app.health()
        assert health["status"] == "up"
        brokers = cast("Mapping[str, Mapping[str, Any]]", health["brokers"])
        assert brokers["default"]["connected"] is True
    assert (await app.health())["status"] == "stopped"


async def handled(app: Application, queue: str, n: int) -> bool:
    queues = cast("Mapping[str, Mapping[str, Any]]", (await app.health())["queues"])
    return bool(queues[queue]["handled"] == n)
