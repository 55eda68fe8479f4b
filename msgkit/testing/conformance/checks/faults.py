"""At least once: what was confirmed is handled, whatever happens to the broker or its consumers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

from msgkit.spi import Power
from msgkit.testing.conformance.handlers import Handler, accept, numbered, takes
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.ledger.records import FaultKind
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

FEW = 20


@asynccontextmanager
async def under_load(lab: Lab, queue: Queue[str], handlers: Sequence[Handler]) -> AsyncGenerator[None]:
    """Send all the while, and handle slowly; on leaving, everything confirmed has been handled."""
    outcomes: list[str] = []
    stop = asyncio.Event()

    confirmed: set[str] = set()

    async def produce() -> None:
        while not stop.is_set():
            payload = f"load{len(outcomes):05}"
            outcomes.append(await lab.offer(queue, payload))
            if outcomes[-1] == "confirmed":
                confirmed.add(payload)
            await asyncio.sleep(0.002)

    async with lab.application(*handlers):
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            await lab.until(lambda: len(outcomes) >= FEW, "the first messages confirmed")
            yield
            resumed = len(confirmed) + FEW
            await lab.until(lambda: len(confirmed) >= resumed, "messages confirmed after the fault")
            stop.set()
        # What is not known to be sent may be handled as well: that counts for none of them.
        await lab.until(
            lambda: confirmed <= {*chain(*(each.accepted for each in handlers))},
            "every confirmed message handled",
        )


async def survives(lab: Lab, kind: FaultKind, fault: Sequence[str], pause: float = 0.1) -> None:
    """Do a fault under load, by calling methods of the harness one after the other."""
    queue = lab.queue()
    handler = lab.handler(queue).does(takes(0.002), concurrency=4)
    async with under_load(lab, queue, [handler]), lab.fault(kind):
        for method in fault:
            await getattr(lab.harness, method)()
            await asyncio.sleep(pause)
        seen = len(handler.accepted)
        await lab.until(lambda: len(handler.accepted) > seen, "a message handled after the fault")


@check(3, 13, needs=(Fault.CUT,))
async def a_lost_connection_loses_no_confirmed_message(lab: Lab) -> None:
    await survives(lab, "connection-loss", ["cut_connections"])


@check(3, 13, needs=(Fault.CUT,))
async def connections_lost_again_and_again_lose_no_confirmed_message(lab: Lab) -> None:
    await survives(lab, "connection-loss", ["cut_connections"] * 5, pause=0.03)


@check(3, 13, needs=(Fault.STOP,), limit=10)
async def a_broker_restart_loses_no_confirmed_message(lab: Lab) -> None:
    await survives(lab, "broker-stop", ["stop", "start"])


@check(3, 13, needs=(Fault.KILL,), limit=10)
async def a_killed_broker_loses_no_confirmed_message(lab: Lab) -> None:
    await survives(lab, "broker-kill", ["kill", "start"])


@check(3, 13, needs=(Fault.KILL,), limit=10)
async def a_broker_killed_as_soon_as_a_queue_is_there_loses_no_confirmed_message(lab: Lab) -> None:
    # Nothing is made after it: not its dead letters, and nothing that all queues share.
    queue = lab.queue(dead_letters=False)
    await lab.declare(lab.queue("elder"))
    await lab.declare(queue)
    handler = lab.handler(queue).does(accept)
    async with lab.fault("broker-kill"):
        await lab.send_all(queue, numbered("young", FEW))
        await lab.harness.kill()
        await lab.harness.start()
        async with lab.application(handler):
            await lab.until(lambda: {*handler.accepted} == {*numbered("young", FEW)}, "every message handled")
            # And it takes more.
            await lab.send(queue, "afterwards")
            await lab.gets(handler, "afterwards")


@check(3, 13, needs=(Fault.PAUSE,), limit=10)
async def a_frozen_broker_loses_no_confirmed_message(lab: Lab) -> None:
    await survives(lab, "pause", ["pause", "resume"])


@check(3, needs=(Fault.SLOW,))
async def a_slow_broker_neither_loses_nor_repeats_anything(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept, concurrency=4)
    async with lab.application(handler):
        await lab.harness.slow(0.02)
        await lab.send_all(queue, numbered("slow", FEW))
        await lab.accepts(handler, FEW)
        await lab.harness.slow(0)
        await lab.quiet(handler)


@check(3, 11, needs=(Fault.CUT,))
async def what_was_being_handled_when_the_connection_was_lost_comes_again(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=3)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("held", 3))
        await lab.reached(gate, 3)
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            times = 1 if lab.capabilities.leases else 2
            await lab.until(lambda: len(gate.reached) == 3 * times, "each of the three again")
            gate.open()
            await lab.accepts(handler, 3)
        await lab.quiet(handler)
    assert len(gate.reached) == 3 * times
    assert sorted(set(handler.accepted)) == numbered("held", 3)


@check(3, needs=(Fault.CUT,))
async def what_was_accepted_before_the_connection_was_lost_never_returns(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("done", FEW))
        await lab.accepts(handler, FEW)
        # By then a settlement has reached the broker, whatever it is coalesced with.
        await asyncio.sleep(lab.capabilities.settle_window + 3 * lab.harness.tolerance)
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            await lab.send(queue, "sentinel")
            await lab.accepts(handler, FEW + 1)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == [*numbered("done", FEW), "sentinel"]


@check(3)
async def what_was_accepted_never_returns_to_the_next_application(lab: Lab) -> None:
    queue = lab.queue()
    first = lab.handler(queue, "first").does(accept, concurrency=4)
    async with lab.application(first):
        await lab.send_all(queue, numbered("done", FEW))
        await lab.accepts(first, FEW)
    second = lab.handler(queue, "second").does(accept, concurrency=4)
    async with lab.application(second):
        await lab.send(queue, "sentinel")
        await lab.accepts(second, 1)
        await lab.quiet(second)
    assert second.payloads == ["sentinel"]


@check(3)
async def what_waits_is_kept_while_nobody_listens(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("kept", FEW))
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, FEW)


@check(3)
async def without_a_fault_nothing_is_lost_and_nothing_comes_twice(lab: Lab) -> None:
    queue = lab.queue()
    handlers = [lab.handler(queue, f"consumer-{n}").does(accept, concurrency=4) for n in range(3)]
    async with (
        lab.application(handlers[0]),
        lab.application(handlers[1]),
        lab.application(handlers[2]),
    ):
        await asyncio.gather(*(lab.send_all(queue, numbered(f"sender{n}-", 50)) for n in range(4)))
        await lab.until(lambda: sum(len(handler.accepted) for handler in handlers) >= 200, "200 handled")
        await lab.quiet(*handlers)


@check(3, needs=(Fault.SPAWN,), limit=12)
async def what_a_killed_process_was_handling_goes_to_another(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    victim = await lab.spawn(queue, "victim", "hangs", concurrency=4)
    await lab.send_all(queue, numbered("held", 4))
    await lab.until(lambda: lab.begun("victim") == 4, "the victim at work on all four")
    heir = lab.handler(queue, "heir").does(accept)
    async with lab.application(heir), lab.fault("consumer-kill", "victim"):
        await victim.kill()
        await lab.accepts(heir, 4)


@check(3, 11, needs=(Fault.REVOKE,))
async def what_is_revoked_is_neither_lost_nor_handled_twice(lab: Lab) -> None:
    queue = lab.queue()
    handlers = [lab.handler(queue, name).does(takes(0.01), concurrency=2) for name in ("a", "b")]
    async with lab.application(handlers[0]), lab.application(handlers[1]):
        for phase in range(3):
            await lab.send_all(queue, numbered(f"phase{phase}-", FEW))
            await lab.harness.revoke(queue)
        await lab.until(lambda: sum(len(handler.accepted) for handler in handlers) >= 3 * FEW, "all handled")
        await lab.quiet(*handlers)


@check(3, 11, needs=(Fault.EXPIRE,))
async def what_is_taken_from_its_consumer_is_handled_all_the_same(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(takes(0.01), concurrency=2)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("taken", FEW))
        async with lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            await lab.until(lambda: len(set(handler.accepted)) == FEW, "each of them handled")
            if lab.capabilities.settle_window == 0:
                await lab.quiet(handler)
            else:
                # What was accepted last may come again.
                await lab.until(lambda: lab.is_settled(queue), "all settled")


@check(3, 7, needs=(Fault.FAIL_SETTLEMENTS,))
async def a_settlement_that_fails_is_tried_again(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler) as app:
        await lab.harness.fail_settlements(3)
        await lab.send(queue, "once")
        await lab.accepts(handler, 1)
        await lab.until(lambda: lab.is_settled(queue), "the settlement taken at last")
        await lab.until(lambda: lab.is_healthy(app), "all well again")
    assert handler.payloads == ["once"]


@check(2, 3, needs=(Fault.CUT,))
async def every_queue_of_an_exchange_keeps_its_copy_through_a_fault(lab: Lab) -> None:
    exchange = lab.exchange()
    queues = [lab.queue(f"copy{n}", exchange.where()) for n in range(3)]
    handlers = [lab.handler(queue).does(takes(0.002)) for queue in queues]
    async with lab.application(*handlers):
        await lab.send_all(exchange, numbered("before", FEW), subject="a.b")
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            await lab.send_all(exchange, numbered("after", FEW), subject="a.b")
            for handler in handlers:
                await lab.covers(2 * FEW, handler)


@check(3, needs=(Fault.STOP,), limit=10)
async def what_waits_is_there_after_a_broker_restart(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("kept", FEW))
    await lab.harness.stop()
    await lab.harness.start()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, FEW)
        if not lab.refused(Power.INSPECT):
            await lab.until(lambda: lab.is_settled(queue), "nothing left")
