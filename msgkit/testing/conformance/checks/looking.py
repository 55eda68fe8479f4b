"""Looking at queues without taking from them, emptying them, and reading them again; or refused."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

from msgkit.errors import UnsupportedCapability
from msgkit.naming import Naming
from msgkit.spi import Depth, Inspectable, Power, QueueSpec, Replayable
from msgkit.testing.conformance.handlers import accept, numbered
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue, Route

__all__: list[str] = []


def spec(lab: Lab, queue: Queue[str]) -> QueueSpec:
    return Naming(lab.settings()).queue_spec(queue)


# -- browse


@check(17)
async def browsing_shows_what_waits_and_takes_nothing(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("waits", 5), key="k", headers={"h": 2**62})
    if lab.refused(Power.BROWSE):
        with lab.refusal(queue.name):
            async for _ in lab.sender.browse(queue):
                pass
    else:
        for _ in range(2):
            found = [message async for message in lab.sender.browse(queue)]
            assert [message.payload for message in found] == numbered("waits", 5)
            assert {(message.key, message.headers["h"]) for message in found} == {("k", 2**62)}
        some = [message.payload async for message in lab.sender.browse(queue, limit=2)]
        assert some == numbered("waits", 2)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 5)
        await lab.quiet(handler)
    assert all(seen.attempt == 1 for seen in handler.seen), "looking was counted"


@check(17)
async def browsing_an_empty_queue_ends(lab: Lab) -> None:
    if lab.refused(Power.BROWSE):
        return
    queue = lab.queue()
    await lab.declare(queue)
    async with asyncio.timeout(lab.patience):
        assert [message async for message in lab.sender.browse(queue)] == []


@check(7, 17)
async def browsing_shows_dead_letters(lab: Lab) -> None:
    if lab.refused(Power.BROWSE):
        return
    queue = lab.queue()
    await lab.declare(queue)
    await lab.sender.send(queue.dead_letters, b"buried \xff")
    found = [message.payload async for message in lab.sender.browse(queue.dead_letters)]
    assert found == [b"buried \xff"]
    await lab.dead(queue)


# -- depth and purge


def agrees(depth: Depth | None, *, ready: int, unsettled: int = 0) -> bool:
    """Is that what the broker says? It must say something."""
    return depth is not None and depth.agrees(ready=ready, unsettled=unsettled)


@check(17)
async def depth_counts_what_waits_and_what_is_in_hand(lab: Lab) -> None:
    if lab.refused(Power.INSPECT):
        return
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=2, max_in_flight=2)
    await lab.declare(queue)
    assert agrees(await lab.depth(queue), ready=0)
    await lab.send_all(queue, numbered("waits", 5))
    assert agrees(await lab.depth(queue), ready=5)
    async with lab.application(handler):
        await lab.reached(gate, 2)
        assert agrees(await lab.depth(queue), ready=3, unsettled=2)
        gate.open()
        await lab.accepts(handler, 5)


@check(17)
async def purging_empties_a_queue_and_nothing_else(lab: Lab) -> None:
    if lab.refused(Power.INSPECT):
        return
    exchange = lab.exchange()
    purged, other = (lab.queue(word, exchange.where()) for word in ("purged", "other"))
    await lab.declare(purged, other)
    await lab.sender.send_many(exchange, numbered("old", 5), subject="x")
    async with lab.binding() as binding:
        assert isinstance(binding, Inspectable), "depth and purge are declared, but not offered"
        assert await binding.purge(spec(lab, purged)) == 5
        assert agrees(await binding.depth(spec(lab, purged)), ready=0)
    kept = [Kept(lab, queue, str) for queue in (purged, other)]
    async with lab.application(*(each.function for each in kept)):
        await lab.sender.send(exchange, "new", subject="x")
        await kept[0].gets_just(1)
        await kept[1].gets_just(6)
    assert kept[0].payloads == ["new"]


@check(17)
async def purging_takes_nothing_out_of_a_consumers_hands(lab: Lab) -> None:
    if lab.refused(Power.INSPECT):
        return
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate)
    async with lab.application(handler):
        await lab.send(queue, "in hand")
        await lab.reached(gate)
        async with lab.binding() as binding:
            assert isinstance(binding, Inspectable)
            await binding.purge(spec(lab, queue))
        gate.open()
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


# -- replay


def rereadable(lab: Lab, route: Route[str]) -> Queue[str]:
    return lab.queue("replays", route, options=lab.harness.rereadable)


async def replayed(lab: Lab, to: Literal["earliest", "latest"] | datetime, kept: Kept[str]) -> int | None:
    """Seek, as far as that can be had; None where it was refused, as declared."""
    async with lab.binding() as binding:
        if not lab.refused(Power.REPLAY):
            assert isinstance(binding, Replayable), "replay is declared, but not offered"
            return await binding.seek(spec(lab, kept.queue), to)
        if isinstance(binding, Replayable):
            with lab.refusal():
                await binding.seek(spec(lab, kept.queue), to)
    return None


@check(2, 17)
async def a_queue_can_be_read_again_from_its_beginning(lab: Lab) -> None:
    exchange = lab.exchange()
    kept = Kept(lab, rereadable(lab, exchange.where("a.*")), str)
    async with lab.application(kept.function):
        await lab.sender.send_many(exchange, numbered("past", 5), subject="a.b")
        await lab.sender.send(exchange, "of another", subject="b.b")
        await kept.gets_just(5)
    if await replayed(lab, "earliest", kept) is None:
        return
    async with lab.application(kept.function):
        await lab.sender.send(exchange, "new", subject="a.b")
        await kept.gets_just(11)
    assert sorted(kept.payloads[5:]) == ["new", *numbered("past", 5)]


@check(2, 17)
async def a_queue_can_be_read_again_from_a_moment_on(lab: Lab) -> None:
    exchange = lab.exchange()
    kept = Kept(lab, rereadable(lab, exchange.where()), str)
    async with lab.application(kept.function):
        await lab.sender.send_many(exchange, numbered("older", 3), subject="a")
        await kept.gets(3)
        await asyncio.sleep(5 * lab.harness.tolerance)
        moment = datetime.fromtimestamp(lab.journal.now(), UTC)
        await asyncio.sleep(5 * lab.harness.tolerance)
        await lab.sender.send_many(exchange, numbered("newer", 3), subject="a")
        await kept.gets_just(6)
    if await replayed(lab, moment, kept) is None:
        return
    async with lab.application(kept.function):
        await kept.gets_just(9)
    assert sorted(kept.payloads[6:]) == numbered("newer", 3)


@check(2, 17)
async def a_queue_can_be_read_again_while_it_is_consumed(lab: Lab) -> None:
    exchange = lab.exchange()
    kept = Kept(lab, rereadable(lab, exchange.where()), str)
    async with lab.application(kept.function):
        await lab.sender.send_many(exchange, numbered("past", 5), subject="a")
        await kept.gets_just(5)
        if await replayed(lab, "earliest", kept) is None:
            return
        await lab.sender.send(exchange, "new", subject="a")
        await kept.gets_just(11)
    assert sorted(kept.payloads) == sorted([*numbered("past", 5), *numbered("past", 5), "new"])


@check(2, 17)
async def a_queue_can_skip_what_waits(lab: Lab) -> None:
    exchange = lab.exchange()
    kept = Kept(lab, rereadable(lab, exchange.where()), str)
    await lab.declare(kept.queue)
    if lab.refused(Power.REPLAY):
        return
    await lab.sender.send_many(exchange, numbered("skipped", 5), subject="a")
    await replayed(lab, "latest", kept)
    async with lab.application(kept.function):
        await lab.sender.send(exchange, "new", subject="a")
        await kept.gets_just(1)
    assert kept.payloads == ["new"]


# -- beneath


@check(17)
async def what_no_client_library_has_is_not_lent(lab: Lab) -> None:
    class Nothing:
        """What nobody makes."""

    with raises(UnsupportedCapability):
        async with lab.sender.native(Nothing):
            pass
