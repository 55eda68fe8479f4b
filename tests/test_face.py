"""What the face offers beside what the conformance suite checks; no broker has a part in it."""

from typing import Annotated

import pytest
from pydantic import Field

from msgkit import Accept, Application, Delivery, Exchange, Message, Queue, listener
from msgkit.errors import PayloadTypeError
from msgkit.testing import probe

jobs = Queue("jobs", str)
orders = Exchange("orders", str)
billing = orders.queue("billing")
app = Application(topology=[jobs, billing])


async def test_a_message_brings_its_own_options() -> None:
    async with probe(app) as probed:
        message = Message("one", key="k", headers={"a": 1}, message_id="m1", correlation_id="c1")
        await probed.template.send(jobs, message, headers={"b": 2})
        (sent,) = probed.sent(jobs)
        assert (sent.id, sent.key, sent.correlation_id) == ("m1", "k", "c1")
        assert sent.headers == {"a": 1, "b": 2}


async def test_a_message_that_was_received_is_sent_on_as_a_new_one() -> None:
    async with probe(app) as probed:
        first = await probed.template.send(jobs, "one", key="k", headers={"a": 1})
        async with probed.template.receive(jobs) as (delivery,):
            second = await probed.template.send(orders, delivery)
        (sent,) = probed.sent(orders)
        assert second.message_id == sent.id != first.message_id
        assert (sent.key, sent.headers, sent.correlation_id) == ("k", {"a": 1}, first.message_id)


async def test_a_handle_sends_to_one_destination_with_options_that_a_call_may_override() -> None:
    async with probe(app) as probed:
        handle = probed.template.to(jobs, key="k", headers={"a": 1})
        await handle.send("one")
        await handle.send("two", key="other")
        assert [(sent.payload, sent.key, sent.headers) for sent in probed.sent(jobs)] == [
            ("one", "k", {"a": 1}),
            ("two", "other", {"a": 1}),
        ]


async def test_a_list_with_one_wrong_payload_is_refused_before_any_is_sent() -> None:
    async with probe(app) as probed:
        with pytest.raises(PayloadTypeError, match="carries str, not int"):
            await probed.template.send_many(jobs, ["one", 2])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]  # the mistake itself
        assert probed.sent(jobs) == []


async def test_whoever_takes_by_hand_can_answer() -> None:
    answered: list[str] = []

    @listener(billing)
    async def asks(order: str) -> None:
        answered.append(await probed.template.request(jobs, order, str))

    async with probe(Application([asks], topology=[jobs])) as probed:
        await probed.template.send(orders, "how much?")
        async with probed.template.receive(jobs, timeout=5) as (question,):
            await question.reply(f"{question.payload} 30")
        await probed.idle()
        assert answered == ["how much? 30"]


async def test_a_handler_may_accept_before_it_works() -> None:
    handled: list[int] = []

    @listener(jobs, settle="later")
    async def work(delivery: Delivery[str]) -> None:
        await delivery.settle(Accept())
        handled.append(delivery.attempt)
        raise ValueError("too late to be tried again")

    async with probe(Application([work])) as probed:
        await probed.template.send(jobs, "one")
        await probed.advance(60)
        assert handled == [1]
        assert probed.dead(jobs) == []


async def test_a_payload_that_is_not_valid_is_poison() -> None:
    numbers = Exchange("numbers", int)
    positive = numbers.queue("positive")

    @listener(positive)
    async def count(number: Annotated[int, Field(gt=0)]) -> None: ...

    async with probe(Application([count])) as probed:
        await probed.template.send_many(numbers, [1, -1])
        await probed.idle()
        assert [message.payload for message in probed.handled(count)] == [1]
        (letter,) = probed.dead(positive)
        assert (letter.payload, letter.headers["msgkit-dead-reason"]) == (b"-1", "poison")
