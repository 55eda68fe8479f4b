"""From when on a queue receives: its declaration, unless it asks for more and the broker keeps it."""

import asyncio
from datetime import UTC, datetime

from msgkit.spi import Power
from msgkit.testing.conformance.handlers import accept, numbered
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Exchange, Queue, Start

__all__: list[str] = []


@check(2)
async def a_new_queue_gets_nothing_from_before_it_was_declared(lab: Lab) -> None:
    exchange = lab.exchange()
    await lab.declare(exchange)
    await lab.send_all(exchange, numbered("before", 10), subject="x")
    handler = lab.handler(lab.queue("late", exchange.where())).does(accept)
    async with lab.application(handler):
        await lab.send_all(exchange, numbered("after", 10), subject="x")
        await lab.accepts(handler, 10)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == numbered("after", 10)


@check(2)
async def a_declared_queue_gets_everything_long_before_anybody_listens(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("early", exchange.where("a.*"))
    await lab.declare(queue)
    await lab.send_all(exchange, numbered("waits", 20), subject="a.b")
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 20)
        await lab.quiet(handler)


@check(2)
async def the_first_message_after_declaring_is_not_missed(lab: Lab) -> None:
    """Where a group finds its place by looking for the end, the end must not move meanwhile."""
    exchange = lab.exchange()
    await lab.declare(exchange)
    handlers = [lab.handler(lab.queue(f"new{n}", exchange.where())).does(accept) for n in range(5)]
    for number, handler in enumerate(handlers):
        await lab.declare(handler.queue)
        await lab.send(exchange, f"first after {number}", subject="x")
    async with lab.application(*handlers):
        for number, handler in enumerate(handlers):
            await lab.accepts(handler, len(handlers) - number)
        await lab.quiet(*handlers)


@check(2)
async def nothing_is_missed_from_when_an_application_has_started(lab: Lab) -> None:
    exchange = lab.exchange()
    handler = lab.handler(lab.queue("jobs", exchange.where())).does(accept)
    async with lab.application(handler):
        await lab.send_all(exchange, numbered("at once", 5), subject="x")
        await lab.accepts(handler, 5)


@check(2, 18)
async def a_new_route_brings_nothing_from_before_it(lab: Lab) -> None:
    old, new = lab.exchange("old"), lab.exchange("new")
    name = lab.name("jobs")
    first = Queue(name, old.where())
    await lab.declare(first, new)
    await lab.send(old, "routed before", subject="x")
    await lab.send(new, "not routed yet", subject="x")
    handler = lab.handler(Queue(name, old.where(), new.where())).does(accept)
    async with lab.application(handler):
        await lab.send(new, "routed now", subject="x")
        await lab.accepts(handler, 2)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == ["routed before", "routed now"]


# -- start=


async def started(lab: Lab, exchange: Exchange[str], start: Start) -> Kept[str] | None:
    """Return a listener of a queue with a start; None where that was refused, as it has to be."""
    queue = lab.queue("replays", exchange.where("a.*"), start=start)
    kept = Kept(lab, queue, str)
    if not lab.refused(Power.START):
        return kept
    with lab.refusal(queue.name, "start"):
        async with lab.application(kept.function):
            pass
    return None


@check(2, 17)
async def a_queue_may_start_with_all_there_is(lab: Lab) -> None:
    exchange = lab.exchange()
    await lab.declare(exchange)
    await lab.sender.send_many(exchange, numbered("old", 10), subject="a.b")
    await lab.sender.send(exchange, "about another", subject="b.b")
    if (kept := await started(lab, exchange, "earliest")) is None:
        return
    async with lab.application(kept.function):
        await lab.sender.send(exchange, "new", subject="a.b")
        await kept.gets_just(11)
    assert sorted(kept.payloads) == ["new", *numbered("old", 10)]


@check(2, 17)
async def a_queue_may_start_at_a_moment(lab: Lab) -> None:
    exchange = lab.exchange()
    await lab.declare(exchange)
    await lab.sender.send_many(exchange, numbered("older", 5), subject="a.b")
    await asyncio.sleep(5 * lab.harness.tolerance)
    moment = datetime.fromtimestamp(lab.journal.now(), UTC)
    await asyncio.sleep(5 * lab.harness.tolerance)
    await lab.sender.send_many(exchange, numbered("newer", 5), subject="a.b")
    if (kept := await started(lab, exchange, moment)) is None:
        return
    async with lab.application(kept.function):
        await kept.gets_just(5)
    assert sorted(kept.payloads) == numbered("newer", 5)


@check(2, 3)
async def where_a_queue_started_counts_only_once(lab: Lab) -> None:
    exchange = lab.exchange()
    await lab.declare(exchange)
    await lab.sender.send_many(exchange, numbered("old", 5), subject="a.b")
    if (kept := await started(lab, exchange, "earliest")) is None:
        return
    async with lab.application(kept.function):
        await kept.gets_just(5)
    async with lab.application(kept.function):
        await lab.sender.send(exchange, "sentinel", subject="a.b")
        await kept.gets_just(6)
    assert kept.payloads[5] == "sentinel"
