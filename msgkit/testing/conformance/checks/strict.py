"""Strict order: a dead letter holds what follows it."""

from msgkit.message import Message
from msgkit.settlement import Reject
from msgkit.spi import Power
from msgkit.testing.conformance.checks.order import refuses_order
from msgkit.testing.conformance.handlers import Behaviour, Outcome, accept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check

__all__: list[str] = []


def rejects_only(*payloads: str) -> Behaviour:
    async def behave(message: Message[str]) -> Outcome:
        return Reject("bad") if message.payload in payloads else None

    return behave


@check(5, 7)
async def a_dead_letter_holds_its_successors_in_a_strict_queue(lab: Lab) -> None:
    queue = lab.queue(ordered="strict")
    if await refuses_order(lab, queue, Power.STRICT):
        return
    handler = lab.handler(queue).does(rejects_only("a1"), concurrency=4)
    async with lab.application(handler):
        await lab.send_all(queue, ["a0", "a1", "a2", "a3"], key="a")
        dead = await lab.dead(queue, 3)
        await lab.quiet(handler)
    assert [letter.payload for letter in dead] == [b"a1", b"a2", b"a3"]
    assert all(str(dead[0].id) in str(each.headers["msgkit-dead-reason"]) for each in dead[1:])
    assert handler.payloads == ["a0", "a1"]


@check(5, 7, 10)
async def a_dead_letter_holds_no_other_key(lab: Lab) -> None:
    queue = lab.queue(ordered="strict")
    if await refuses_order(lab, queue, Power.STRICT):
        return
    handler = lab.handler(queue).does(rejects_only("a1"), concurrency=4)
    async with lab.application(handler):
        await lab.send_all(queue, ["a1", "a2"], key="a")
        await lab.send_all(queue, ["b1", "b2"], key="b")
        await lab.accepts(handler, 2)
        await lab.dead(queue, 2)
    assert sorted(handler.accepted) == ["b1", "b2"]


@check(5, 7)
async def a_strict_lane_goes_on_when_its_dead_letters_are_gone(lab: Lab) -> None:
    queue = lab.queue(ordered="strict")
    if await refuses_order(lab, queue, Power.STRICT):
        return
    first = lab.handler(queue, "first").does(rejects_only("a1"))
    async with lab.application(first):
        await lab.send_all(queue, ["a1", "a2"], key="a")
        await lab.dead(queue, 2)
        await lab.until(lambda: lab.is_settled(queue.dead_letters), "the dead letters gone")
        # The ledger takes what one sender sends after a dead letter for held.
        await lab.send(queue, "a3", key="a", sender="another")
        await lab.until(lambda: "a3" in first.payloads, "the lane free again")
        await lab.quiet(first)


@check(5)
async def a_strict_queue_without_dead_letters_is_an_ordered_one(lab: Lab) -> None:
    queue = lab.queue(ordered="strict")
    if await refuses_order(lab, queue, Power.STRICT):
        return
    handler = lab.handler(queue).does(accept, concurrency=4)
    async with lab.application(handler):
        payloads = [f"a{n}" for n in range(20)]
        await lab.send_all(queue, payloads, key="a")
        await lab.accepts(handler, 20)
    assert handler.payloads == payloads
