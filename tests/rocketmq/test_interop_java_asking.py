"""Questions and half messages of RocketMQ's own client for Java and of msgkit, each for the other."""

from collections.abc import Sequence

import pytest

from msgkit import Application, Exchange, MessageTemplate, Queue, Settings, listener
from msgkit.testing.brokers import RocketMQ
from tests.interop.shop import ORDER, OrderPlaced, Quote, QuoteRequest
from tests.rocketmq.java import Java

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("rocketmq-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]


@pytest.fixture
def settings(interop: RocketMQ) -> Settings:
    return Settings(url=interop.url)


async def test_java_asks_and_msgkit_answers(settings: Settings, java: Java, name: str) -> None:
    quotes = Queue(name, QuoteRequest)

    @listener(quotes)
    async def quote(request: QuoteRequest) -> Quote:
        return Quote(price=20 * request.pieces)

    async with Application([quote], settings=settings):
        answer = await java.request(name, b'{"article":"lamp","pieces":2}')
    assert answer.body == b'{"price":40}'


async def test_msgkit_asks_and_java_answers(settings: Settings, java: Java, name: str) -> None:
    quotes = Queue(name, QuoteRequest)
    async with MessageTemplate(settings) as template:
        await template.declare(quotes)
        await java.answer(name)
        answers: Sequence[Quote] = [
            await template.request(quotes, QuoteRequest(article="lamp", pieces=pieces), Quote, timeout=20)
            for pieces in (2, 3)
        ]
    assert [answer.price for answer in answers] == [40, 60]


async def test_java_handles_what_msgkit_prepared_when_it_is_committed(
    settings: Settings, java: Java, name: str
) -> None:
    orders = Exchange(name, OrderPlaced)
    async with MessageTemplate(settings) as template:
        await template.declare(orders)
        inbox = await java.listen(name)
        with pytest.raises(KeyError):
            async with template.prepare(orders, ORDER, key="lost", check="never"):
                raise KeyError
        async with template.prepare(orders, ORDER, key="17", check="never"):
            pass
        assert (await inbox.next()).properties["__SHARDINGKEY"] == "17"
