import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from msgkit import (
    Application,
    Backoff,
    Batch,
    Exchange,
    Message,
    MessageTemplate,
    Queue,
    Reject,
    Retry,
    Settings,
    listener,
)
from msgkit.errors import Closed, InvalidMessage, SendRefused
from msgkit.testing import VirtualClock, probe
from tests.core.workshop import Order, Place

orders = Exchange("orders", Order, str)
billing = orders.queue("billing")
jobs = Queue("jobs", int)
done = Queue("done", int)


@listener(billing)
async def bill(order: Order, template: MessageTemplate) -> None:
    if order.id < 0:
        raise Reject("negative")
    await template.send(done, order.id)


app = Application([bill], topology=[done])


# -- where it runs


async def test_it_runs_on_a_broker_of_its_own_whatever_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_URL", "nowhere://host")
    monkeypatch.setenv("MSGKIT_NO_SUCH_SETTING", "5")
    configured = Application([bill], settings=Settings(url="nowhere://host"), topology=[done])
    for application in (app, configured):
        async with probe(application) as probed:
            await probed.template.send(orders, Order(1))
            await probed.idle()
            assert len(probed.handled(bill)) == 1


async def test_two_at_once_know_nothing_of_each_other() -> None:
    other = Application([bill], topology=[done])
    async with probe(app) as one, probe(other) as another:
        await one.template.send(orders, Order(1))
        await one.idle()
        await another.idle()
        assert (len(one.handled(bill)), len(another.handled(bill))) == (1, 0)


async def test_each_time_it_begins_with_nothing() -> None:
    for _ in range(3):
        async with probe(app) as probed:
            assert (probed.sent(orders), probed.handled(bill), probed.dead(billing)) == ([], [], [])
            await probed.template.send(orders, Order(1))
            await probed.idle()


async def test_each_broker_that_is_named_is_one_of_its_own() -> None:
    audit = Queue("audit", int, broker="audit")

    @listener(jobs, send_to=audit)
    async def forward(number: int) -> int:
        return number

    async with probe(Application([forward])) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        assert [message.payload for message in probed.sent(audit)] == [1]


async def test_with_settings_it_runs_there_in_real_time(place: Place) -> None:
    async with probe(app, place.settings(prefix="test.")) as probed:
        await probed.template.send(orders, Order(1))
        await probed.idle()
        assert set(place.broker.depths()) >= {"test.billing"}
        assert [message.payload for message in probed.sent(done)] == [1]


# -- what it tells


async def test_it_tells_what_was_sent_by_the_test_and_by_the_application() -> None:
    async with probe(app) as probed:
        for payload in (Order(1), "a text", Order(2)):
            await probed.template.send(orders, payload, key="k", headers={"x": 1})
        await probed.idle()
        sent = probed.sent(orders)
        assert [message.payload for message in sent] == [Order(1), "a text", Order(2)]
        assert [(message.key, message.headers) for message in sent] == [("k", {"x": 1})] * 3
        assert [message.payload for message in probed.sent(done)] == [1, 2]


async def test_what_was_refused_was_not_sent() -> None:
    async with probe(app) as probed:
        with pytest.raises(SendRefused):
            await probed.template.send(Queue("nowhere", int), 1)
        assert probed.sent(Queue("nowhere", int)) == []


async def test_it_tells_what_was_handled_and_not_what_was_raised_over() -> None:
    tries: list[int] = []

    @listener(jobs, retry=Backoff(attempts=3, first=10, jitter=0))
    async def third_time(message: Message[int]) -> None:
        tries.append(message.attempt)
        if message.attempt < 3:
            raise ValueError("not yet")

    async with probe(Application([third_time])) as probed:
        await probed.template.send(jobs, 1, key="k")
        await probed.idle()
        assert probed.handled(third_time) == []
        await probed.advance(10 + 20)
        (message,) = probed.handled(third_time)
        assert (message.payload, message.key, message.attempt, tries) == (1, "k", 3, [1, 2, 3])


async def test_a_listener_is_found_as_a_function_and_as_a_method() -> None:
    class Service:
        @listener(jobs)
        async def take(self, number: int) -> None:
            """Take a number."""

        @listener(done)
        def take_in_a_thread(self, number: int) -> None:
            """Take a number elsewhere."""

    service = Service()
    async with probe(Application([service])) as probed:
        await probed.template.send(jobs, 1)
        await probed.template.send(done, 2)
        await probed.idle()
        for method in (service.take, Service.take):
            assert [message.payload for message in probed.handled(method)] == [1]
        assert [message.payload for message in probed.handled(service.take_in_a_thread)] == [2]


async def test_it_tells_what_was_given_up_with_its_bytes_and_its_reason() -> None:
    async with probe(app) as probed:
        await probed.template.send(orders, Order(-1))
        await probed.template.send(orders, "no order")
        await probed.idle()
        negative, poison = probed.dead(billing)
        assert (negative.payload, negative.headers["msgkit-dead-reason"]) == (b'{"id":-1}', "negative")
        assert (poison.payload, poison.headers["msgkit-dead-reason"]) == (b"no order", "poison")
        assert probed.handled(bill) == []


