"""A turn of one of those compared: `python -m benchmarks.rabbitmq.turn benchmarks.clients.on_msgkit:msgkit 10000`."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aio_pika import connect
from aio_pika.exceptions import AMQPError

from benchmarks.clients.turn import take

__all__ = ["URL", "main"]

#: Says where RabbitMQ is, since a command line shows passwords to everybody.
URL = "MSGKIT_BENCH_RABBITMQ_URL"


def main(side: str, messages: int) -> None:
    url, who = os.environ[URL], side.partition(":")[2]
    take(side, _queue(f"benchmark.{who}", url), messages, url)


@asynccontextmanager
async def _queue(queue: str, url: str) -> AsyncGenerator[str]:
    """See that it is made anew, and that all in it has been acknowledged in the end."""
    await _left_in(queue, url)
    try:
        yield queue
    finally:
        left = await _left_in(queue, url)
    if left:
        msg = f"{left} messages were handled and not acknowledged"
        raise RuntimeError(msg)


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
