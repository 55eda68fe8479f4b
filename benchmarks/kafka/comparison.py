"""All of them in turns, round by round, against one Kafka, on topics of one partition and of eight."""

from functools import partial

from benchmarks.clients.comparison import MSGKIT, Turn, running, side_by_side, taken, turn_of
from benchmarks.kafka.turn import URL
from benchmarks.report import Report
from msgkit.testing.brokers import Kafka

__all__ = ["measure"]

_TURN = "benchmarks.kafka.turn"
_FASTSTREAM = "benchmarks.kafka.on_faststream"
_TURNS = (
    MSGKIT,
    turn_of("benchmarks.kafka.on_aiokafka:aiokafka"),
    Turn(
        side=f"{_FASTSTREAM}:at_most_once",
        figures={
            "publish": "faststream.publish",
            "publish_pipelined": "faststream.publish_pipelined",
            "consume": "faststream.consume_at_most_once",
        },
    ),
    # It commits each message by itself.
    Turn(side=f"{_FASTSTREAM}:at_least_once", figures={"consume": "faststream.consume"}, fewer=50),
    turn_of("benchmarks.kafka.on_confluent:confluent"),
)


async def measure(*, messages: int, rounds: int) -> Report:
    async with running(partial(Kafka, provider="process"), URL) as url:
        # A broker that has just begun takes several times as long for whoever comes first.
        await taken(_TURN, _TURNS[:2], messages, "1", **{URL: url})
        take = partial(taken, _TURN, _TURNS, messages, **{URL: url})
        measured = [(await take("1"), await take("8")) for _ in range(rounds)]
    one, eight = zip(*measured, strict=True)
    return side_by_side("kafka", _TURNS, one, "topics of one partition").and_also(
        side_by_side("eight_partitions", _TURNS, eight, "topics of eight partitions")
    )
