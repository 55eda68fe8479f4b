"""Who gets a message: one of a queue's consumers, and every process where the queue is anonymous."""

from msgkit.settlement import ACCEPT
from msgkit.spi import Gap, Power, Shared
from msgkit.testing.conformance.handlers import Handler, accept, fails, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue, Route

__all__: list[str] = []


@check(4)
async def each_message_goes_to_one_of_a_queues_consumers(lab: Lab) -> None:
    queue = lab.queue()
    a = lab.handler(queue, "a").does(accept)
    b = lab.handler(queue, "b").does(accept)
    async with lab.application(a), lab.application(b):
        await lab.send_all(queue, numbered("job", 60))
        await lab.until(lambda: len(a.accepted) + len(b.accepted) >= 60, "all handled")
        await lab.quiet(a, b)
    assert sorted(a.accepted + b.accepted) == numbered("job", 60)


@check(4, 10)
async def consumers_share_the_work(lab: Lab) -> None:
    queue = lab.queue()
    gates = [lab.gate(), lab.gate()]
    a = lab.handler(queue, "a").does(gates[0], max_in_flight=1)
    b = lab.handler(queue, "b").does(gates[1], max_in_flight=1)
    async with lab.application(a), lab.application(b):
        await lab.send_all(queue, numbered("job", 2))
        for gate in gates:
            await lab.reached(gate)
            gate.open()
        await lab.until(lambda: len(a.accepted) + len(b.accepted) == 2, "both handled")


@check(2, 4)
async def each_queue_of_an_exchange_gets_a_copy_of_its_own(lab: Lab) -> None:
    exchange = lab.exchange()
    handlers = [lab.handler(lab.queue(f"copy{n}", exchange.where())).does(accept) for n in range(3)]
    async with lab.application(*handlers):
        await lab.send_all(exchange, numbered("event", 20), subject="x")
        for handler in handlers:
            await lab.accepts(handler, 20)
        await lab.quiet(*handlers)


@check(3, 4, needs=(Fault.SPAWN,), limit=10)
async def consumers_compete_across_processes(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    other = await lab.spawn(queue, "there")
    gate = lab.gate()
    here = lab.handler(queue, "here").does(gate, max_in_flight=1)
    async with lab.application(here):
        await lab.send_all(queue, numbered("job", 20))
        await lab.reached(gate)
        await lab.until(lambda: lab.begun("there") >= 1, "work done there, too")
        gate.open()
        await lab.until(lambda: lab.begun("there") + len(here.accepted) == 20, "all handled")
        await other.stop()


# -- anonymous queues


def anonymous(lab: Lab, route: Route[str], name: str) -> Handler:
    return lab.handler(Queue.anonymous(route), name)


async def asserts_refusal(lab: Lab, route: Route[str]) -> None:
    handler = lab.unlisted(Queue.anonymous(route)).does(accept)
    with lab.refusal(handler.queue.name):
        async with lab.application(handler):
            pass


@check(4, 17)
async def an_anonymous_queue_is_a_copy_for_each_process(lab: Lab) -> None:
    exchange = lab.exchange()
    if lab.refused(Power.ANONYMOUS):
        return await asserts_refusal(lab, exchange.where())
    a = anonymous(lab, exchange.where(), "a").does(accept)
    b = anonymous(lab, exchange.where(), "b").does(accept)
    async with lab.application(a), lab.application(b):
        await lab.send_all(exchange, numbered("news", 20), subject="x")
        await lab.accepts(a, 20)
        await lab.accepts(b, 20)
        await lab.quiet(a, b)
    return None


@check(2, 4)
async def an_anonymous_queue_gets_nothing_from_before_it_was_there(lab: Lab) -> None:
    exchange = lab.exchange()
    if lab.refused(Power.ANONYMOUS):
        return await asserts_refusal(lab, exchange.where())
    await lab.declare(exchange)
    await lab.send_all(exchange, numbered("before", 5), subject="x")
    handler = anonymous(lab, exchange.where(), "late").does(accept)
    async with lab.application(handler):
        await lab.send(exchange, "after", subject="x")
        await lab.accepts(handler, 1)
        await lab.quiet(handler)
    assert handler.payloads == ["after"]
    return None


@check(4, 13, needs=(Fault.CUT,))
async def an_anonymous_queue_survives_a_short_disconnection(lab: Lab) -> None:
    exchange = lab.exchange()
    if lab.refused(Power.ANONYMOUS):
        return await asserts_refusal(lab, exchange.where())
    handler = anonymous(lab, exchange.where(), "listens").does(accept)
    async with lab.application(handler):
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            await lab.send_all(exchange, numbered("during", 10), subject="x")
            await lab.until(lambda: len(set(handler.accepted)) == 10, "all that was sent meanwhile")
        await lab.quiet(handler)
    return None


@check(4, 6)
async def what_fails_in_an_anonymous_queue_is_tried_again_by_the_same_process(lab: Lab) -> None:
    exchange = lab.exchange()
    if lab.refused(Power.ANONYMOUS):
        return await asserts_refusal(lab, exchange.where())
    failing = anonymous(lab, exchange.where(), "failing").does(fails(2))
    other = anonymous(lab, exchange.where(), "other").does(accept)
    async with lab.application(failing), lab.application(other):
        await lab.send(exchange, "news", subject="x")
        await lab.accepts(failing, 1)
        await lab.quiet(failing, other)
    assert failing.attempts("news") == [1, 2, 3]
    assert other.attempts("news") == [1]
    return None


@check(4, needs=(Fault.OUTSTAY,), limit=40)
async def an_anonymous_queue_that_was_away_too_long_reports_a_gap(lab: Lab) -> None:
    exchange = lab.exchange()
    if lab.refused(Power.ANONYMOUS):
        return await asserts_refusal(lab, exchange.where())
    queue = Queue.anonymous(exchange.where())
    await lab.declare(exchange)
    async with lab.tap(queue, credit=10) as tap:
        began = lab.journal.now()
        async with lab.fault("connection-loss"):
            await lab.harness.outstay(queue)
            await lab.until(
                lambda: any(isinstance(event, Gap) for event in tap.events),
                "a gap",
                within=30 * lab.patience,
            )
        with lab.journal.writing() as ledger:
            ledger.gap(queue.name, began, lab.journal.now())
        message = await lab.send(exchange, "after", subject="x")
        await lab.until(lambda: message.id in tap.ids, "what is sent after the gap")
        for raw in tap.unsettled:
            await tap.settle(raw, ACCEPT)
    return None


@check(4, 17)
async def where_a_broker_is_shared_is_declared(lab: Lab) -> None:
    """A broker that ends with its process cannot claim that it is durable."""
    keeps = lab.capabilities
    assert not (keeps.shared is Shared.PROCESS and keeps.durable)
    assert keeps.settle_window >= 0
