"""Requests over a connection that is lost: nobody waits for ever, and later ones are answered."""

import asyncio

from msgkit.errors import RequestTimeout, RequestUnknown
from msgkit.listener import listener
from msgkit.message import Message
from msgkit.spi import Power
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


@check(15, needs=(Fault.CUT,), limit=10)
async def a_lost_connection_leaves_a_request_unknown(lab: Lab) -> None:
    if lab.refused(Power.REQUEST):
        return
    queue = lab.queue()
    gate = lab.gate()

    @listener(queue)
    async def answers(message: Message[str]) -> str:
        await gate(message)
        return "nobody waits"

    async with lab.application(answers):
        asking = asyncio.create_task(lab.sender.request(queue, "who?", str, timeout=20 * lab.patience))
        await lab.reached(gate)
        await lab.harness.cut_connections()
        with raises(RequestUnknown):
            async with asyncio.timeout(2 * lab.patience):
                await asking
        gate.open()
        await lab.until(lambda: lab.is_settled(queue), "the request settled")


@check(13, 15, needs=(Fault.CUT,), limit=10)
async def requests_are_answered_again_after_a_lost_connection(lab: Lab) -> None:
    if lab.refused(Power.REQUEST):
        return
    queue = lab.queue()

    @listener(queue)
    async def answers(message: Message[str]) -> str:
        return message.payload.upper()

    async with lab.application(answers):
        for _ in range(3):
            await lab.harness.cut_connections()
            await lab.until(lambda: _is_answered(lab, queue), "an answer after the fault")


async def _is_answered(lab: Lab, queue: Queue[str]) -> bool:
    try:
        return await lab.sender.request(queue, "who?", str, timeout=lab.patience / 4) == "WHO?"
    except (RequestUnknown, RequestTimeout):
        return False
