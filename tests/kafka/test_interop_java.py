"""Consumers of Java's own client in the groups of msgkit, and its choice of partitions."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from random import Random

import pytest

from msgkit import Application, Backoff, Exchange, Queue, Settings, listener
from msgkit.spi.partitioning import partition_of
from msgkit_kafka import KafkaQueue, KafkaTopic
from tests.interop.inbox import Inbox
from tests.kafka.plain import Plain
from tests.kafka.spring import JavaRecord, Spring

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("kafka-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]

STICKY: Mapping[str, str] = {}
#: Java's default: by ranges or cooperatively, whichever all members can.
DEFAULT = {"partition.assignment.strategy": ""}
#: The newer protocol, in which the brokers share out.
BY_BROKERS = {"partition.assignment.strategy": "", "group.protocol": "consumer"}
_PATIENCE = 40.0
_PARTITIONS = 6


class Handled:
    """What was handled, by whomever."""

    def __init__(self) -> None:
        self.ours = Counter[int]()
        self.theirs = Counter[int]()
        self._changed = asyncio.Event()

    def note(self, who: Counter[int], number: int) -> None:
        who[number] += 1
        self._changed.set()

    def by_java(self, record: JavaRecord) -> None:
        self.note(self.theirs, int(record.value))

    async def all(self, count: int) -> None:
        """Return when all numbers below have been handled.

        :raises TimeoutError: when they have not
        """
        async with asyncio.timeout(_PATIENCE):
            while len(self.ours.keys() | self.theirs.keys()) < count:
                self._changed.clear()
                await self._changed.wait()

    async def some(self, who: Counter[int], count: int) -> None:
        """Return when somebody has handled so many."""
        async with asyncio.timeout(_PATIENCE):
            while who.total() < count:
                self._changed.clear()
                await self._changed.wait()

    @property
    def twice(self) -> set[int]:
        return {number for number, times in (self.ours + self.theirs).items() if times > 1}


async def has(shares: Inbox[int], least: int, most: int) -> None:
    """Return when a member has so many partitions."""
    while not least <= await shares.next() <= most:
        pass


@asynccontextmanager
async def sending(plain: Plain, topic: str) -> AsyncGenerator[Counter[str]]:
    """Send numbers without end, each to the next partition; count them, and go on until the block ends."""
    count = Counter[str]()
    is_over = asyncio.Event()

    async def send() -> None:
        async with plain.sending() as write:
            while not is_over.is_set():
                await write(topic, b"%d" % count["sent"], count["sent"] % _PARTITIONS)
                count["sent"] += 1

    sender = asyncio.create_task(send())
    try:
        yield count
    finally:
        is_over.set()
        await sender


# -- partitions


async def test_a_key_has_the_partition_that_java_chooses(spring: Spring) -> None:
    draw = Random(7)  # noqa: S311 -- the same keys each time
    letters = "aZ09-_ äßñ€漢字\U0001f600\x00\x7f"
    keys = ["", *("".join(draw.choices(letters, k=draw.randint(1, 40))) for _ in range(400)), "größe" * 100]
    for count in (1, 2, 3, 8, 12, 50):
        assert [partition_of(key.encode(), count) for key in keys] == list(await spring.partitions(keys, count))


# -- in one group


@pytest.mark.parametrize("how", [STICKY, DEFAULT, BY_BROKERS], ids=["sticky", "default", "by-brokers"])
async def test_a_member_of_java_comes_and_goes_under_load_and_nothing_is_lost_or_repeated(
    settings: Settings, plain: Plain, spring: Spring, name: str, how: Mapping[str, str]
) -> None:
    await plain.create_topic(name, _PARTITIONS)
    numbers = Queue(name, int, options=[KafkaTopic(declare=False)])
    handled = Handled()
    draw = Random(7)  # noqa: S311 -- the same each time

    @listener(numbers, concurrency=8)
    async def work(number: int) -> None:
        await asyncio.sleep(draw.random() / 50)
        handled.note(handled.ours, number)

    async with Application([work], settings=settings):
        async with sending(plain, name) as count:
            await handled.some(handled.ours, 50)
            async with spring.member(f"{name}.java", name, name, handled.by_java, settings=how) as shares:
                await has(shares, 1, _PARTITIONS - 1)
                await handled.some(handled.theirs, 50)
            before = handled.ours.total()
            await handled.some(handled.ours, before + 100)
        await handled.all(count["sent"])
    assert handled.theirs
    assert handled.twice == set()


@pytest.mark.parametrize("how", [STICKY, DEFAULT], ids=["sticky", "default"])
async def test_msgkit_joins_a_group_that_java_leads_and_leads_it_when_java_has_left(
    settings: Settings, plain: Plain, spring: Spring, name: str, how: Mapping[str, str]
) -> None:
    await plain.create_topic(name, _PARTITIONS)
    numbers = Queue(name, int, options=[KafkaTopic(declare=False)])
    handled = Handled()

    @listener(numbers)
    async def work(number: int) -> None:
        handled.note(handled.ours, number)

    async with sending(plain, name) as count:
        async with spring.member(f"{name}.java", name, name, handled.by_java, settings=how) as shares:
            await has(shares, _PARTITIONS, _PARTITIONS)
            await handled.some(handled.theirs, 50)
            async with Application([work], settings=settings):
                await has(shares, 1, _PARTITIONS - 1)
                await handled.some(handled.ours, 50)
            await has(shares, _PARTITIONS, _PARTITIONS)
            before = handled.theirs.total()
            await handled.some(handled.theirs, before + 50)
        async with Application([work], settings=settings):
            before = handled.ours.total()
            await handled.some(handled.ours, before + 50)
    async with Application([work], settings=settings):
        await handled.all(count["sent"])
    assert handled.twice == set()


async def test_java_goes_on_at_the_lowest_that_is_not_done_and_repeats_what_msgkit_has_done_above_it(
    settings: Settings, plain: Plain, spring: Spring, name: str
) -> None:
    await plain.create_topic(name, 1)
    events = Exchange(name, int, options=[KafkaTopic(declare=False)])
    # Without a topic of its own, what is tried again waits at its place.
    numbers = events.queue(f"{name}.queue", options=[KafkaQueue(group=name, direct=False)])
    got = Inbox[int]()

    @listener(numbers, retry=Backoff(5, first=600))
    async def work(number: int) -> None:
        got.put(number)
        if number == 2:
            raise RuntimeError("not now")

    async def until_nine() -> list[int]:
        found = [await got.next()]
        while max(found) < 9:
            found.append(await got.next())
        return found

    async with Application([work], settings=settings):
        for number in range(10):
            await plain.send(name, b"%d" % number)
        assert sorted(await until_nine()) == list(range(10))
    # Whoever reads what stands beside the offset repeats only what is not done.
    async with Application([work], settings=settings):
        await plain.send(name, b"10")
        assert sorted([await got.next(), await got.next()]) == [2, 10]
    java = Inbox[JavaRecord]()
    async with spring.member(f"{name}.java", name, name, java.put):
        assert [int((await java.next()).value) for _ in range(9)] == list(range(2, 11))
    # And nothing of this is known any more when java has committed.
    async with Application([work], settings=settings):
        await plain.send(name, b"11")
        assert await got.next() == 11


@pytest.mark.parametrize("metadata", ["", "checkpoint 7: größe", "msgkit1 00000000 0 - r11"])
async def test_where_java_has_committed_msgkit_goes_on_whatever_is_written_beside_it(
    settings: Settings, plain: Plain, spring: Spring, name: str, metadata: str
) -> None:
    await plain.create_topic(name, 1)
    numbers = Queue(name, int, options=[KafkaTopic(declare=False)])
    got = Inbox[int]()

    @listener(numbers)
    async def work(number: int) -> None:
        got.put(number)

    for number in range(5):
        await plain.send(name, b"%d" % number)
    java = Inbox[JavaRecord]()
    async with spring.member(f"{name}.java", name, name, java.put, metadata=metadata):
        assert [int((await java.next()).value) for _ in range(5)] == list(range(5))
    assert await plain.committed(name, name) == {0: (5, metadata)}
    async with Application([work], settings=settings):
        await plain.send(name, b"5")
        await plain.send(name, b"6")
        assert [await got.next(), await got.next()] == [5, 6]
