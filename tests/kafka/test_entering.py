"""Coming into a group: with other filters than those in it, and in the place of who was there before."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from msgkit.envelope import Kind
from msgkit.errors import ConfigurationError, DeliveryLost
from msgkit.settlement import ACCEPT
from msgkit.spi import ExchangeSpec, Fatal, QueueSpec, RouteSpec
from msgkit.testing.brokers import Kafka
from msgkit_kafka.consumer import KafkaConsumer
from tests.bench import Bench, Taker
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]

#: Enough of them to have some in each partition.
KEYS = [f"key {number}" for number in range(30)]
#: Longer than any of these tests: who does not leave is counted for as long.
LONG: Mapping[str, object] = {"session_timeout": 60}
SHORT: Mapping[str, object] = {"session_timeout": 6}


def reading(name: str, exchanges: Iterable[str], subject: str = "#") -> QueueSpec:
    """Return a queue with a route from each of its own exchanges that are named."""
    routes = tuple(RouteSpec(exchange=f"{name}.{each}", subject=subject) for each in exchanges)
    return QueueSpec(name=f"{name}.queue", routes=routes)


@asynccontextmanager
async def declared(broker: Kafka, *queues: QueueSpec) -> AsyncGenerator[Bench]:
    async with Bench.open(broker.url) as bench, asyncio.timeout(50):
        exchanges = {route.exchange for queue in queues for route in queue.routes}
        for queue in queues:
            await bench.declare(queue, *map(exchange, exchanges))
        yield bench


def exchange(name: str) -> ExchangeSpec:
    return ExchangeSpec(name=name)


async def publish(bench: Bench, to: str, subject: str = "any") -> None:
    for key in KEYS:
        await bench.send(subject, to, kind=Kind.EXCHANGE, key=key, subject=subject)


async def bodies(taker: Taker, count: int) -> Sequence[bytes]:
    """Take and settle so many. What is another's by then comes again: who has some in hand is not waited for here."""
    found: list[bytes] = []
    while len(found) < count:
        raw = await taker.take()
        with suppress(DeliveryLost):
            await taker.settle(raw, ACCEPT)
            found.append(raw.envelope.body)
    return found


# -- filters


@pytest.mark.parametrize("instances", [(None, None), ("one", "other")], ids=["passing", "static"])
async def test_of_two_with_other_filters_that_begin_together_one_is_refused_and_leaves(
    interop: Kafka, name: str, instances: Sequence[str | None]
) -> None:
    subjects = ("eu", "us")
    queues = [reading(name, ["orders"], subject) for subject in subjects]
    eu, us = ({**LONG, **({} if each is None else {"instance": f"{name}.{each}"})} for each in instances)
    async with (
        declared(interop, queues[0]) as bench,
        Bench.open(interop.url, options=eu) as one,
        Bench.open(interop.url, options=us) as other,
    ):
        for subject in subjects:
            await publish(bench, f"{name}.orders", subject)
        came = await asyncio.gather(one.consume(queues[0]), other.consume(queues[1]), return_exceptions=True)
        (refused,) = [each for each in came if not isinstance(each, Taker)]
        ((subject, taker),) = [
            (subject, each) for subject, each in zip(subjects, came, strict=True) if isinstance(each, Taker)
        ]
        assert isinstance(refused, ConfigurationError)
        assert "others consume it with other routes than" in str(refused)
        assert await bodies(taker, len(KEYS)) == [subject.encode()] * len(KEYS)
        await taker.consumer.close()


async def test_whoever_has_other_filters_than_those_at_work_is_refused_and_disturbs_nobody(
    interop: Kafka, name: str
) -> None:
    eu, us = (reading(name, ["orders"], subject) for subject in ("eu", "us"))
    async with declared(interop, eu) as bench:
        taker = await bench.consume(eu)
        await publish(bench, f"{name}.orders", "eu")
        raws = await taker.take_all(len(KEYS))
        with pytest.raises(ConfigurationError, match="other routes than 'us' from"):
            await bench.consume(us)
        for raw in raws:
            # None of them is anybody else's.
            await taker.settle(raw, ACCEPT)
        await taker.consumer.close()
        await (await bench.consume(us)).consumer.close()


async def test_several_that_begin_together_are_not_refused_for_what_stood_before_them(
    interop: Kafka, name: str
) -> None:
    """Who lives says what counts, and not what is committed."""
    before, after = (reading(name, ["orders"], subject) for subject in ("eu", "us"))
    other = reading(name, ["bills"])
    async with declared(interop, before, other) as bench:
        former = await bench.consume(before)
        await publish(bench, f"{name}.orders", "eu")
        await bodies(former, len(KEYS))
        await former.consumer.close()
        takers = [await bench.consume(other), *await asyncio.gather(*(bench.consume(after) for _ in range(4)))]
        for taker in takers:
            await taker.consumer.close()


# -- instances


@asynccontextmanager
async def instance(
    broker: Kafka, name: str, queue: QueueSpec, options: Mapping[str, object] = LONG
) -> AsyncGenerator[Taker]:
    """Have an instance consume; another one may take its place afterwards."""
    async with Bench.open(broker.url, options={**options, "instance": f"{name}.till"}) as bench:
        taker = await bench.consume(queue)
        yield taker
        await taker.consumer.close()


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "led"])
async def test_an_instance_that_comes_back_for_other_topics_reads_those_and_no_others(
    interop: Kafka, name: str, *, is_alone: bool
) -> None:
    before, after = reading(name, ["all", "old"]), reading(name, ["all", "new"])
    async with declared(interop, before, after) as bench:
        host = None if is_alone else await bench.consume(before)
        async with instance(interop, name, before) as taker:

            async def has_some() -> bool:
                await publish(bench, f"{name}.old", "early")
                return taker.has_some

            await until(has_some)
        async with instance(interop, name, after) as taker:
            await publish(bench, f"{name}.new", "new")
            assert await bodies(taker, len(KEYS)) == [b"new"] * len(KEYS)
            await publish(bench, f"{name}.old", "late")
            if host is not None:
                late = 0
                while late < len(KEYS):
                    late += (await bodies(host, 1)).count(b"late")
                await host.consumer.close()
            assert not taker.has_some


async def test_an_instance_whose_place_another_one_took_comes_back_when_that_is_gone_and_not_before(
    interop: Kafka, name: str
) -> None:
    queue = QueueSpec(name=name)
    async with declared(interop, queue) as bench, instance(interop, name, queue, SHORT) as first:
        async with instance(interop, name, queue, SHORT) as other:
            event = await first.events.get()
            while not isinstance(event, Fatal):
                event = await first.events.get()
            assert "another process uses instance" in event.reason
            for _ in range(3):
                cast("KafkaConsumer", first.consumer).look()
                await bench.send("y", name)
                assert await bodies(other, 1) == [b"y"]
        await bench.send("x", name)
        assert await bodies(first, 1) == [b"x"]
