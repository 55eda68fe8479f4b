"""Sending: a receipt means stored, a refusal means absent, and all else is said to be unknown."""

import asyncio

from msgkit.envelope import Envelope, Kind, Receipt, new_id
from msgkit.errors import Closed, MessagingError, SendRefused, Unroutable
from msgkit.spi import PlanAction, Power, ProvisionMode
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import accept, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.provisioning import entries, provision
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


@check(1)
async def a_receipt_means_that_a_fresh_consumer_gets_the_message(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    async with MessageTemplate(lab.settings()) as template:
        for payload in numbered("sent", 20):
            await lab.send(queue, payload, via=template)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 20)


@check(1)
async def a_receipt_says_which_message_went_where(lab: Lab) -> None:
    queue, exchange = lab.queue(), lab.exchange()
    await lab.declare(queue, exchange)
    for to in (queue, exchange):
        receipt = await lab.sender.send(to, "one", message_id=f"id for {to.name}")
        assert receipt.message_id == f"id for {to.name}"
        assert (receipt.destination, receipt.broker) == (to.name, "default")


@check(1)
async def sends_side_by_side_get_the_receipts_of_their_own_messages(lab: Lab) -> None:
    queues = [lab.queue(f"good{n}") for n in range(3)]
    await lab.declare(*queues)
    targets = [*queues, lab.queue("absent")] * 25
    ids = [lab.name("message") for _ in targets]
    results = await asyncio.gather(
        *(lab.sender.send(to, name, message_id=name) for to, name in zip(targets, ids, strict=True)),
        return_exceptions=True,
    )
    for to, name, result in zip(targets, ids, results, strict=True):
        if to in queues:
            assert isinstance(result, Receipt), result
            assert (result.message_id, result.destination) == (name, to.name)
        else:
            assert isinstance(result, SendRefused), result


