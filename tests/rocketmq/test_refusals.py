"""What cannot be had of a RocketMQ, said before anything is lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from msgkit.errors import BrokerUnavailable, ConfigurationError, InvalidMessage, MessagingError, SendRefused
from msgkit.reaching import Address
from msgkit.spi import QueueSpec
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.frames import Frame
from tests.bench import Bench, message
from tests.rocketmq.peers import cluster_of, peer


@asynccontextmanager
async def naming(**masters: Address) -> AsyncGenerator[str]:
    """Be a name server that knows these brokers, at the URL that is yielded."""
    async with peer({Request.GET_BROKER_CLUSTER_INFO: cluster_of(**masters)}) as names:
        yield f"rocketmq://{names}"


async def failure(url: str, wait: float = 0) -> MessagingError:
    """Return what comes of connecting."""
    async with asyncio.timeout(20):
        with pytest.raises(MessagingError) as caught:
            async with Bench.open(url, wait=wait):
                pass
    return caught.value


async def test_no_name_server_is_named_where_it_was_looked_for() -> None:
    async with peer({}) as nobody:
        pass
    error = await failure(f"rocketmq://{nobody}")
    assert isinstance(error, BrokerUnavailable)
    assert str(nobody) in str(error)


async def test_a_name_server_that_knows_no_broker_is_none() -> None:
    async with naming() as url:
        error = await failure(url, wait=0.3)
    assert isinstance(error, BrokerUnavailable)
    assert "no broker" in str(error)


async def test_a_broker_that_is_not_where_it_says_is_named_with_the_setting() -> None:
    async with peer({}) as nobody:
        pass
    async with naming(a=nobody) as url:
        error = await failure(url)
    assert isinstance(error, BrokerUnavailable)
    assert str(nobody) in str(error)
    assert "brokerIP1" in str(error)


async def test_a_wrong_secret_is_refused_at_once_and_not_shown() -> None:
    async with (
        peer({Request.HEART_BEAT: Frame(Response.NO_PERMISSION, remark="signature does not match")}) as broker,
        naming(a=broker) as url,
    ):
        error = await failure(url.replace("//", "//key:hunter2@"), wait=20)
    assert isinstance(error, ConfigurationError)
    assert "signature does not match" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.broker
async def test_what_is_too_large_is_refused_and_harms_no_other(lending: RocketMQ, name: str) -> None:
    async with Bench.open(lending.url) as bench, asyncio.timeout(30):
        await bench.declare(QueueSpec(name=name))
        sends = [bench.binding.send(message(body, name)) for body in (b"one", b"x" * (4 * 1024 * 1024 + 1), b"two")]
        one, large, two = await asyncio.gather(*sends, return_exceptions=True)
        assert isinstance(large, SendRefused)
        assert not isinstance(one, BaseException)
        assert not isinstance(two, BaseException)
        with pytest.raises(InvalidMessage, match="room"):
            await bench.send("", name, headers={"x": "x" * 32 * 1024})


@pytest.mark.broker
async def test_a_delay_beyond_the_longest_is_refused_with_the_longest(lending: RocketMQ, name: str) -> None:
    async with Bench.open(lending.url) as bench:
        await bench.declare(QueueSpec(name=name))
        with pytest.raises(SendRefused, match="at most 259200 s"):
            await bench.send("later", name, delay=3 * 24 * 3600 + 1.0)
