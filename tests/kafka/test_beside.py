"""Two consumers of one queue in one client, as when somebody receives from a queue that has a listener."""

import asyncio

from msgkit.spi import Fatal, QueueSpec, Up
from msgkit_kafka.options import KafkaQueue
from msgkit_kafka.wire import logs
from msgkit_kafka.wire.errors import Code
from msgkit_kafka.wire.groups import Join, Leave
from tests.bench import Bench
from tests.kafka.wire_broker import serving

QUEUE = QueueSpec(name="jobs")


async def test_what_one_of_them_cannot_read_is_told_until_that_one_can() -> None:
    async with serving() as broker, asyncio.timeout(15):
        fetch = broker.answer_to(logs.FETCH)

        async def out_of_range(asked: logs.Fetch) -> logs.Fetched:
            if QUEUE.name not in [topic.name for topic in asked.topics]:
                others: logs.Fetched = await fetch(asked)
                return others
            broker.says(logs.FETCH, fetch)
            part = logs.FetchedPartition(0, Code.OFFSET_OUT_OF_RANGE, -1, -1, -1, [], -1, None)
            return logs.Fetched(0, 0, 0, [logs.FetchedTopic(QUEUE.name, [part])])

        broker.says(logs.FETCH, out_of_range)
        async with Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
            listener = await bench.consume(QUEUE)
            unread = await bench.events.get()
            assert isinstance(unread, Fatal)
            assert "jobs/0 cannot be read at offset 0: offset out of range" in unread.reason
            await (await bench.consume(QUEUE)).consumer.close()
            assert bench.events.empty()
            await listener.consumer.close()
            assert isinstance(await bench.events.get(), Up)
            assert bench.events.empty()


async def test_of_those_in_one_group_one_has_the_name_of_the_instance_and_the_others_leave_when_they_close() -> None:
    shared = QueueSpec(name="more jobs", options=(KafkaQueue(group=QUEUE.name),))

    async with serving() as broker, asyncio.timeout(15):

        def names() -> list[str | None]:
            return [asked.instance for asked in broker.asked if isinstance(asked, Join) and asked.group == QUEUE.name]

        async with Bench.open(f"kafka://127.0.0.1:{broker.port}", options={"instance": "till"}) as bench:
            listener = await bench.consume(QUEUE)
            receiver, sharer = await bench.consume(QUEUE), await bench.consume(shared)
            assert names() == ["till", None, None]
            await receiver.consumer.close()
            await sharer.consumer.close()
            assert len([asked for asked in broker.asked if isinstance(asked, Leave)]) == len([receiver, sharer])
            await listener.consumer.close()
            await bench.consume(QUEUE)
            assert names() == ["till", None, None, "till"]