# -- being idle


async def test_it_is_idle_when_handlers_and_what_follows_from_them_are_done() -> None:
    seen: list[int] = []

    @listener(jobs, concurrency=2, send_to=jobs)
    async def countdown(number: int) -> int | None:
        await asyncio.sleep(0)
        seen.append(number)
        return number - 1 if number else None

    async with probe(Application([countdown])) as probed:
        await probed.template.send(jobs, 50)
        await probed.idle()
    assert seen == list(range(50, -1, -1))


async def test_it_waits_for_threads() -> None:
    seen: list[int] = []
    go_on = threading.Event()

    @listener(jobs)
    def slow(number: int) -> None:
        go_on.wait(0.05)
        seen.append(number)

    async with probe(Application([slow])) as probed:
        await probed.template.send_many(jobs, [1, 2])
        await probed.idle()
        assert seen == [1, 2]


async def test_it_does_not_wait_for_what_comes_later() -> None:
    @listener(jobs)
    async def wait(_: int) -> Retry:
        return Retry(60)

    async with probe(Application([wait, bill], topology=[done])) as probed:
        await probed.template.send(jobs, 1)
        await probed.template.send(orders, Order(1), delay=60)
        await probed.idle()
        assert probed.handled(bill) == []


async def test_who_is_busy_to_the_end_is_named() -> None:
    forever = asyncio.Event()

    @listener(jobs)
    async def dawdle(_: int) -> None:
        await forever.wait()

    async with probe(Application([dawdle, bill], topology=[done])) as probed:
        await probed.template.send(jobs, 1)
        with pytest.raises(TimeoutError) as caught:
            await probed.idle(timeout=0.01)
        assert str(caught.value) == "not idle within 0.01 s: jobs"
        forever.set()
        await probed.idle()


async def test_an_application_that_has_stopped_is_not_idle_but_closed() -> None:
    async with probe(app) as probed:
        pass
    with pytest.raises(Closed, match="the application that was probed does not run any more"):
        await probed.idle()


# -- letting time pass


async def test_retries_delays_and_expiries_come_about_in_their_order_and_at_their_time() -> None:
    events: list[tuple[str, float]] = []

    @listener(jobs, retry=Backoff(attempts=3, first=10, factor=2, jitter=0))
    async def note(message: Message[int], template: MessageTemplate) -> None:
        events.append((f"{message.payload} attempt {message.attempt}", template.clock.now() - start))
        if message.payload == 1 and message.attempt < 3:
            raise ValueError("not yet")

    async with probe(Application([note])) as probed:
        start = probed.template.clock.now()
        await probed.template.send(jobs, 1)
        await probed.template.send(jobs, 2, delay=15)
        await probed.template.send(jobs, 3, delay=timedelta(seconds=5))
        await probed.template.send(jobs, 4, delay=40, ttl=0)
        await probed.advance(60)
        assert probed.template.clock.now() - start == 60
    assert events == [
        ("1 attempt 1", 0),
        ("3 attempt 1", 5),
        ("1 attempt 2", 10),
        ("2 attempt 1", 15),
        ("1 attempt 3", 30),
    ]


async def test_what_begins_in_an_advance_ends_in_it_if_there_is_time() -> None:
    seen: list[float] = []

    @listener(jobs)
    async def again(number: int, template: MessageTemplate) -> None:
        seen.append(template.clock.now() - start)
        if number:
            await template.send(jobs, number - 1, delay=3600)

    async with probe(Application([again])) as probed:
        start = probed.template.clock.now()
        await probed.template.send(jobs, 48)
        await probed.advance(timedelta(days=1))
        assert seen == [3600 * hour for hour in range(25)]
        await probed.advance(timedelta(days=1))
        assert len(seen) == 49


async def test_a_batch_is_handled_when_its_time_is_over() -> None:
    batches: list[list[int]] = []

    @listener(jobs, batch=Batch(10, within=5))
    async def take(numbers: list[int]) -> None:
        batches.append(numbers)

    async with probe(Application([take])) as probed:
        await probed.template.send_many(jobs, [1, 2])
        await probed.idle()
        await probed.advance(4)
        assert batches == []
        await probed.template.send(jobs, 3)
        await probed.advance(1)
        assert batches == [[1, 2, 3]]


@pytest.mark.parametrize("by", [-1, timedelta(seconds=-1), "5"])
async def test_time_passes_forward_alone(by: Any) -> None:
    async with probe(app) as probed:
        with pytest.raises(InvalidMessage, match=r"advance\(by\) must "):
            await probed.advance(by)


async def test_the_time_of_a_test_is_the_templates(place: Place) -> None:
    async with probe(app) as probed:
        clock = probed.template.clock
        assert isinstance(clock, VirtualClock)
        before = clock.now()
        await probed.advance(5)
        assert clock.now() == before + 5
    async with probe(app, place.settings()) as probed:
        assert not isinstance(probed.template.clock, VirtualClock)
