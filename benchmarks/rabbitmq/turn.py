"""A turn of one of those compared, in a process of its own: `python -m benchmarks.rabbitmq.turn msgkit 10000`."""

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from importlib import import_module

from aio_pika import connect
from aio_pika.exceptions import AMQPError

from benchmarks.cores import stay_on_one
from benchmarks.rabbitmq.work import Cost, Handled, Moment, Side

__all__ = ["URL", "main"]

#: Says where RabbitMQ is, since a command line shows passwords to everybody.
URL = "MSGKIT_BENCH_RABBITMQ_URL"

#: Messages until nothing is done for the first time any more.
_WARM = 200
#: Publishing one by one takes so much longer, and varies less.
_SLOWER = 10

_Open = Callable[[str, str, Handled], AbstractAsyncContextManager[Side]]


def main(who: str, messages: int) -> None:
    # What is measured is the way of a message, and no handler of log records.
    logging.disable(logging.CRITICAL)
    stay_on_one()
    costs = asyncio.run(_turn(who, messages, os.environ[URL]))
    print(json.dumps({what: asdict(cost) for what, cost in costs.items()}))


async def _turn(who: str, messages: int, url: str) -> dict[str, Cost]:
    # All are imported by name, so that none pays for what another one loads.
    open_side: _Open = getattr(import_module(f"benchmarks.rabbitmq.on_{who}"), who)
    queue = f"benchmark.{who}"
    await _left_in(queue, url)
    try:
        # Whatever is lost on its way is noticed after a while.
        async with asyncio.timeout(60 + messages / 50):
            costs = await _costs(open_side, messages, url, queue)
    finally:
        left = await _left_in(queue, url)
    if left:
        msg = f"{left} messages were handled and not acknowledged"
        raise RuntimeError(msg)
    return costs


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


async def _left_in(queue: str, url: str) -> int:
    """Take the queue away, and what belongs to it, and return how many messages it still held."""
    try:
        connection = await connect(url)
    except (AMQPError, OSError) as error:
        sys.exit(f"RabbitMQ cannot be reached: {error}")
    async with connection, connection.channel() as channel:
        await channel.queue_delete(f"{queue}.dlq")
        deleted = await channel.queue_delete(queue)
    return deleted.message_count or 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