@check(1)
async def a_queue_that_is_absent_refuses_and_is_not_made(lab: Lab) -> None:
    queue = lab.queue()
    assert await lab.offer(queue, "lost") == "refused"
    plan = await provision(lab, ProvisionMode.PLAN, queue)
    assert entries(plan, PlanAction.CREATE, queue.name), f"sending made {queue.name}"
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "sentinel")
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(1)
async def an_exchange_that_is_absent_refuses_and_is_not_made(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    assert await lab.offer(exchange, "lost", subject="x") == "refused"
    plan = await provision(lab, ProvisionMode.PLAN, exchange)
    assert entries(plan, PlanAction.CREATE, exchange.name), f"sending made {exchange.name}"
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(exchange, "sentinel", subject="x")
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(1)
async def a_refused_send_harms_no_other_and_no_consumer(lab: Lab) -> None:
    queue, absent = lab.queue(), lab.queue("absent")
    # One is being handled meanwhile: it would come again with another connection or channel.
    gate = lab.gate("in hand")
    handler = lab.handler(queue).does(gate, concurrency=2)
    async with lab.application(handler) as app:
        await lab.send(queue, "in hand")
        await lab.reached(gate)
        for phase in ("first", "second"):
            results = await asyncio.gather(
                *(lab.send(queue, each, via=app.template) for each in numbered(phase, 20)),
                *(app.template.send(absent, each) for each in numbered("astray", 5)),
                return_exceptions=True,
            )
            refused = [each for each in results if isinstance(each, SendRefused)]
            assert len(refused) == 5, results
        gate.open()
        await lab.accepts(handler, 41)
        await lab.quiet(handler)


@check(1, needs=(Fault.REFUSE,))
async def what_the_broker_refuses_is_nowhere(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.harness.refuse(queue.name, 3)
        outcomes = [await lab.offer(queue, each) for each in numbered("offered", 5)]
        assert outcomes == ["refused"] * 3 + ["confirmed"] * 2
        await lab.accepts(handler, 2)
        await lab.quiet(handler)


@check(1, needs=(Fault.LOSE_CONFIRM,))
async def a_lost_confirm_is_unknown_and_nothing_is_there_twice(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "before")
    there = ["before", "stored"]
    async with lab.fault("connection-loss"):
        for payload, stored in (("stored", True), ("not stored", False)):
            await lab.harness.lose_confirm(stored=stored)
            # A broker that tells the same send when it comes again may be asked until it is known.
            outcome = await lab.offer(queue, payload, timeout=lab.patience)
            assert outcome == "unknown" or (outcome == "confirmed" and lab.capabilities.settles_sends)
            if outcome == "confirmed" and not stored:
                there.append(payload)
            # The sender is back when this is confirmed.
            await lab.send(queue, f"after {payload}")
            there.append(f"after {payload}")
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, len(there))
        await lab.quiet(handler)
    assert sorted(handler.payloads) == sorted(there)


@check(1, needs=(Fault.PAUSE,))
async def a_send_to_a_frozen_broker_is_unknown_when_its_time_is_up(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    # By one key, since it goes where somebody is connected by then: what cannot even be begun is refused.
    await lab.send(queue, "before", key="k")
    async with lab.fault("pause"):
        await lab.harness.pause()
        began = lab.journal.now()
        assert await lab.offer(queue, "frozen", key="k", timeout=0.3) == "unknown"
        assert 0.3 <= lab.journal.now() - began + lab.harness.tolerance < lab.patience
        await lab.harness.resume()
        await lab.send(queue, "after", timeout=lab.patience)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.until(lambda: {"before", "after"} <= set(handler.accepted), "what was confirmed")
        await lab.quiet(handler)


@check(1, 13, needs=(Fault.STOP,), limit=10)
async def a_send_that_never_reached_its_broker_is_refused_when_its_time_is_up(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.harness.stop()
    patient = lab.harness.settings(wait_for_broker=20 * lab.patience)
    async with MessageTemplate(patient) as template:
        began = lab.journal.now()
        with raises(SendRefused, queue.name):
            await lab.send(queue, "in vain", via=template, timeout=0.3)
        assert lab.journal.now() - began < lab.patience
        await lab.harness.start()
        await lab.send(queue, "after", via=template, timeout=3 * lab.patience)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(1, 13, needs=(Fault.STOP,), limit=10)
async def a_template_that_is_closed_while_it_connects_leaves_nothing(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.harness.stop()
    template = MessageTemplate(lab.harness.settings(wait_for_broker=20 * lab.patience))
    sending = asyncio.create_task(template.send(queue, "never"))
    await lab.quiet()
    await template.close()
    await lab.harness.start()
    with raises(MessagingError):
        await sending
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "sentinel", timeout=3 * lab.patience)
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(1, needs=(Fault.STOP,), limit=10)
async def a_send_that_is_cancelled_while_it_waits_stores_nothing(lab: Lab) -> None:
    """What waits for the connection was not written; the ledger knows nothing of it either."""
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "before")
    async with lab.fault("broker-stop"):
        await lab.harness.stop()
        sending = asyncio.create_task(lab.sender.send(queue, "cancelled"))
        await lab.quiet()
        assert not sending.done(), "the send did not wait"
        sending.cancel()
        await asyncio.wait({sending})
        await lab.harness.start()
        await lab.send(queue, "after", timeout=3 * lab.patience)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 2)
        await lab.quiet(handler)


@check(1, needs=(Fault.SLOW,))
async def a_send_that_is_cancelled_after_it_was_written_is_not_sent_again(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function) as app:
        await app.template.send(queue, "before")
        await lab.harness.slow(0.1)
        sending = asyncio.create_task(app.template.send(queue, "cancelled"))
        await asyncio.sleep(0.03)
        sending.cancel()
        await asyncio.wait({sending})
        await app.template.send(queue, "after")
        await lab.harness.slow(0)
        await lab.until(lambda: "after" in kept.payloads, "the one after it")
        await lab.quiet()
    assert sorted(kept.payloads) in (["after", "before"], ["after", "before", "cancelled"])


@check(1)
async def one_message_id_twice_is_two_messages_with_a_receipt_each(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        one = await lab.sender.send(queue, "first", message_id="the same")
        two = await lab.sender.send(queue, "second", message_id="the same")
        assert one.message_id == two.message_id == "the same"
        await kept.gets_just(2)
    assert sorted(kept.payloads) == ["first", "second"]
    assert {message.id for message in kept.messages} == {"the same"}


@check(1, 2)
async def sending_to_an_exchange_that_nobody_listens_to_succeeds(lab: Lab) -> None:
    exchange = lab.exchange()
    await lab.declare(exchange)
    for n in range(10):
        await lab.send(exchange, f"unheard{n}", subject=f"a.{n}")


@check(1, 17)
async def a_route_may_be_required(lab: Lab) -> None:
    exchange = lab.exchange()
    handler = lab.handler(lab.queue("jobs", exchange.where("taken.*"))).does(accept)
    async with lab.application(handler):
        if lab.refused(Power.REQUIRE_ROUTE):
            with lab.refusal(exchange.name, "require_route"):
                await lab.sender.send(exchange, "x", subject="taken.a", require_route=True)
            await lab.send(exchange, "plain", subject="taken.a")
            await lab.accepts(handler, 1)
            return
        with raises(Unroutable, exchange.name):
            await lab.send(exchange, "left", subject="left.a", require_route=True)
        await lab.send(exchange, "taken", subject="taken.a", require_route=True)
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(1)
async def what_is_sent_after_closing_is_refused(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    template = MessageTemplate(lab.settings())
    async with template:
        await lab.send(queue, "in time", via=template)
    with raises(Closed):
        await template.send(queue, "too late")
    async with lab.binding() as binding:
        await binding.close(lab.patience)
        with raises(MessagingError):
            async with asyncio.timeout(lab.patience):
                await binding.send(_envelope(queue))
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 1)
        await lab.quiet(handler)


@check(1)
async def closing_leaves_no_send_without_an_answer(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    async with lab.binding() as binding:
        futures = [binding.send(_envelope(queue)) for _ in range(100)]
        await binding.close(lab.patience)
        _, pending = await asyncio.wait(futures, timeout=lab.patience)
        assert not pending, f"closed over {len(pending)} sends without an answer"
        receipts = [each.result() for each in futures if each.exception() is None]
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await kept.gets(len(receipts))
        await lab.quiet()
    assert {receipt.message_id for receipt in receipts} <= {each.id for each in kept.messages}


def _envelope(queue: Queue[str]) -> Envelope:
    return Envelope(b"late", queue.name, Kind.QUEUE, new_id(), content_type="text/plain")
