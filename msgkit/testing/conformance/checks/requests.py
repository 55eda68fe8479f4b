"""Request and reply: each asker gets the first answer to his own question, or hears why not."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from msgkit.application import Application
from msgkit.envelope import Envelope
from msgkit.errors import RemoteError, RequestTimeout, Unroutable
from msgkit.listener import listener
from msgkit.message import Delivery, Message
from msgkit.policy import Backoff
from msgkit.settlement import ACCEPT, Reject
from msgkit.spi import Power, Replies
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import Boom
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

AT_ONCE = Backoff(3, first=0.02, jitter=0)


async def refuses_requests(lab: Lab) -> bool:
    """Tell whether this binding has no way to answer; its refusal has been asserted then."""
    if not lab.refused(Power.REQUEST):
        return False
    queue = lab.queue()
    await lab.declare(queue)
    with lab.refusal(queue.name):
        await lab.sender.request(queue, "anybody?", str, timeout=lab.patience)
    return True


@asynccontextmanager
async def answering(
    lab: Lab, queue: Queue[str], answer: Callable[[str], object] = str.upper, *, concurrency: int = 1
) -> AsyncGenerator[Application]:
    """Run a listener that answers each request; what it returns is the answer."""

    async def answers(text: str) -> object:
        return answer(text)

    function = listener(queue, concurrency=concurrency, retry=AT_ONCE)(answers)
    async with lab.application(function) as app:
        yield app


async def time_to_wait_in_vain(lab: Lab) -> float:
    """Have the template ready to ask, so that a request reaches its queue well within the seconds returned."""
    queue = lab.queue()
    async with answering(lab, queue):
        await lab.sender.request(queue, "ready?", str, timeout=lab.patience)
    return lab.patience / 15


@check(15)
async def a_request_is_answered(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    async with answering(lab, queue):
        assert await lab.sender.request(queue, "who?", str, timeout=lab.patience) == "WHO?"
        assert await lab.sender.request(queue, "", str, timeout=lab.patience) == ""
    await lab.until(lambda: lab.is_settled(queue), "the requests settled")


@check(15)
async def each_of_many_requests_gets_its_own_answer(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()

    @listener(queue, concurrency=20)
    async def answers(number: str) -> str:
        await asyncio.sleep((int(number) * 7 % 10) / 1000)
        return f"answer {number}"

    async with lab.application(answers), MessageTemplate(lab.settings()) as other:
        got = await asyncio.gather(
            *(
                (other if n % 3 else lab.sender).request(queue, f"{n}", str, timeout=2 * lab.patience)
                for n in range(120)
            )
        )
    assert got == [f"answer {n}" for n in range(120)]


@check(15)
async def answers_may_be_of_any_type(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    for answer, kind in ((b"\x00\xff", bytes), ({"a": [1, 2]}, dict), (7, int), ("ż" * 1000, str)):
        async with answering(lab, queue, _always(answer)):
            assert await lab.sender.request(queue, "x", kind, timeout=lab.patience) == answer


def _always(answer: object) -> Callable[[str], object]:
    return lambda _: answer


@check(15)
async def a_request_through_an_exchange_is_answered(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    exchange = lab.exchange()
    async with answering(lab, lab.queue("asked", exchange.where("ask.*"))):
        answer = await lab.sender.request(exchange, "who?", str, subject="ask.this", timeout=lab.patience)
    assert answer == "WHO?"


@check(6, 15)
async def a_request_that_is_tried_again_is_answered_once(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    attempts: list[int] = []

    @listener(queue, retry=AT_ONCE)
    async def answers(message: Message[str]) -> str:
        attempts.append(message.attempt)
        if message.attempt < 3:
            raise Boom
        return f"after {message.attempt}"

    async with lab.application(answers):
        answer = await lab.sender.request(queue, "try", str, timeout=lab.patience)
    assert (answer, attempts) == ("after 3", [1, 2, 3])


@check(15)
async def a_request_that_nobody_answers_times_out(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    await lab.declare(queue)
    seconds = await time_to_wait_in_vain(lab)
    began = lab.journal.now()
    with raises(RequestTimeout, queue.name):
        await lab.sender.request(queue, "anybody?", str, timeout=seconds)
    assert seconds <= lab.journal.now() - began + lab.harness.tolerance < seconds + lab.patience


@check(9, 15)
async def a_request_does_not_outlive_its_asker(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    await lab.declare(queue)
    seconds = await time_to_wait_in_vain(lab)
    with raises(RequestTimeout):
        await lab.sender.request(queue, "too late", str, timeout=seconds)
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await lab.sender.send(queue, "sentinel")
        await kept.gets_just(1)
    assert kept.payloads == ["sentinel"]


@check(15)
async def the_first_answer_wins_and_the_next_is_counted(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()

    @listener(queue)
    async def answers(delivery: Delivery[str]) -> None:
        await delivery.reply("first")
        await delivery.reply("second")
        await delivery.settle(ACCEPT)

    async with lab.application(answers) as app:
        assert await app.template.request(queue, "who?", str, timeout=lab.patience) == "first"
        await lab.until(lambda: late(app, 1), "the second answer counted")


async def late(app: Application, n: int) -> bool:
    return (await app.health())["late_answers"] == n


@check(15)
async def an_answer_that_comes_too_late_is_counted_and_no_other_request_gets_it(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    gate = lab.gate("slow")

    @listener(queue, concurrency=2)
    async def answers(message: Message[str]) -> str:
        await gate(message)
        return f"answer to {message.payload}"

    async with lab.application(answers) as app:
        await app.template.request(queue, "ready?", str, timeout=lab.patience)
        with raises(RequestTimeout):
            await app.template.request(queue, "slow", str, timeout=lab.patience / 15)
        await lab.reached(gate)
        asking = asyncio.create_task(app.template.request(queue, "other", str, timeout=lab.patience))
        gate.open()
        assert await asking == "answer to other"
        await lab.until(lambda: late(app, 1), "the late answer counted")


# -- failures


@check(15)
async def a_rejection_tells_the_asker_why_at_once(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()

    def refuse(_: str) -> object:
        return Reject("unknown sku")

    async with answering(lab, queue, refuse):
        with raises(RemoteError) as raised:
            await lab.sender.request(queue, "?", str, timeout=2 * lab.patience)
        (dead,) = await lab.dead(queue)
    assert (raised.error.type, raised.error.reason) == ("Reject", "unknown sku")
    assert dead.payload == b"?"


@check(15, 19)
async def a_failure_tells_the_asker_its_type_and_nothing_more(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()

    def fail(_: str) -> object:
        raise Boom("the password is hunter2")

    async with answering(lab, queue, fail):
        with raises(RemoteError) as raised:
            await lab.sender.request(queue, "?", str, timeout=2 * lab.patience)
        await lab.dead(queue)
    assert (raised.error.type, raised.error.reason) == ("Boom", "")
    assert "hunter2" not in str(raised.error)


@check(7, 15)
async def a_poisonous_request_is_answered_by_an_error(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    async with answering(lab, queue):
        with raises(RemoteError):
            await lab.sender.request(
                Queue(queue.name, bytes),
                b"\xff\xfe",
                str,
                content_type="text/plain",
                timeout=2 * lab.patience,
            )
        await lab.dead(queue)


@check(15)
async def an_answer_that_cannot_be_delivered_is_no_second_run(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    gate = lab.gate()
    runs: list[int] = []

    @listener(queue, retry=AT_ONCE)
    async def answers(message: Message[str]) -> str:
        runs.append(message.attempt)
        await gate(message)
        return "to nobody"

    async with lab.application(answers):
        async with MessageTemplate(lab.settings()) as gone:
            asking = asyncio.create_task(gone.request(queue, "who?", str, timeout=lab.patience))
            await lab.reached(gate)
            asking.cancel()
            await asyncio.wait({asking})
        gate.open()
        await lab.until(lambda: lab.is_settled(queue), "the request settled")
        await lab.quiet()
    assert runs == [1]


@check(1, 15)
async def a_request_to_nowhere_is_refused_at_once(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    began = lab.journal.now()
    with raises(Unroutable):
        await lab.sender.request(lab.queue("absent"), "who?", str, timeout=2 * lab.patience)
    assert lab.journal.now() - began < lab.patience


# -- others who ask


@check(15)
async def others_may_ask_with_an_address_of_their_own(lab: Lab) -> None:
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    answers: list[Envelope] = []

    def hear(envelope: Envelope) -> None:
        answers.append(envelope)
        lab.journal.pulse()

    async with answering(lab, queue), lab.binding("asker") as binding:
        assert isinstance(binding, Replies), "requests are declared, but not offered"
        address = await binding.listen_for_replies(hear)
        assert address == await binding.listen_for_replies(hear)
        await lab.sender.send(queue, "one", reply_to=address, correlation_id="ours 1")
        await lab.sender.send(queue, "two", reply_to=address, message_id="id of two")
        await lab.until(lambda: len(answers) >= 2, "both answers")
        await lab.quiet()
    assert sorted((str(each.correlation_id), each.body) for each in answers) == [
        ("id of two", b"TWO"),
        ("ours 1", b"ONE"),
    ]


@check(15)
async def askers_of_one_name_get_their_own_answers(lab: Lab) -> None:
    """Two instances of one service must not share an address."""
    if await refuses_requests(lab):
        return
    queue = lab.queue()
    heard: dict[str, list[bytes]] = {"a": [], "b": []}

    async def ask(name: str, number: int) -> None:
        async with lab.binding("the same") as binding:
            assert isinstance(binding, Replies)
            address = await binding.listen_for_replies(lambda answer: heard[name].append(answer.body))
            for n in range(number):
                await lab.sender.send(queue, f"{name}{n}", reply_to=address, correlation_id=f"{n}")
            await lab.until(lambda: len(heard[name]) >= number, f"answers for {name}")
            await lab.quiet()

    async with answering(lab, queue):
        await asyncio.gather(ask("a", 10), ask("b", 10))
    for name, bodies in heard.items():
        assert sorted(bodies) == [f"{name.upper()}{n}".encode() for n in range(10)]
