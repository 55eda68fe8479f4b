"""The programs at the other end, each with itself: what the interop tests build on."""

import pytest

from tests.interop import JavaFailed
from tests.rabbitmq.plain import Plain
from tests.rabbitmq.spring import Spring

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("rabbitmq-interop"),
    # One JVM for all of them.
    pytest.mark.asyncio(loop_scope="session"),
]

ORDER = {"id": "1", "customer": "17", "total": 30}


async def test_spring_reads_what_spring_sent(spring: Spring, name: str) -> None:
    await spring.declare_queue(name)
    inbox = await spring.listen(name)
    await spring.send("", name, ORDER, headers={"x-trace": "7"})
    got = await inbox.next()
    assert got.body == b'{"id":"1","customer":"17","total":30}'
    assert got.headers["__TypeId__"] == "shop.OrderPlaced"
    assert got.headers["x-trace"] == "7"
    assert got.properties["contentType"] == "application/json"


async def test_spring_converts_to_what_its_method_takes(spring: Spring, plain: Plain, name: str) -> None:
    await spring.declare_queue(name)
    inbox = await spring.listen_typed(name)
    await plain.publish("", name, b'{"id":"1","customer":"17","total":30}', content_type="application/json")
    got = await inbox.next()
    assert got.payload == ORDER


async def test_spring_answers_spring(spring: Spring, name: str) -> None:
    await spring.declare_queue(name)
    await spring.answer(name)
    assert await spring.request("", name, {"article": "lamp", "pieces": 2}) == ("shop.Quote", {"price": 40})
    answer = await spring.request_plain("", name, {"article": "lamp", "pieces": 3})
    assert answer.body == b'{"price":60}'


async def test_spring_tells_what_came_back(spring: Spring) -> None:
    with pytest.raises(JavaFailed, match="NO_ROUTE"):
        await spring.send("", "nobody.is.here", ORDER)


async def test_spring_sends_headers_of_the_java_types_that_are_asked_for(
    spring: Spring, plain: Plain, name: str
) -> None:
    await spring.declare_exchange(name)
    await spring.declare_queue(name)
    await spring.bind(name, name, "placed.*")
    headers = {"short": 5, "nested": {"list": [1, "two"]}}
    await spring.send(name, "placed.eu", ORDER, headers=headers, classes={"short": "java.lang.Short"})
    got = await plain.take(name)
    assert got.headers["short"] == 5
    assert got.headers["nested"] == {"list": [1, "two"]}
    assert got.routing_key == "placed.eu"


async def test_pika_reads_what_pika_sent(plain: Plain, name: str) -> None:
    await plain.declare_queue(name)
    await plain.publish("", name, b"one", headers={"x": [1, {"y": None}]}, message_id="m")
    await plain.publish("", name, b"two")
    first, second = await plain.take(name), await plain.take(name)
    assert (first.body, first.headers, first.properties) == (b"one", {"x": [1, {"y": None}]}, {"message_id": "m"})
    assert (second.body, second.headers, second.properties) == (b"two", {}, {})


async def test_spring_and_pika_answer_each_other(spring: Spring, plain: Plain, name: str) -> None:
    await spring.declare_queue(name)
    await spring.answer(name)
    asked = {"content_type": "application/json", "correlation_id": "c"}
    answer = await plain.ask(name, b'{"article":"lamp","pieces":2}', **asked)
    assert answer.body == b'{"price":40}'
    assert answer.properties["correlation_id"] == "c"
