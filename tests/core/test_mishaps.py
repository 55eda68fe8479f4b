"""What handlers, interceptors and operators do wrong, and what a queue makes of it."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from msgkit import (
    Accept,
    Application,
    Backoff,
    Delivery,
    Envelope,
    Exchange,
    MessageTemplate,
    Queue,
    Reject,
    Retry,
    Sender,
    Settings,
    Settlement,
    listener,
)
from msgkit.envelope import new_id
from msgkit.errors import Closed, ConfigurationError, ConversionError, DeliveryLost
from msgkit.testing import probe
from tests.core.workshop import until

jobs = Queue("jobs", str)
quickly = Backoff(2, first=0.01, jitter=0)
Handle = Callable[[str], Awaitable[object]]


class NotAnException(BaseException):
    """What test frameworks raise, and some libraries."""


def one_that(*fails: str, how: Callable[[], Awaitable[object]]) -> tuple[list[str], Callable[[str], Awaitable[None]]]:
    """Return a listener that does something bad with some, and remembers the others."""
    done: list[str] = []

    @listener(jobs, concurrency=1, retry=quickly)
    async def handle(job: str) -> None:
        if job in fails:
            await how()
        done.append(job)

    return done, handle


async def raises() -> None:
    raise NotAnException


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(10)


async def raises_a_group() -> None:
    msg = "several"
    raise BaseExceptionGroup(msg, [NotAnException(), ValueError()])


@pytest.mark.parametrize("how", [raises, cancels_itself, raises_a_group])
async def test_what_no_handler_should_do_ends_its_message_and_not_its_queue(
    how: Callable[[], Awaitable[object]],
) -> None:
    done, handle = one_that("bad", how=how)
    async with probe(Application([handle])) as probed:
        await probed.template.send_many(jobs, ["bad", "good"])
        await probed.advance(1)
        assert done == ["good"]
        assert [letter.payload for letter in probed.dead(jobs)] == [b"bad"]


async def test_what_a_task_group_wraps_still_ends_the_message() -> None:
    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(reject())

    async def reject() -> None:
        raise Reject("no")

    _, handle = one_that("bad", how=in_a_group)
    async with probe(Application([handle])) as probed:
        await probed.template.send(jobs, "bad")
        await probed.idle()
        assert [letter.headers["msgkit-dead-reason"] for letter in probed.dead(jobs)] == ["no"]


async def test_a_handler_that_cannot_read_what_it_asked_for_has_failed_and_its_message_is_no_poison() -> None:
    tries: list[int] = []

    @listener(jobs, retry=quickly)
    async def handle(_: str) -> None:
        tries.append(1)
        msg = "an answer that was no JSON"
        raise ConversionError(msg)

    async with probe(Application([handle])) as probed:
        await probed.template.send(jobs, "fine")
        await probed.advance(1)
        assert len(tries) == 2
        assert probed.dead(jobs)[0].headers["msgkit-dead-reason"] == "attempts exhausted"


async def test_an_interceptor_that_returns_nothing_is_told_of() -> None:
    async def forgets(envelope: Envelope, proceed: Callable[[Envelope], Awaitable[Settlement]]) -> Any:
        await proceed(envelope)

    @listener(jobs, retry=quickly)
    async def handle(_: str) -> None: ...

    async with probe(Application([handle], handling=[forgets])) as probed:
        await probed.template.send(jobs, "fine")
        await probed.advance(1)
        assert "must return what `proceed` returned" in str(probed.dead(jobs)[0].headers["msgkit-dead-text"])


async def test_a_settlement_s_class_is_no_settlement() -> None:
    said: list[str] = []

    @listener(jobs, retry=Backoff(1))
    async def returns(_: str) -> Any:
        return Retry

    other = Queue("others", str)

    @listener(other)
    async def settles(delivery: Delivery[str]) -> None:
        with pytest.raises(Exception, match=r"settle\(\) takes Accept") as caught:
            await delivery.settle(Accept)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- the mistake
        said.append(str(caught.value))

    async with probe(Application([returns, settles])) as probed:
        await probed.template.send(jobs, "one")
        await probed.template.send(other, "two")
        await probed.idle()
        assert "returned the class Retry" in str(probed.dead(jobs)[0].headers["msgkit-dead-text"])
        assert len(said) == 1


async def test_an_accept_that_was_said_ends_a_delivery_that_is_settled_later() -> None:
    async def seen_before(_: Envelope, __: Callable[[Envelope], Awaitable[Settlement]]) -> Settlement:
        return Accept()

    @listener(jobs, settle="later", interceptors=[seen_before])
    async def handle(_: Delivery[str]) -> None: ...

    async with probe(Application([handle])) as probed:
        await probed.template.send(jobs, "again")
        await probed.idle()


@dataclass(frozen=True)
class Placed:
    id: str


@dataclass(frozen=True)
class Cancelled:
    id: str


async def test_a_type_that_nobody_listens_for_is_not_read_as_another() -> None:
    placed: list[Placed] = []
    events = Exchange("events", Placed, Cancelled)

    @listener(events.queue("billing"))
    async def bill(order: Placed) -> None:
        placed.append(order)

    async with probe(Application([bill])) as probed:
        await probed.template.send(events, Cancelled("1"))
        await probed.template.send(events, Placed("2"))
        await probed.idle()
        assert placed == [Placed("2")]
        assert probed.dead(events.queue("billing"))[0].headers["msgkit-dead-reason"] == "poison"


trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="-")


async def test_what_a_handler_sets_reaches_no_later_message_even_when_it_frees_a_lane() -> None:
    seen: list[str] = []

    @listener(jobs, concurrency=4)
    async def handle(job: str) -> None:
        seen.append(trace.get())
        trace.set(job)
        await asyncio.sleep(0)

    async with probe(Application([handle])) as probed:
        for number in range(12):
            await probed.template.send(jobs, str(number), key="k")
        await probed.idle()
        assert seen == ["-"] * 12


async def test_how_long_an_answer_takes_is_not_the_handlers_time() -> None:
    runs: list[int] = []

    @listener(Queue("questions", str), timeout=5, retry=quickly)
    async def answer(_: str) -> str:
        runs.append(1)
        return "yes"

    slow = asyncio.Event()

    async def slowly(envelope: Envelope, proceed: Callable[[Envelope], Awaitable[Any]]) -> Any:
        if envelope.kind.value == "reply":
            await slow.wait()
        return await proceed(envelope)

    async with probe(Application([answer], sending=[slowly])) as probed:
        asked = asyncio.create_task(probed.template.request(Queue("questions", str), "?", str, timeout=60))
        await until(lambda: bool(runs))
        clock = probed.template.clock
        clock.advance_to(clock.now() + 30)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] -- the probe's
        slow.set()
        assert await asked == "yes"
        assert runs == [1]


async def test_an_answer_that_cannot_be_written_is_told_to_who_asked() -> None:
    questions = Queue("questions", str)

    @listener(questions)
    async def answer(_: str) -> str:
        return "x" * (2 * 1024 * 1024)

    async with probe(Application([answer])) as probed:
        with pytest.raises(Exception, match="InvalidMessage"):
            await probed.template.request(questions, "?", str, timeout=60)


@asynccontextmanager
async def running(app: Application) -> AsyncGenerator[Application]:
    """Run in real time, with little time to stop."""
    settings = Settings(url=f"memory://{new_id()}?transient=true", drain=0.2)
    async with app.running(settings):
        yield app


async def test_a_pause_that_is_cancelled_leaves_a_queue_that_can_be_resumed() -> None:
    done: list[str] = []
    gate = asyncio.Event()

    @listener(jobs, concurrency=2)
    async def handle(job: str) -> None:
        if job == "slow":
            await gate.wait()
        done.append(job)

    async with running(Application([handle])) as app:
        await app.template.send(jobs, "slow")
        await until(lambda: True)
        pausing = asyncio.create_task(app.pause(jobs))
        await asyncio.sleep(0)
        pausing.cancel()
        await asyncio.wait({pausing})
        gate.set()
        await app.resume(jobs)
        await app.template.send(jobs, "after")
        await until(lambda: "after" in done)


async def test_nothing_is_resumed_while_the_application_stops() -> None:
    other = Queue("others", str)
    begun: list[str] = []
    apps: list[Application] = []

    @listener(jobs)
    async def resumes(_: str) -> None:
        begun.append("resumes")
        await asyncio.sleep(0.05)
        with pytest.raises(Closed):
            await apps[0].resume(other)
        begun.append("refused")

    @listener(other, autostart=False)
    async def never(_: str) -> None:
        begun.append("never")

    async with running(Application([resumes, never])) as app:
        apps.append(app)
        await app.template.send(other, "waits")
        await app.template.send(jobs, "one")
        await until(lambda: begun == ["resumes"])
    assert begun == ["resumes", "refused"]


async def test_a_delivery_left_open_is_waited_for_and_then_lost() -> None:
    opened: list[Delivery[str]] = []

    @listener(jobs, settle="later", max_in_flight=2, concurrency=2)
    async def keeps(delivery: Delivery[str]) -> None:
        opened.append(delivery)

    async with running(Application([keeps])) as app:
        await app.template.send_many(jobs, ["one", "two"])
        await until(lambda: len(opened) == 2)
        asyncio.get_running_loop().call_later(
            0.05, lambda: settled.append(asyncio.ensure_future(opened[0].settle(Accept())))
        )
        settled: list[asyncio.Future[None]] = []
    await settled[0]
    with pytest.raises(DeliveryLost):
        await opened[1].settle(Accept())


async def test_health_recovers_when_what_failed_was_lost() -> None:
    from msgkit_memory import Broker  # noqa: PLC0415 -- only this test looks behind the face

    @listener(jobs)
    async def handle(_: str) -> None: ...

    async with running(Application([handle])) as app, app.template.native(Broker) as broker:
        broker.faults.fail_settlements(1)
        await app.template.send(jobs, "one")
        await until(lambda: _is(app, "down"))
        broker.faults.expire()
        await app.template.send(jobs, "two")
        await until(lambda: _is(app, "up"))


def _is(app: Application, status: str) -> bool:
    running_now = app._running  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- health() is asynchronous
    return running_now is not None and running_now.health()["status"] == status


@pytest.mark.parametrize("kind", [Delivery[str], MessageTemplate, Sender])
def test_a_plain_function_is_not_given_what_it_could_not_await(kind: Any) -> None:
    def handle(given: str) -> None:
        del given

    handle.__annotations__["given"] = kind
    app = Application([listener(jobs)(handle)], settings=Settings(url="memory://"))
    with pytest.raises(ConfigurationError, match="parameter 'given' cannot be used by a plain def"):
        asyncio.run(app.__aenter__())
