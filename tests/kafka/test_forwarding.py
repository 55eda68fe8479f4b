"""Delayed messages that cannot be moved on: what becomes of them, and that nothing waits behind them."""

import asyncio

import pytest

from msgkit import Application, MessageTemplate, Queue, Settings, listener
from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka
from msgkit_kafka.delays import GROUP_OF_DELAYS, UNDELIVERABLE
from msgkit_kafka.groups import Groups
from msgkit_kafka.offsets import offsets_of
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.groups import GROUP
from msgkit_kafka.wire.logs import LATEST
from msgkit_kafka.wire.subscriptions import Partition
from msgkit_kafka.wire.topics import DELETE_RECORDS, Cut, CutPartition, CutTopic
from tests.kafka.permitting import PASSWORD, Permission, permit
from tests.kafka.plain import Plain, PlainRecord
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]

#: Where what waits for 6.4 s and a little more is at first.
LEVEL = "msgkit.delay.6"
ALL = -1


async def test_a_level_that_was_deleted_farther_than_it_was_moved_on_is_read_on_where_it_begins(
    interop: Kafka, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Queue(f"jobs.{new_id()}", str)
    handled: asyncio.Queue[str] = asyncio.Queue()

    @listener(jobs)
    async def work(job: str) -> None:
        handled.put_nowait(job)

    async with Application([work], settings=settings) as app:
        await app.template.send(jobs, "at once", delay=0.1)
        assert await handled.get() == "at once"
        await app.template.send(jobs, "deleted", delay=6.5)
    cluster = Cluster(Door(client="deleting"), interop.addresses)
    await cluster.refresh([LEVEL])
    cut = Cut([CutTopic(LEVEL, [CutPartition(0, ALL)])], 5_000)
    await cluster.ask(cluster.topics[LEVEL].leaders[0], DELETE_RECORDS, cut)
    await cluster.close()
    async with Application([work], settings=settings) as app, asyncio.timeout(60):

        async def is_told() -> bool:
            return f"{LEVEL} begins at offset" in caplog.text

        await until(is_told)
        await app.template.send(jobs, "kept", delay=6.5)
        assert await handled.get() == "kept"


async def test_what_is_due_where_nothing_is_goes_to_the_undeliverable_with_the_reason(
    settings: Settings, plain: Plain
) -> None:
    jobs, nowhere = Queue(f"jobs.{new_id()}", str), Queue(f"nowhere.{new_id()}", str)

    @listener(jobs)
    async def work(_: str) -> None: ...

    async def found() -> PlainRecord | None:
        records = await plain.read(UNDELIVERABLE, 1 + len(passed))
        passed[:] = records
        return next((each for each in records if each.said("msgkit-due") == f"queue:{nowhere.name}"), None)

    passed: list[PlainRecord] = []
    async with Application([work], settings=settings) as app:
        await app.template.send(nowhere, "lost", delay=0.1)
        record = await until(found, patience=40)
        assert record is not None
        assert record.value == b"lost"
        assert "does not exist" in record.said("msgkit-why")
        assert not {"msgkit-wait", "msgkit-refusals"} & {name for name, _ in record.headers}


async def test_what_one_may_not_move_on_holds_up_nothing_behind_it(guarded: Kafka) -> None:
    theirs, mine = Queue(f"kept.{new_id()}", str), Queue(f"mine.{new_id()}", str)
    handled: asyncio.Queue[str] = asyncio.Queue()
    everything = ["Create", "Read", "Write"]

    @listener(mine)
    async def take(message: str) -> None:
        handled.put_nowait(message)

    mighty = Settings(url=f"kafka://{guarded.direct[0]}")
    async with Application([], topology=[theirs, mine], settings=mighty):
        pass
    await permit(
        guarded,
        "mover",
        [
            Permission("topic", "mine*", everything),
            Permission("topic", "msgkit.*", everything),
            Permission("group", "mine*", ["Read"]),
            Permission("group", "msgkit.*", ["Read"]),
            Permission("transactional id", "msgkit*", ["Write"]),
        ],
    )
    cluster = Cluster(Door(client="looking"), guarded.direct)
    level = Partition("msgkit.delay.0", 0)
    settings = Settings(url=guarded.url.replace("://", f"://mover:{PASSWORD}@"))
    async with Application([take], settings=settings) as app, asyncio.timeout(60):
        async with MessageTemplate(mighty) as template:
            await template.send(theirs, "forbidden", delay=0.1)
        for _ in range(3):
            await app.template.send(mine, "permitted", delay=0.1)
            assert await handled.get() == "permitted"
        await cluster.refresh([level.topic])

        async def is_all_done() -> bool:
            coordinator = await cluster.coordinator(GROUP_OF_DELAYS, GROUP)
            done = (await offsets_of(cluster, coordinator, GROUP_OF_DELAYS, [level]))[level].offset
            return done is not None and done >= (await Groups(cluster).ends([level], LATEST))[level] - 1

        # It is the lowest that is not done that is committed.
        await until(is_all_done)
        await cluster.close()
