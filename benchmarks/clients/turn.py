"""A turn of one of those compared, in a process of its own: what its work took is printed as JSON."""

import asyncio
import gc
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pkgutil import resolve_name

from benchmarks.clients.work import Cost, Handled, Moment, Side
from benchmarks.cores import stay_on_one

__all__ = ["take"]

#: Messages until nothing is done for the first time any more.
_WARM = 200
#: Publishing one by one takes so much longer, and varies less.
_SLOWER = 10

_Open = Callable[[str, str, Handled], AbstractAsyncContextManager[Side]]


def take(side: str, queue: AbstractAsyncContextManager[str], messages: int, url: str) -> None:
    """Have a side, said as `package.module:name`, do its work on a queue that is there for a block."""
    # What is measured is the way of a message, and no handler of log records.
    logging.disable(logging.CRITICAL)
    stay_on_one()
    costs = asyncio.run(_turn(side, queue, messages, url))
    print(json.dumps({what: asdict(cost) for what, cost in costs.items()}))


async def _turn(side: str, queue: AbstractAsyncContextManager[str], messages: int, url: str) -> dict[str, Cost]:
    # All are imported by name, so that none pays for what another one loads.
    open_side: _Open = resolve_name(side)
    async with queue as called:
        # Whatever is lost on its way is noticed after a while.
        async with asyncio.timeout(60 + messages / 50):
            return await _costs(open_side, messages, url, called)


async def _costs(open_side: _Open, messages: int, url: str, queue: str) -> dict[str, Cost]:
    warm, one_by_one = min(messages, _WARM), max(1, messages // _SLOWER)
    handled = Handled(unmeasured=2 * warm, measured=one_by_one + messages)
    async with open_side(url, queue, handled) as side:
        await side.publish(warm)
        publish = await _cost(side.publish, one_by_one)
        await side.publish_pipelined(warm)
        publish_pipelined = await _cost(side.publish_pipelined, messages)
        gc.collect()
        async with side.consuming():
            consume = await handled.cost()
    return {"publish": publish, "publish_pipelined": publish_pipelined, "consume": consume}


async def _cost(run: Callable[[int], Awaitable[None]], messages: int) -> Cost:
    gc.collect()
    began = Moment.now()
    await run(messages)
    return Moment.now().since(began, messages)
