"""Brokers that are away, and URLs that are none."""

import asyncio

import pytest

from msgkit import MessageTemplate, Queue, Settings
from msgkit.brokers import binding_for
from msgkit.errors import ConfigurationError
from msgkit.settings import SettingsValues
from msgkit_memory import Broker
from tests.core.workshop import Place

orders = Queue("orders", str)


async def test_a_broker_that_is_away_keeps_nobody_from_another(place: Place) -> None:
    away = f"{place.url}-away"
    said: SettingsValues = {"url": place.url, "wait_for_broker": 3, "brokers": {"away": {"url": away}}}
    Broker.at(away).faults.stop()
    async with MessageTemplate(Settings(**said)) as template:
        waits = asyncio.create_task(template.send(Queue("q", str, broker="away"), "x"))
        await asyncio.sleep(0)
        await asyncio.wait_for(template.declare(orders), 1)
        waits.cancel()
        await asyncio.wait([waits])
    Broker.forget(away)


@pytest.mark.parametrize("url", ["amqp://user:s3cret\u2100@host/", "amqp://user:s3cret@[host"])
def test_what_is_no_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no URL") as caught:
        binding_for(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__
