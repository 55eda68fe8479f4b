import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from msgkit import (
    Application,
    Backoff,
    Exchange,
    Message,
    MessageTemplate,
    Option,
    Queue,
    Settings,
    checker,
    listener,
)
from msgkit.envelope import Envelope, Kind
from msgkit.errors import (
    BrokerUnavailable,
    Closed,
    ConfigurationError,
    MessagingError,
    UnknownSetting,
    UnsupportedCapability,
)
from msgkit.spi import BindingOptions, Power
from msgkit.testing.conformance.leaks import Leaks
from msgkit_memory import Broker, MemoryBinding
from tests.core.workshop import Place, at_rest, narrow, refusal_at_start, until

orders = Exchange("orders", int)
billing = orders.queue("billing")
jobs = Queue("jobs", int)


@listener(billing)
async def bill(number: int) -> None:
    billed.append(number)


@listener(jobs)
async def work(number: int) -> None:
    billed.append(number)


billed: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_billed() -> None:
    billed.clear()


# -- what keeps an application from starting


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"queues": {"biling": {"concurrency": 2}}},
            "queues.biling.concurrency (keyword): the application has no queue 'biling'; the nearest is 'billing'",
        ),
        (
            {"exchanges": {"order": {"name": "o"}}},
            "exchanges.order.name (keyword): the application has no exchange 'order'; the nearest is 'orders'",
        ),
        (
            {"queues": {"billing": {"max_in_flight": 1, "concurrency": 2}}},
            "Queue('billing'): max_in_flight=1 is less than concurrency=2; some would never work",
        ),
    ],
)
async def test_settings_that_do_not_fit_the_application_are_refused_and_nothing_is_begun(
    said: Any, message: str, place: Place
) -> None:
    kind = ConfigurationError if "max_in_flight" in message else UnknownSetting
    assert await refusal_at_start(kind, place, [bill], **said) == message


