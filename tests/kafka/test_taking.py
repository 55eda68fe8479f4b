"""A member that cannot take what it was given: it is told, and nobody is asked again and again at once."""

import asyncio

from msgkit.spi import Fatal, QueueSpec, Up
from msgkit_kafka.wire import groups, positions
from msgkit_kafka.wire.errors import Code
from tests.bench import Bench
from tests.kafka.wire_broker import serving

QUEUE = QueueSpec(name="jobs")


async def test_a_member_that_is_not_told_how_far_its_group_has_come_says_so_after_five_tries() -> None:
    async with serving() as broker, asyncio.timeout(30):
        known = broker.answer_to(positions.OFFSET_FETCH)

        def unknown(asked: positions.AskOffsets) -> positions.OffsetsOf:
            if asked.group == QUEUE.name:
                return positions.OffsetsOf(0, [], Code.UNSTABLE_OFFSET_COMMIT)
            told: positions.OffsetsOf = known(asked)
            return told

        def joins() -> int:
            return sum(isinstance(each, groups.Join) and each.group == QUEUE.name for each in broker.asked)

        async with Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
            broker.says(positions.OFFSET_FETCH, unknown)
            consuming = asyncio.create_task(bench.consume(QUEUE))
            told = await bench.events.get()
            assert isinstance(told, Fatal)
            assert "group 'jobs' cannot be joined" in told.reason
            assert joins() <= 2 * 5
            broker.says(positions.OFFSET_FETCH, known)
            taker = await consuming
            assert isinstance(await bench.events.get(), Up)
            await taker.consumer.close()
