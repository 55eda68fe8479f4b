"""What a service holds on a real broker: after so many messages, and after so many lost connections."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter

from benchmarks import memory
from benchmarks.cores import on_the_others
from benchmarks.looks import LOOKS, look, report
from benchmarks.report import Report
from msgkit import Application, MessageTemplate, Queue, Settings, listener
from msgkit.errors import SendFailed
from msgkit.testing.brokers import Broker, Kafka, RabbitMQ

__all__ = ["BROKERS", "passing", "reconnecting"]

BROKERS: Mapping[str, type[Broker]] = {"kafka": Kafka, "rabbitmq": RabbitMQ}

jobs = Queue("jobs", int)


async def passing(on: str, *, messages: int) -> Report:
    """Have so many messages pass, with one in hand from the beginning: on Kafka it holds up its partition."""
    async with _running(BROKERS[on](provider="process")) as broker:
        return await memory.measure(messages=messages, url=broker.url, held_up=messages // 4 if on == "kafka" else 1)


async def reconnecting(on: str, *, times: int) -> Report:
    """Cut all connections, and again when a message got through. The proxy that cuts is in the figures, too."""
    done = asyncio.Queue[int]()

    @listener(jobs)
    async def work(job: int) -> None:
        done.put_nowait(job)

    async with (
        _running(BROKERS[on](provider="process", proxied=True)) as broker,
        Application([work], settings=Settings(url=broker.url)) as service,
    ):
        part = max(1, times // LOOKS)
        runs: list[dict[str, float]] = []
        for first in range(0, part * LOOKS, part):
            began = perf_counter()
            for number in range(first, first + part):
                await broker.proxy.cut()
                await _get_through(service.template, number)
                while await done.get() != number:
                    pass
            runs.append(look(reconnects=first + part) | {"ms_a_reconnect": (perf_counter() - began) / part * 1e3})
    return report("reconnects", "reconnect", runs)


@asynccontextmanager
async def _running(broker: Broker) -> AsyncGenerator[Broker]:
    """Start it so that it takes no time from what is measured, where there is more than one core."""
    async with AsyncExitStack() as stack:
        with on_the_others():
            await stack.enter_async_context(broker)
        yield broker


async def _get_through(template: MessageTemplate, number: int) -> None:
    while True:
        try:
            await template.send(jobs, number)
        except SendFailed:
            # It was on its way when the connection was cut.
            continue
        return
