"""What other checks could not see: below the face, or by a coincidence that hides it."""

from collections.abc import Sequence
from contextlib import suppress

from msgkit.envelope import Envelope, Kind, new_id
from msgkit.errors import ConfigurationError, DeliveryLost
from msgkit.listener import checker
from msgkit.message import Message
from msgkit.settlement import ACCEPT
from msgkit.spi import Power, Subscription, TwoPhase
from msgkit.testing.conformance.handlers import Handler, accept, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.testing.conformance.tap import Tap
from msgkit.topology import Exchange, Queue

__all__: list[str] = []


@check(3, 12)
async def a_drained_consumer_is_given_nothing_and_settles_what_it_has(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("had", 2))
    async with lab.tap(queue, credit=10) as tap:
        await lab.until(lambda: len(tap.deliveries) == 2, "two deliveries")
        await tap.consumer.drain()
        await lab.send_all(queue, numbered("later", 3))
        await lab.quiet()
        assert len(tap.deliveries) == 2, "it was given something after its drain"
        for raw in tap.unsettled:
            await tap.settle(raw, ACCEPT)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 3)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == numbered("later", 3)


@check(11, needs=(Fault.EXPIRE,))
async def settling_what_is_anothers_fails_and_harms_him_not(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "taken")
    async with lab.tap(queue, credit=2) as tap:
        await lab.until(lambda: len(tap.deliveries) == 1, "the delivery")
        async with lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            await lab.until(lambda: len(tap.deliveries) == 2, "it again")
        with raises(DeliveryLost):
            late = tap.consumer.settle(tap.deliveries[0], ACCEPT)
            if late is not None:
                await late
        depth = await lab.depth(queue)
        assert depth is None or depth.agrees(ready=0, unsettled=1), f"there is {depth}"
        await tap.settle(tap.deliveries[1], ACCEPT)


@check(10)
async def bodies_in_hand_are_bounded_by_their_bytes(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    size, most = 100_000, 350_000
    for number in range(10):
        await lab.send(queue, f"{number:03}" + "x" * (size - 3))
    tap = Tap(queue.name, "bounded", lab.journal)
    bounded = Subscription(queue=lab.naming.queue_spec(queue), max_in_flight=10, max_bytes=most)
    lab.handler(queue)
    async with lab.binding("bounded") as binding, tap.consuming(binding, bounded):
        tap.consumer.credit(10)
        while len(tap.deliveries) < 10:
            await grown(lab, tap.deliveries, len(tap.deliveries) + 1)
            await lab.quiet()
            in_hand = size * len(tap.unsettled)
            assert in_hand < most + size, f"{in_hand} bytes are in hand, where {most} may be"
            for raw in tap.unsettled:
                await tap.settle(raw, ACCEPT)


async def grown(lab: Lab, seen: Sequence[object], n: int, *, within: float | None = None) -> None:
    await lab.until(lambda: len(seen) >= n, f"{n} of them, and not {len(seen)}", within=within)


@check(8)
async def a_short_delay_overtakes_a_long_one(lab: Lab) -> None:
    if lab.refused(Power.DELAY):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        apart = lab.capabilities.delay.lateness + 0.4
        await lab.send(queue, "long", delay=0.1 + apart)
        await lab.send(queue, "short", delay=0.1)
        await lab.accepts(handler, 2, within=apart + 2 * lab.patience)
    assert handler.payloads == ["short", "long"]


@check(17, 18)
async def a_declaration_that_is_refused_stops_no_consumer(lab: Lab) -> None:
    queue, exchange = lab.queue(), lab.exchange()
    wrong: Exchange[str] = Exchange(exchange.name, str, kind="fanout")
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler, topology=[exchange]):
        await lab.send(queue, "before")
        await lab.accepts(handler, 1)
        with suppress(ConfigurationError):
            await lab.declare(wrong)
        await lab.send(queue, "after")
        await lab.accepts(handler, 2)


@check(2, 18)
async def names_that_look_alike_get_their_own_messages(lab: Lab) -> None:
    """Consumers of one queue would share its messages in turn: so there are many, the last ones first."""
    base = lab.name("shop")
    handlers: list[Handler] = []
    for name in (f"{base}.a", f"{base}_a", f"{base}-a", f"{base}.A"):
        queue: Queue[str] = Queue(name, str)
        try:
            await lab.declare(queue)
        except ConfigurationError as error:
            assert name in str(error)  # noqa: PT017 -- refusing it is as good as keeping them apart
            continue
        handlers.append(lab.handler(queue).does(accept))
    async with lab.application(*handlers):
        for handler in reversed(handlers):
            await lab.send_all(handler.queue, [f"{n} for {handler.queue.name}" for n in range(3)])
        for handler in handlers:
            await lab.accepts(handler, 3)
        await lab.quiet(*handlers)


# -- half messages


async def prepared(lab: Lab, queue: Queue[str], checks: list[str]) -> None:
    """Leave a half message for each check, named like it, by a sender that is gone."""
    async with lab.binding("silent") as binding:
        assert isinstance(binding, TwoPhase), "half messages are declared, but not offered"
        for name in checks:
            body = name.encode()
            half = Envelope(body, queue.name, Kind.QUEUE, new_id(), content_type="text/plain")
            await binding.prepare(half, name)


@check(16, limit=40)
async def a_checker_is_asked_about_its_own_half_messages_only(lab: Lab) -> None:
    if lab.refused(Power.PREPARE):
        return
    queue = lab.queue()
    await lab.declare(queue)
    names = [lab.name("yes"), lab.name("no")]
    asked: dict[str, set[str]] = {name: set() for name in names}

    def deciding(name: str, *, commit: bool) -> object:
        @checker(name)
        async def decides(half: Message[bytes]) -> bool:
            asked[name].add(half.payload.decode())
            lab.journal.pulse()
            return commit

        return decides

    await prepared(lab, queue, names)
    kept = Kept(lab, queue, str)
    yes, no = deciding(names[0], commit=True), deciding(names[1], commit=False)
    async with lab.application(yes, no, kept.function):
        await lab.until(lambda: any(asked.values()), "one asked", within=30 * lab.patience)
        await lab.until(lambda: all(asked.values()), "both asked")
        await kept.gets_just(1)
    assert asked == {name: {name} for name in names}
    assert kept.payloads == names[:1]


@check(16, limit=80)
async def a_checker_that_does_not_know_yet_is_asked_again(lab: Lab) -> None:
    if lab.refused(Power.PREPARE):
        return
    queue = lab.queue()
    await lab.declare(queue)
    name = lab.name("orders")
    answers: list[bool | None] = []

    @checker(name)
    async def decides(_: Message[bytes]) -> bool | None:
        answers.append(True if answers else None)
        lab.journal.pulse()
        return answers[-1]

    await prepared(lab, queue, [name])
    kept = Kept(lab, queue, str)
    # Whoever comes anew is asked at once where a broker can tell; else in its own time.
    async with lab.application(decides, kept.function):
        await grown(lab, answers, 1, within=30 * lab.patience)
        await lab.quiet()
        assert kept.payloads == [], "it was decided by nobody"
    async with lab.application(decides, kept.function):
        await grown(lab, answers, 2, within=30 * lab.patience)
        await kept.gets_just(1)
    assert answers == [None, True]
