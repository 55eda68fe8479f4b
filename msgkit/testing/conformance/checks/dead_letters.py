"""Dead letters: where a message goes that cannot be handled, whole, with the reason, exactly once."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgkit.policy import Backoff
from msgkit.testing.conformance.capturing import Captured
from msgkit.testing.conformance.handlers import Boom, accept, fails, numbered, rejects
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue
from msgkit.values import MAX_BODY, HeaderValue

__all__: list[str] = []

HEADERS: Mapping[str, HeaderValue] = {
    "text": "zażółć",
    "number": -(2**63),
    "real": 0.1,
    "yes": True,
    "octets": b"\x00\xff",
    "moment": datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC),
}


@check(7, 14)
async def a_dead_letter_keeps_bytes_key_and_headers(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(rejects())
    async with lab.application(handler):
        sent = await lab.send(queue, "gone ✝", key="the key", headers=HEADERS)
        (dead,) = await lab.dead(queue)
    assert dead.payload == "gone ✝".encode()
    assert (dead.id, dead.key) == (sent.id, "the key")
    kept = {name: value for name, value in dead.headers.items() if name in HEADERS}
    assert kept == HEADERS
    assert {name: type(value) for name, value in kept.items()} == {name: type(value) for name, value in HEADERS.items()}


@check(7)
async def a_dead_letter_says_why(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue, retry=Backoff(2, first=0.02)).does(fails())
    async with lab.application(handler):
        before = datetime.now(UTC) - timedelta(seconds=1)
        await lab.send(queue, "hopeless")
        (dead,) = await lab.dead(queue)
    headers = dead.headers
    assert headers["msgkit-dead-reason"] == "attempts exhausted"
    assert headers["msgkit-dead-error"] == Boom.__qualname__
    assert headers["msgkit-dead-text"] == "failure 2 of hopeless"
    assert headers["msgkit-dead-attempts"] == 2
    assert headers["msgkit-dead-queue"] == queue.name
    assert headers["msgkit-dead-origin"] == queue.name
    at = headers["msgkit-dead-at"]
    assert isinstance(at, datetime)
    assert before <= at <= datetime.now(UTC) + timedelta(seconds=1)


@check(7)
async def the_reason_of_a_rejection_is_on_the_dead_letter(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    handler = lab.handler(queue).does(rejects("negative total"))
    async with lab.application(handler):
        await lab.send(exchange, "order", subject="placed")
        (dead,) = await lab.dead(queue)
    assert dead.headers["msgkit-dead-reason"] == "negative total"
    assert dead.headers["msgkit-dead-origin"] == exchange.name


@check(7)
async def what_a_dead_letter_says_stays_below_4_kib(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(rejects("ż" * 100_000))
    async with lab.application(handler):
        await lab.send(queue, "gone")
        (dead,) = await lab.dead(queue)
    own = {name: value for name, value in dead.headers.items() if name.startswith("msgkit-dead-")}
    assert own
    assert sum(len(name) + len(str(value).encode()) for name, value in own.items()) <= 4096


@check(7, 14)
async def a_dead_letter_of_the_largest_size_arrives(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(rejects("r" * 400))
    payload = "x" * min(MAX_BODY, lab.capabilities.max_body)
    filler = {f"h{n}": "v" * 1000 for n in range(10)}
    async with lab.application(handler):
        await lab.send(queue, payload, headers=filler)
        (dead,) = await lab.dead(queue)
    assert dead.payload == payload.encode()


@check(7, needs=(Fault.REFUSE,))
async def a_dead_letter_that_is_refused_is_sent_again_and_its_original_kept(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(rejects(after=gate))
    async with lab.application(handler) as app:
        await lab.send(queue, "stuck")
        await lab.reached(gate)
        await lab.harness.refuse(queue.dead_letters.name, 3)
        gate.open()
        await lab.until(lambda: lab.is_healthy(app, well=False), "bad health while it is refused")
        (dead,) = await lab.dead(queue)
        await lab.until(lambda: lab.is_healthy(app), "good health again")
        await lab.quiet(handler)
    assert dead.payload == b"stuck"
    assert handler.payloads == ["stuck"], "the handler was run again for the broker's trouble"


@check(7, needs=(Fault.REFUSE, Fault.CUT))
async def a_message_whose_dead_letter_is_refused_is_not_lost_with_the_connection(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(rejects(after=gate))
    async with lab.application(handler):
        await lab.send(queue, "stuck")
        await lab.reached(gate)
        await lab.harness.refuse(queue.dead_letters.name, 2)
        gate.open()
        await lab.handled(handler, 1)
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            (dead, *_) = await lab.dead(queue)
    assert dead.payload == b"stuck"


@check(7)
async def a_dead_letter_reaches_no_other_queue(lab: Lab) -> None:
    exchange = lab.exchange()
    failing = lab.handler(lab.queue("failing", exchange.where())).does(rejects())
    other = lab.handler(lab.queue("other", exchange.where())).does(accept)
    async with lab.application(failing, other):
        await lab.send(exchange, "event", subject="x")
        await lab.dead(failing.queue)
        await lab.accepts(other, 1)
        await lab.quiet(failing, other)


@check(7, 9)
async def a_dead_letter_never_expires(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(rejects())
    async with lab.application(handler):
        await lab.send(queue, "short-lived", ttl=0.3)
        await lab.handled(handler, 1)
        await lab.quiet(handler, seconds=0.5)
        (dead,) = await lab.dead(queue)
    assert dead.expires_at is None


@check(7)
async def a_listener_of_dead_letters_gets_them(lab: Lab) -> None:
    queue = lab.queue()
    failing = lab.handler(queue).does(rejects())
    letters = lab.collector(queue)
    async with lab.application(failing, letters.function):
        await lab.send_all(queue, numbered("gone", 5))
        await lab.until(lambda: len(letters.bodies) == 5, "all five")
    assert sorted(letters.bodies) == [payload.encode() for payload in numbered("gone", 5)]


@check(7)
async def a_dead_letter_that_cannot_be_handled_stays_a_dead_letter(lab: Lab) -> None:
    queue = lab.queue()
    failing = lab.handler(queue).does(rejects())
    letters = lab.collector(queue, fails=True)
    async with lab.application(failing, letters.function):
        await lab.send(queue, "gone")
        await lab.until(lambda: len(letters.tries) == 1, "an attempt to handle it")
    (dead,) = await lab.dead(queue, within=3 * lab.patience)
    assert dead.payload == b"gone"


@check(7)
async def two_queues_may_share_their_dead_letters(lab: Lab) -> None:
    shared = lab.name("shared-dead")
    a, b = (lab.queue(word, dead_letters=shared) for word in ("a", "b"))
    handlers = [lab.handler(queue).does(rejects()) for queue in (a, b)]
    async with lab.application(*handlers):
        await lab.send(a, "from a")
        (first,) = await lab.dead(a)
        await lab.send(b, "from b")
        (second,) = await lab.dead(b)
    assert (first.payload, first.headers["msgkit-dead-queue"]) == (b"from a", a.name)
    assert (second.payload, second.headers["msgkit-dead-queue"]) == (b"from b", b.name)


@check(7)
async def a_queue_without_dead_letters_says_aloud_what_it_drops(lab: Lab) -> None:
    queue = lab.queue(dead_letters=False)
    handler = lab.handler(queue).does(rejects("no use"))
    with Captured("msgkit") as log:
        async with lab.application(handler):
            sent = await lab.send(queue, "dropped")
            await lab.handled(handler, 1)
            await lab.quiet(handler)
    errors = [record.getMessage() for record in log.records if record.levelno >= logging.ERROR]
    assert any(sent.id in error and "no use" in error for error in errors), errors


# -- poison


async def sends_poison(lab: Lab, queue: Queue[str], body: bytes, content_type: str) -> str:
    """Send what no handler of text can be given; return its id."""
    return (await lab.send_poison(queue, body, content_type=content_type)).id


@check(7)
async def poison_goes_to_the_dead_letters_at_once_and_stops_nobody(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        poison = await sends_poison(lab, queue, b"\xff\xfe\xff", "text/plain; charset=utf-8")
        await lab.send(queue, "wholesome")
        (dead,) = await lab.dead(queue)
        await lab.accepts(handler, 1)
        await lab.quiet(handler)
    assert (dead.id, dead.payload) == (poison, b"\xff\xfe\xff")
    assert dead.headers["msgkit-dead-reason"] == "poison"
    assert handler.payloads == ["wholesome"]


@check(7)
async def what_nothing_can_read_is_poison(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await sends_poison(lab, queue, b"\x00\x01", "application/x-nobody-knows")
        (dead,) = await lab.dead(queue)
    assert dead.payload == b"\x00\x01"
    assert dead.content_type == "application/x-nobody-knows"


@check(5, 7)
async def poison_stops_no_ordered_lane(lab: Lab) -> None:
    queue = lab.queue(ordered=not lab.keeps_no_order)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "before", key="k")
        await lab.send_poison(queue, b"\xff", content_type="text/plain; charset=utf-8", key="k")
        await lab.send(queue, "after", key="k")
        await lab.accepts(handler, 2)
        await lab.dead(queue)
    assert handler.payloads == ["before", "after"]
