"""Half messages: stored, seen by nobody, and decided once: by their sender, or by a checker."""

from msgkit.envelope import Envelope, Kind, new_id
from msgkit.errors import Closed, SendRefused, UnsupportedCapability
from msgkit.listener import checker
from msgkit.message import Message
from msgkit.spi import Power, TwoPhase
from msgkit.testing.conformance.handlers import Boom
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check

__all__: list[str] = []

CHECK = "orders"


@checker(CHECK)
async def commits(_: Message[bytes]) -> bool:
    return True


async def refuses_halves(lab: Lab) -> bool:
    """Tell whether this binding has no half messages; its refusals have been asserted then."""
    if not lab.refused(Power.PREPARE):
        return False
    queue = lab.queue()
    await lab.declare(queue)
    with lab.refusal(queue.name):
        async with lab.sender.prepare(queue, "half", check=CHECK):
            pass
    kept = Kept(lab, queue, str)
    with raises(UnsupportedCapability, CHECK):
        async with lab.application(commits, kept.function):
            pass
    async with lab.application(kept.function):
        await lab.sender.send(queue, "sentinel")
        await kept.gets_just(1)
    return True


@check(16)
async def a_half_message_is_seen_when_its_sender_is_done(lab: Lab) -> None:
    if await refuses_halves(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(commits, kept.function) as app:
        async with app.template.prepare(queue, "half", check=CHECK, key="k", headers={"n": 1}):
            await lab.quiet()
            assert kept.payloads == [], "seen before its sender was done"
        (message,) = await kept.gets_just(1)
    assert (message.payload, message.key, message.headers["n"]) == ("half", "k", 1)


@check(16)
async def a_half_message_is_gone_when_its_sender_failed(lab: Lab) -> None:
    if await refuses_halves(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(commits, kept.function) as app:
        with raises(Boom):
            async with app.template.prepare(queue, "half", check=CHECK):
                raise Boom
        await app.template.send(queue, "sentinel")
        await kept.gets_just(1)
    assert kept.payloads == ["sentinel"]


@check(16)
async def a_half_message_is_decided_once(lab: Lab) -> None:
    if await refuses_halves(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(commits, kept.function) as app:
        async with app.template.prepare(queue, "committed", check=CHECK) as half:
            assert await half.commit() == await half.commit()
            await half.roll_back()
        async with app.template.prepare(queue, "rolled back", check=CHECK) as half:
            await half.roll_back()
            with raises(Closed):
                await half.commit()
        await kept.gets_just(1)
    assert kept.payloads == ["committed"]


@check(1, 16)
async def a_half_message_for_nowhere_is_refused(lab: Lab) -> None:
    if await refuses_halves(lab):
        return
    with raises(SendRefused):
        async with lab.sender.prepare(lab.queue("absent"), "half", check=CHECK):
            pass


@check(16, limit=40)
async def a_checker_decides_when_the_sender_went_silent(lab: Lab) -> None:
    if await refuses_halves(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    asked: list[str] = []

    @checker(CHECK)
    async def decides(half: Message[bytes]) -> bool:
        asked.append(half.payload.decode())
        lab.journal.pulse()
        return half.payload == b"committed"

    await lab.declare(queue)
    async with lab.binding("silent") as binding:
        assert isinstance(binding, TwoPhase), "half messages are declared, but not offered"
        for body in (b"committed", b"rolled back"):
            envelope = Envelope(body, queue.name, Kind.QUEUE, new_id(), content_type="text/plain")
            await binding.prepare(envelope, CHECK)
    async with lab.application(decides, kept.function):
        await lab.until(
            lambda: set(asked) == {"committed", "rolled back"}, "both asked about", within=30 * lab.patience
        )
        await lab.until(lambda: len(kept.messages) == 1, "one", within=30 * lab.patience)
        await kept.gets_just(1)
    assert kept.payloads == ["committed"]
