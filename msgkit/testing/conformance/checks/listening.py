"""Listeners: chosen by type, given what they ask for, in threads, wrapped, and answered."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Annotated

from msgkit.envelope import Envelope, Receipt
from msgkit.interception import Handle, Send
from msgkit.listener import Header, listener
from msgkit.message import Delivery, Message
from msgkit.policy import Backoff
from msgkit.settlement import ACCEPT, Accept, Retry, Settlement
from msgkit.template import MessageTemplate, Sender, SyncTemplate
from msgkit.testing.conformance.handlers import accept, fails, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Exchange, Queue
from msgkit.values import Headers

__all__: list[str] = []

SOON = Backoff(3, first=0.02, jitter=0)


@dataclass(frozen=True)
class Placed:
    id: str


@dataclass(frozen=True)
class Cancelled:
    id: str


@dataclass(frozen=True)
class Refunded:
    id: str


@check(14)
async def listeners_of_one_queue_get_their_own_types(lab: Lab) -> None:
    """All three have the same fields: only the name that travels tells them apart."""
    exchange = Exchange(lab.name("orders"), Placed, Cancelled)
    queue = exchange.queue(lab.name("orders"))
    got: list[Placed | Cancelled] = []

    def keep(order: Placed | Cancelled) -> None:
        got.append(order)
        lab.journal.pulse()

    @listener(queue)
    async def placed(order: Placed) -> None:
        keep(order)

    @listener(queue)
    async def cancelled(message: Message[Cancelled]) -> None:
        keep(message.payload)

    orders: list[Placed | Cancelled] = [Placed("1"), Cancelled("1"), Cancelled("2"), Placed("2")]
    async with lab.application(placed, cancelled):
        for order in orders:
            await lab.sender.send(exchange, order)
        await lab.until(lambda: len(got) == 4, "all four")
        await lab.until(lambda: lab.is_settled(queue), "all settled")
    assert sorted(got, key=repr) == sorted(orders, key=repr)


@check(7, 14)
async def a_type_that_nobody_listens_to_is_poison(lab: Lab) -> None:
    queue = Queue(lab.name("orders"), Placed, Cancelled)
    got: list[str] = []

    @listener(queue)
    async def placed(order: Placed) -> None:
        got.append(order.id)

    @listener(queue)
    async def cancelled(order: Cancelled) -> None:
        got.append(order.id)

    async with lab.application(placed, cancelled):
        await lab.sender.send(Queue(queue.name, Refunded), Refunded("poison"))
        await lab.sender.send(queue, Placed("wholesome"))
        (dead,) = await lab.dead(queue)
        await lab.until(lambda: len(got) == 1, "the other one handled")
        await lab.until(lambda: lab.is_settled(queue), "all settled")
    assert got == ["wholesome"]
    assert dead.headers["msgkit-dead-reason"] == "poison"
    assert dead.type == "Refunded"


@check(14)
async def a_handler_is_given_what_it_asks_for(lab: Lab) -> None:
    queue = lab.queue()
    seen: list[tuple[object, ...]] = []

    @listener(queue)
    async def asks(
        text: str,
        headers: Headers,
        trace: Annotated[str, Header("x-trace")] = "none",
        number: Annotated[int, Header()] = 0,
        *,
        untouched: object = None,
    ) -> None:
        seen.append((text, dict(headers), trace, number, untouched))
        lab.journal.pulse()

    async with lab.application(asks):
        await lab.sender.send(queue, "bare")
        await lab.until(lambda: len(seen) == 1, "the bare one")
        given: Headers = {"x-trace": "t-1", "number": 7, "other": True}
        await lab.sender.send(queue, "full", headers=given)
        await lab.until(lambda: len(seen) == 2, "the full one")
    assert seen == [("bare", {}, "none", 0, None), ("full", given, "t-1", 7, None)]


@check(7, 14)
async def a_header_that_is_missing_makes_poison_of_a_message(lab: Lab) -> None:
    queue = lab.queue()
    got: list[str] = []

    @listener(queue)
    async def asks(_text: str, trace: Annotated[str, Header("x-trace")]) -> None:
        got.append(trace)
        lab.journal.pulse()

    async with lab.application(asks):
        await lab.sender.send(queue, "without")
        await lab.sender.send(queue, "with", headers={"x-trace": "t"})
        (dead,) = await lab.dead(queue)
        await lab.until(lambda: len(got) == 1, "the one with its header")
    assert (dead.payload, dead.headers["msgkit-dead-reason"]) == (b"without", "poison")


@check(15)
async def a_result_goes_on_to_where_the_listener_says(lab: Lab) -> None:
    source, target = lab.queue("source"), lab.exchange("target")

    @listener(source, send_to=target)
    async def shouts(text: str) -> str:
        return text.upper()

    kept = Kept(lab, lab.queue("results", target.where()), str)
    async with lab.application(shouts, kept.function):
        receipt = await lab.sender.send(source, "quiet")
        (message,) = await kept.gets_just(1)
        await lab.until(lambda: lab.is_settled(source), "the source settled")
    assert (message.payload, message.correlation_id) == ("QUIET", receipt.message_id)


@check(1, 6, needs=(Fault.REFUSE,))
async def a_result_that_is_refused_is_a_failure_of_its_handler(lab: Lab) -> None:
    source, target = lab.queue("source"), lab.queue("target")
    attempts: list[int] = []

    @listener(source, send_to=target, retry=SOON)
    async def sends(message: Message[str]) -> str:
        attempts.append(message.attempt)
        if message.attempt == 1:
            await lab.harness.refuse(target.name, 1)
        return f"result of attempt {message.attempt}"

    kept = Kept(lab, target, str)
    async with lab.application(sends, kept.function):
        await lab.sender.send(source, "tried")
        await kept.gets_just(1)
        await lab.until(lambda: lab.is_settled(source), "the source settled")
    assert attempts == [1, 2]
    assert kept.payloads == ["result of attempt 2"]


@check(10, 12)
async def plain_functions_run_side_by_side_in_threads(lab: Lab) -> None:
    queue = lab.queue()
    barrier = threading.Barrier(3, timeout=lab.patience)

    def meets(_: Message[str]) -> None:
        # Passed only by three at once, and only if the loop is free to deliver meanwhile.
        barrier.wait()

    handler = lab.handler(queue).does_in_a_thread(meets, concurrency=3)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("thread", 6))
        await lab.accepts(handler, 6)
    assert handler.most == 3


@check(1)
async def handlers_send_with_what_they_are_given(lab: Lab) -> None:
    source, target = lab.queue("source"), lab.queue("target")

    @listener(source)
    async def on_the_loop(text: str, sender: Sender, template: MessageTemplate) -> None:
        await sender.send(target, f"{text} by a sender")
        await template.send(target, f"{text} by a template")

    other = lab.queue("other")

    @listener(other)
    def in_a_thread(text: str, template: SyncTemplate) -> None:
        template.send(target, f"{text} by a thread")

    kept = Kept(lab, target, str)
    async with lab.application(on_the_loop, in_a_thread, kept.function):
        await lab.sender.send(source, "sent")
        await lab.sender.send(other, "sent")
        await kept.gets_just(3)
    assert sorted(kept.payloads) == [
        "sent by a sender",
        "sent by a template",
        "sent by a thread",
    ]


# -- interceptors


@check(14)
async def what_interceptors_add_arrives_the_outermost_first(lab: Lab) -> None:
    queue = lab.queue()

    async def outer(envelope: Envelope, proceed: Send) -> Receipt:
        return await proceed(envelope.with_headers({"trail": "outer", "stamp": b"\x00"}))

    async def inner(envelope: Envelope, proceed: Send) -> Receipt:
        trail = str(envelope.headers["trail"]) + ", inner"
        return await proceed(envelope.with_headers({"trail": trail}))

    trails: list[str] = []

    async def around(envelope: Envelope, proceed: Handle) -> Settlement:
        trails.append("before " + str(envelope.headers["trail"]))
        settlement = await proceed(envelope)
        trails.append(f"after {settlement!r}")
        return settlement

    kept = Kept(lab, queue, str)
    async with lab.application(kept.function, sending=[outer, inner], handling=[around]) as app:
        receipt = await app.template.send(queue, "wrapped", headers={"own": 1})
        async with app.template.pipeline() as pipeline:
            _ = await pipeline.send(queue, "wrapped, too", headers={"own": 2})
        await kept.gets_just(2)
    assert receipt.message_id in {message.id for message in kept.messages}
    for message in kept.messages:
        assert (message.headers["trail"], message.headers["stamp"]) == ("outer, inner", b"\x00")
    assert trails[:2] == ["before outer, inner", "after Accept()"]


@check(3, 6)
async def an_interceptor_may_settle_in_place_of_the_handler(lab: Lab) -> None:
    queue = lab.queue()
    seen: set[str] = set()

    async def once(envelope: Envelope, proceed: Handle) -> Settlement:
        if envelope.headers.get("once") in seen:
            return ACCEPT
        if envelope.attempt == 1 and "retry" in envelope.headers:
            return Retry(after=0.02)
        settlement = await proceed(envelope)
        if isinstance(settlement, Accept):
            seen.add(str(envelope.headers.get("once")))
        return settlement

    kept = Kept(lab, queue, str)
    async with lab.application(kept.function, handling=[once]):
        await lab.sender.send(queue, "first", headers={"once": "a"})
        await kept.gets(1)
        await lab.sender.send(queue, "again", headers={"once": "a"})
        await lab.sender.send(queue, "later", headers={"once": "b", "retry": True})
        await kept.gets_just(2)
    assert [(message.payload, message.attempt) for message in kept.messages] == [
        ("first", 1),
        ("later", 2),
    ]


@check(6)
async def interceptors_see_each_attempt(lab: Lab) -> None:
    queue = lab.queue()
    attempts: list[int] = []

    async def counts(envelope: Envelope, proceed: Handle) -> Settlement:
        attempts.append(envelope.attempt)
        return await proceed(envelope)

    handler = lab.handler(queue, retry=SOON).does(fails(2))
    async with lab.application(handler, handling=[counts]):
        await lab.send(queue, "tried")
        await lab.accepts(handler, 1)
    assert attempts == [1, 2, 3]


@check(3, 10)
async def a_handler_that_waits_for_its_own_message_does_not_stop_the_queue(lab: Lab) -> None:
    """Sending from within needs neither a worker nor the delivery in hand to end."""
    queue = lab.queue()
    done = asyncio.Event()

    @listener(queue, concurrency=2)
    async def waits(delivery: Delivery[str], template: MessageTemplate) -> None:
        if delivery.payload == "first":
            await template.send(queue, "second")
            async with asyncio.timeout(lab.patience):
                await done.wait()
        done.set()

    async with lab.application(waits):
        await lab.sender.send(queue, "first")
        await lab.until(done.is_set, "the second one handled")
        await lab.until(lambda: lab.is_settled(queue), "both settled")
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "sentinel")
        await lab.accepts(handler, 1)
        await lab.quiet(handler)
