"""Coming back into a group that has other filters by now."""

import asyncio

import pytest

from msgkit.errors import ConfigurationError
from msgkit.spi import Event, Fatal
from msgkit.testing.brokers import Kafka
from tests.bench import Bench, Taker
from tests.kafka.test_entering import KEYS, bodies, exchange, publish, reading
from tests.waiting import until

pytestmark = pytest.mark.broker


async def test_whoever_was_taken_for_gone_while_others_with_other_routes_came_waits_for_them_to_go(
    checked: Kafka, name: str
) -> None:
    eu, us = (reading(name, ["orders"], subject) for subject in ("eu", "us"))
    nearby = f"kafka://{checked.direct[0]}"
    async with (
        asyncio.timeout(90),
        Bench.open(nearby) as bench,
        Bench.open(checked.url, options={"session_timeout": 6, "request_timeout": 2}) as away,
    ):
        await bench.declare(eu, exchange(f"{name}.orders"))
        gone = await away.consume(eu)
        await checked.proxy.black_hole()

        async def let_in() -> Taker | None:
            try:
                return await bench.consume(us)
            except ConfigurationError:
                return None

        other = await until(let_in, patience=30)
        assert other is not None
        await checked.proxy.heal()
        event: Event | None = None
        while not isinstance(event, Fatal):
            event = await gone.events.get()
        assert "others consume it with other routes than 'eu'" in event.reason
        await other.consumer.close()
        await publish(bench, f"{name}.orders", "eu")
        assert await bodies(gone, len(KEYS)) == [b"eu"] * len(KEYS)
        await gone.consumer.close()
