"""Recovery: by itself, with everything back in its place."""

import asyncio
from functools import partial
from itertools import chain

from msgkit.errors import BrokerUnavailable
from msgkit.settlement import ACCEPT
from msgkit.spi import Down, Up
from msgkit.testing.conformance.handlers import accept, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


@check(13, needs=(Fault.CUT,))
async def an_application_recovers_again_and_again(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler) as app:
        for loss in range(4):
            async with lab.fault("connection-loss"):
                await lab.harness.cut_connections()
                await lab.send(queue, f"after loss {loss}")
                await lab.gets(handler, f"after loss {loss}")
            await lab.until(lambda: lab.is_healthy(app), "all well again")


@check(13, needs=(Fault.STOP,), limit=10)
async def a_broker_that_is_down_at_start_is_waited_for(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    await lab.harness.stop()
    back = asyncio.create_task(later(lab))
    patient = lab.harness.settings(wait_for_broker=4 * lab.patience)
    async with lab.application(handler, settings=patient):
        await back
        await lab.send(queue, "at last")
        await lab.accepts(handler, 1)


async def later(lab: Lab) -> None:
    await asyncio.sleep(0.3)
    await lab.harness.start()


@check(13, needs=(Fault.STOP,), limit=10)
async def a_broker_that_is_down_at_start_fails_at_once_where_that_is_asked(lab: Lab) -> None:
    handler = lab.unlisted(lab.queue()).does(accept)
    await lab.harness.stop()
    began = lab.journal.now()
    with raises(BrokerUnavailable):
        async with lab.application(handler, settings=lab.harness.settings(wait_for_broker=0)):
            pass
    assert lab.journal.now() - began < lab.patience
    await lab.harness.start()


@check(1, 13, needs=(Fault.STOP,), limit=10)
async def a_send_waits_for_the_broker_to_come_back(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "before")
        await lab.accepts(handler, 1)
        async with lab.fault("broker-stop"):
            await lab.harness.stop()
            back = asyncio.create_task(later(lab))
            assert await lab.offer(queue, "meanwhile", timeout=4 * lab.patience) == "confirmed"
            await back
            await lab.accepts(handler, 2)


@check(1, 13, needs=(Fault.STOP,), limit=10)
async def a_send_that_waited_in_vain_is_refused_and_never_arrives(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "before")
        await lab.accepts(handler, 1)
        async with lab.fault("broker-stop"):
            await lab.harness.stop()
            # The first may have been on its way when the broker went; the second was not.
            await lab.offer(queue, "first", timeout=0.3)
            began = lab.journal.now()
            assert await lab.offer(queue, "in vain", timeout=0.3) == "refused"
            assert lab.journal.now() - began <= 0.3 + lab.patience
            await lab.harness.start()
            await lab.until(lambda: send_works(lab, queue), "sending works again")
            await lab.gets(handler, "probe")
            await lab.quiet(handler)
    assert "in vain" not in handler.payloads


async def send_works(lab: Lab, queue: Queue[str]) -> bool:
    return await lab.offer(queue, "probe", timeout=1.0) == "confirmed"


@check(13, needs=(Fault.STOP,), limit=10)
async def health_tells_of_a_broker_that_is_down(lab: Lab) -> None:
    handler = lab.handler(lab.queue()).does(accept)
    async with lab.application(handler) as app:
        assert await lab.is_healthy(app)
        async with lab.fault("broker-stop"):
            await lab.harness.stop()
            await lab.until(lambda: lab.is_healthy(app, well=False), "bad health")
            await lab.harness.start()
            await lab.until(lambda: lab.is_healthy(app), "good health", within=3 * lab.patience)


@check(2, 13, needs=(Fault.STOP,), limit=10)
async def exchanges_queues_and_routes_are_there_after_a_restart(lab: Lab) -> None:
    exchange = lab.exchange()
    handlers = [lab.handler(lab.queue(f"route{n}", exchange.where(f"*.{n}"))).does(accept) for n in range(3)]
    async with lab.application(*handlers):
        await lab.send_all(exchange, ["before"], subject="a.0")
        async with lab.fault("broker-stop"):
            await lab.harness.stop()
            await lab.harness.start()
            for number in range(3):
                await lab.send(exchange, f"after {number}", subject=f"a.{number}")
            for number, handler in enumerate(handlers):
                await lab.gets(handler, f"after {number}")
            # What was accepted while the broker could not be told comes again, to whoever is still there.
            for handler in handlers:
                await lab.until(partial(lab.is_settled, handler.queue), f"{handler.queue.name} empty")


@check(13, needs=(Fault.CUT,))
async def a_receiver_recovers(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    taken: list[str] = []
    async with lab.sender.receiver(queue) as receiver:
        for phase in ("before", "after"):
            for payload in numbered(phase, 3):
                await lab.sender.send(queue, payload)
            while not set(numbered(phase, 3)) <= set(taken):
                for delivery in await receiver.take(3, timeout=lab.patience):
                    await delivery.settle(ACCEPT)
                    taken.append(delivery.payload)
            await asyncio.sleep(3 * lab.harness.tolerance)
            if phase == "before":
                await lab.harness.cut_connections()
    assert set(taken) == {*chain(numbered("before", 3), numbered("after", 3))}


@check(13, needs=(Fault.CUT,))
async def the_seam_says_when_it_is_down_and_when_up_again(lab: Lab) -> None:
    events: list[object] = []
    binding = lab.harness.binding("watched")
    await binding.connect(events.append)
    try:
        await lab.harness.cut_connections()
        await lab.until(lambda: any(isinstance(event, Down) for event in events), "a Down")
        await lab.until(lambda: isinstance(events[-1], Up), "an Up after it")
    finally:
        await binding.close(lab.patience)


@check(12, 13, needs=(Fault.STOP,), limit=10)
async def an_application_can_be_stopped_while_the_broker_is_down(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    began = 0.0
    async with lab.application(handler, settings=lab.harness.settings(drain=0.5)):
        await lab.send(queue, "before")
        await lab.accepts(handler, 1)
        await asyncio.sleep(lab.capabilities.settle_window + 3 * lab.harness.tolerance)
        await lab.harness.stop()
        began = lab.journal.now()
    assert lab.journal.now() - began < 2 * lab.patience
    await lab.harness.start()


@check(12, 13, needs=(Fault.PAUSE,), limit=10)
async def an_application_can_be_stopped_while_the_broker_is_frozen(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    began = 0.0
    async with lab.application(handler, settings=lab.harness.settings(drain=0.5)):
        await lab.send(queue, "before")
        await lab.accepts(handler, 1)
        await asyncio.sleep(lab.capabilities.settle_window + 3 * lab.harness.tolerance)
        await lab.harness.pause()
        began = lab.journal.now()
    assert lab.journal.now() - began < 3 * lab.patience
    await lab.harness.resume()
