"""Deleting what was moved on."""

import asyncio
from collections.abc import Sequence

from msgkit_kafka.trimming import Trimmer
from msgkit_kafka.wire.subscriptions import Partition
from msgkit_kafka.wire.topics import DELETE_RECORDS, Cut, Cuts
from tests.kafka.wire_broker import serving

LEVEL = Partition("msgkit.delay.3", 0)


def cuts(asked: object) -> Sequence[int]:
    """Return before which offset the level is to be deleted, if it is."""
    return [each.before for topic in asked.topics for each in topic.partitions] if isinstance(asked, Cut) else []


async def test_a_level_that_was_made_anew_is_trimmed_as_one_that_was_never_read() -> None:
    async with serving() as broker, asyncio.timeout(10):
        broker.says(DELETE_RECORDS, lambda _: Cuts(0, []))
        cluster = broker.cluster()
        await cluster.refresh([LEVEL.topic])
        trimmer = Trimmer(cluster)
        for before in (1, 50_000, 50_001, 1, 999, 1_001):
            trimmer.done(LEVEL, before)
        await broker.heard(lambda asked: cuts(asked) == [1_001])
        assert [each for asked in broker.asked for each in cuts(asked)] == [50_000, 1_001]
        await trimmer.close()
        await cluster.close()
