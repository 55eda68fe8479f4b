"""All of them in turns, round by round, against one RabbitMQ: messages a second, CPU time, and how they compare."""

from functools import partial

from benchmarks.clients.comparison import MSGKIT, running, side_by_side, taken, turn_of
from benchmarks.rabbitmq.turn import URL
from benchmarks.report import Report
from msgkit.testing.brokers import RabbitMQ

__all__ = ["measure"]

_TURNS = (
    MSGKIT,
    turn_of("benchmarks.rabbitmq.on_aio_pika:aio_pika"),
    turn_of("benchmarks.rabbitmq.on_faststream:faststream"),
)


async def measure(*, messages: int, rounds: int) -> Report:
    async with running(partial(RabbitMQ, provider="process"), URL) as url:
        measured = [await taken("benchmarks.rabbitmq.turn", _TURNS, messages, **{URL: url}) for _ in range(rounds)]
    return side_by_side("rabbitmq", _TURNS, measured)