async def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_and_nothing_is_begun(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSGKIT_URL", place.url)
    monkeypatch.setenv("MSGKIT_DRIAN", "5")
    app = Application([bill])
    with pytest.raises(UnknownSetting) as caught:
        await app.__aenter__()
    assert "MSGKIT_DRIAN" in str(caught.value)
    assert "MSGKIT_DRAIN" in str(caught.value)
    assert place.is_untouched
    assert (await app.health())["status"] == "stopped"


async def test_a_name_in_place_of_a_destination_is_refused(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="exchanges and queues, and 'jobs' is none"):
        Application([bill], topology=["jobs"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType] -- what is tried is wrong
    assert place.is_untouched


@pytest.mark.parametrize(
    ("queue", "power", "who"),
    [
        (Queue("o", int, ordered=True), Power.ORDERED, "Queue('o') with ordered=True"),
        (Queue("p", int, priorities=3), Power.PRIORITY, "Queue('p') with priorities=3"),
        (Queue("s", int, start="earliest"), Power.START, "Queue('s') with start='earliest'"),
        (Exchange("h", int, kind="headers").queue("hq"), Power.HEADERS_EXCHANGE, "Exchange('h', kind='headers')"),
        (Queue.anonymous(orders.where()), Power.ANONYMOUS, None),
    ],
)
async def test_what_the_broker_cannot_keep_is_refused_before_anything_is_declared(
    queue: Queue[int], power: Power, who: str | None, place: Place
) -> None:
    async def handle(number: int) -> None:
        raise AssertionError(number)

    app = Application([listener(queue)(handle), work], settings=place.settings(url=narrow(place, power)))
    with pytest.raises(UnsupportedCapability) as caught:
        await app.__aenter__()
    who = who or f"Queue({queue.name!r}), anonymous,"
    assert str(caught.value) == (
        f"{who} asks for {power.value}, which memory cannot do: it was taken away; use a broker that has it"
    )
    assert place.is_untouched


async def test_a_handler_that_holds_messages_longer_than_the_broker_lets_it_is_refused(place: Place) -> None:
    @listener(Queue("o", int, ordered=True), timeout=50, retry=Backoff(attempts=3, first=20, jitter=0))
    async def handle(number: int) -> None:
        raise AssertionError(number)

    app = Application([handle], settings=place.settings(url=narrow(place, max_hold=60)))
    with pytest.raises(UnsupportedCapability) as caught:
        await app.__aenter__()
    assert str(caught.value) == (
        f"{__name__}.{test_a_handler_that_holds_messages_longer_than_the_broker_lets_it_is_refused.__name__}"
        ".<locals>.handle() may hold a message of Queue('o') for 90 s (timeout and pauses), "
        "but memory takes it back after 60 s; shorten timeout= or retry="
    )
    assert not place.broker.clients


async def test_a_broker_that_is_down_keeps_an_application_from_starting_when_that_is_wanted(place: Place) -> None:
    place.broker.faults.stop()
    app = Application([bill], settings=place.settings(wait_for_broker=0))
    with pytest.raises(BrokerUnavailable):
        await app.__aenter__()
    assert (await app.health())["status"] == "stopped"
    place.broker.faults.start()
    async with app:
        assert (await app.health())["status"] == "up"


async def test_what_was_begun_before_a_refusal_is_undone(place: Place) -> None:
    """Two brokers: the first is connected and listened to before the second cannot be reached."""
    other = Queue("other", int, broker="other")

    async def handle(number: int) -> None:
        raise AssertionError(number)

    brokers: Any = {"other": {"url": f"{place.url}-other"}}
    Broker.at(f"{place.url}-other").faults.stop()
    settings = place.settings(brokers=brokers, wait_for_broker=0)
    before = asyncio.all_tasks()
    with pytest.raises(BrokerUnavailable):
        await Application([bill, listener(other)(handle)], settings=settings).__aenter__()
    assert not place.broker.clients
    await until(lambda: asyncio.all_tasks() == before)
    Broker.forget(f"{place.url}-other")


# -- options of other brokers


class ElsewhereQueue(Option):
    schemes = ("elsewhere",)


async def test_options_of_another_broker_are_listed_in_the_plan_and_change_nothing(place: Place) -> None:
    queue = Queue("q", int, options=[ElsewhereQueue()])
    app = Application([], topology=[queue], settings=place.settings())
    ((_, _, plan),) = await app.plan()
    ignored = [entry for entry in plan.entries if entry.action.value == "ignored"]
    assert [(entry.what, entry.name) for entry in ignored] == [("option", "q")]
    assert "ElsewhereQueue" in ignored[0].detail
    async with app:
        await app.template.send(queue, 1)


# -- half messages


@checker("sold")
def is_sold(message: Message[bytes]) -> bool:
    return message.payload == b"1"


@checker("sold")
async def is_sold_too(_: Message[bytes]) -> bool:
    return True


async def waiting_message(place: Place) -> None:
    """Have a message wait that a listener would take at once."""
    async with place.template(jobs) as template:
        await template.send(jobs, 1)


def test_two_checkers_of_one_name_are_refused_where_they_are_listed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Application([work, is_sold, is_sold_too])
    assert str(caught.value) == (
        f"@checker('sold') stands on both {__name__}.is_sold() and {__name__}.is_sold_too(); one of them has to go"
    )


async def test_a_checker_without_a_broker_that_asks_is_refused_before_a_message_is_handled(place: Place) -> None:
    await waiting_message(place)
    app = Application([work, is_sold], settings=place.settings(url=narrow(place, Power.PREPARE)))
    with pytest.raises(UnsupportedCapability) as caught:
        await app.__aenter__()
    assert str(caught.value) == ("@checker('sold') answers for half messages, which no broker of this application has")
    await asyncio.sleep(0.01)
    assert (billed, place.waiting) == ([], 1)


async def test_a_checker_is_asked_again_when_it_failed_or_did_not_know_also_by_who_declares_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    Broker.at(f"{place.url}?check_after=0.01")
    asked: list[bytes] = []

    @checker("sold")
    def is_it_sold(message: Message[bytes]) -> bool | None:
        asked.append(message.payload)
        if len(asked) == 1:
            raise ValueError("no database")
        return True if len(asked) == 3 else None

    async with place.template(jobs), Application([is_it_sold], settings=place.settings()):
        doomed = MemoryBinding(BindingOptions(url=place.url, client="doomed"))
        await doomed.connect(lambda _: None)
        await doomed.prepare(Envelope(b"1", "jobs", Kind.QUEUE, "m"), "sold")
        place.broker.faults.vanish("doomed")
        await until(lambda: place.waiting == 1)
    assert asked == [b"1"] * 3
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.message == "@checker('sold') failed over message m; it is asked again"


# -- lifetime


async def test_an_application_runs_once_at_a_time(place: Place) -> None:
    async with Application([bill], settings=place.settings()) as app:
        with pytest.raises(ConfigurationError) as caught:
            await app.__aenter__()
        assert str(caught.value) == "the application runs already; make a second one to run it twice"
        await app.template.send(orders, 1)
        await until(lambda: billed == [1])


async def test_an_application_runs_again_with_the_same_template(place: Place) -> None:
    app = Application([bill], settings=place.settings())
    template = app.template
    for number in range(3):
        async with app:
            assert app.template is template
            await template.send(orders, number)
            await until(lambda number=number: billed == list(range(number + 1)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def test_what_is_used_when_it_does_not_run_says_so(place: Place) -> None:
    app = Application([bill], settings=place.settings())
    async with app:
        pass
    for act in (app.pause(billing), app.resume(billing)):
        with pytest.raises(Closed) as caught:
            await act
        assert str(caught.value) == "the application does not run"
    with pytest.raises(Closed) as used:
        await app.template.send(orders, 1)
    assert str(used.value) == "the template is closed; use it inside `async with`, or inside its application's run"


async def test_a_template_that_is_lent_to_an_application_is_its_owners_before_and_after(place: Place) -> None:
    async with place.template(billing) as template:
        await template.send(orders, 1)
        async with Application([bill], template=template):
            await until(lambda: billed == [1])
            await template.send(orders, 2)
            await until(lambda: billed == [1, 2])
        await template.send(orders, 3)
        assert place.waiting == 1


async def test_one_template_serves_one_application_at_a_time(place: Place) -> None:
    template = MessageTemplate(place.settings())
    async with Application([bill], template=template):
        with pytest.raises(MessagingError) as caught:
            await Application([work], template=template).__aenter__()
        assert str(caught.value) == (
            "the template is in use already, by another application or on other settings; make a second one"
        )


async def test_settings_are_those_of_the_application_else_of_its_template(place: Place) -> None:
    template = MessageTemplate(Settings(url="memory://never-used"))
    async with Application([bill], template=template, settings=place.settings()):
        assert place.broker.clients
    async with Application([bill], template=MessageTemplate(place.settings())):
        assert place.broker.clients
    assert Broker.at("memory://never-used").depths() == {}
    Broker.forget("memory://never-used")


async def test_a_queue_that_does_not_start_by_itself_starts_when_it_is_resumed(place: Place) -> None:
    @listener(jobs, autostart=False)
    async def later(number: int) -> None:
        billed.append(number)

    async with Application([later], settings=place.settings()) as app:
        await app.template.send(jobs, 1)
        await asyncio.sleep(0.01)
        assert billed == []
        await app.resume(jobs)
        await app.resume(jobs)
        await until(lambda: billed == [1])


async def test_an_asgi_host_runs_it_as_long_as_it_lives(place: Place) -> None:
    app = Application([bill], settings=place.settings())
    async with app.lifespan("a host"):
        assert (await app.health())["status"] == "up"
    assert (await app.health())["status"] == "stopped"


async def test_an_error_inside_ends_the_run_and_comes_out(place: Place) -> None:
    app = Application([bill], settings=place.settings())

    async def fail() -> None:
        async with app:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await fail()
    assert (await app.health())["status"] == "stopped"
    assert not place.broker.clients


@asynccontextmanager
async def cancelled_while(app: Application) -> AsyncGenerator[None]:
    """Have an application's run cancelled within a block."""
    entered = asyncio.Event()

    async def run() -> None:
        async with app:
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await entered.wait()
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_run_that_is_cancelled_stops_in_order(place: Place) -> None:
    app = Application([bill], settings=place.settings())
    async with cancelled_while(app):
        await app.template.send(orders, 1)
        await at_rest(app, "billing")
    assert billed == [1]
    assert not place.broker.clients


async def test_whoever_cancels_a_stop_waits_for_no_handler_and_leaves_none_behind(place: Place) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @listener(jobs)
    async def dawdle(_: int) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    app = Application([dawdle], settings=place.settings(drain=60))
    await app.__aenter__()
    await app.template.send(jobs, 1)
    await begun.wait()
    leaks = Leaks()
    stopping = asyncio.create_task(app.__aexit__(None, None, None))
    await asyncio.sleep(0.01)
    assert not cancelled.is_set()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await stopping
    assert cancelled.is_set()
    assert leaks.found() == []
    assert (place.waiting, list(place.broker.clients)) == (1, [])
    assert (await app.health())["status"] == "stopped"


async def test_a_stop_that_is_cancelled_before_it_began_is_a_stop(place: Place) -> None:
    leaks = Leaks()
    for _ in range(20):
        app = Application([bill, work], settings=place.settings())
        await app.__aenter__()
        await app.template.send(jobs, 1)
        stopping = asyncio.create_task(app.__aexit__(None, None, None))
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
    assert leaks.found() == []
    assert not place.broker.clients


async def test_health_tells_why_it_is_down(place: Place) -> None:
    async with Application([bill], settings=place.settings()) as app:
        health: Any = await app.health()
        assert health["status"] == "up"
        assert health["brokers"] == {"default": {"connected": True, "trouble": None}}
        place.broker.faults.stop()
        await until(lambda: not [client for client in place.broker.clients if client.connected])
        await asyncio.sleep(0)
        health = await app.health()
        assert (health["status"], health["brokers"]["default"]["connected"]) == ("down", False)
        assert health["brokers"]["default"]["trouble"] == "the broker was stopped"
        place.broker.faults.start()
        await app.template.send(orders, 1)
        await until(lambda: billed == [1])
        assert (await app.health())["status"] == "up"


async def test_what_happens_is_logged_under_one_name(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    @listener(jobs, retry=Backoff(attempts=2, first=0.001))
    async def fail(_: int) -> None:
        raise ValueError("no")

    with caplog.at_level(logging.DEBUG):
        async with Application([fail], settings=place.settings()) as app:
            await app.template.send(jobs, 1, message_id="m", headers={"x": "a secret"})
            await until(lambda: place.broker.depths()["jobs.dlq"].ready)
    ours = [record for record in caplog.records if record.name.split(".")[0] == "msgkit"]
    assert [(record.levelname, record.message) for record in ours if record.levelno >= logging.WARNING] == [
        ("WARNING", ours_retry(ours)),
        ("ERROR", "message m on 'jobs', attempt 2, goes to 'jobs.dlq': attempts exhausted"),
    ]
    assert "a secret" not in caplog.text


def ours_retry(records: list[logging.LogRecord]) -> str:
    (retry,) = [record.message for record in records if "is tried again" in record.message]
    assert retry.startswith("message m on 'jobs', attempt 1, is tried again in 0.00")
    return retry
