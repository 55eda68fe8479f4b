import asyncio
import threading
import time

import pytest

from msgkit import Application, Backoff, Message, MessageTemplate, Queue, listener
from msgkit.errors import RequestTimeout
from msgkit.testing import probe

questions = Queue("questions", int)
unanswered = Queue("unanswered", int)
jobs = Queue("jobs", int)


async def test_who_awaits_an_answer_that_never_comes_hears_so_when_the_time_is_over() -> None:
    async with probe(Application(topology=[unanswered])) as probed:
        before, really = probed.template.clock.now(), time.monotonic()
        with pytest.raises(RequestTimeout):
            await probed.template.request(unanswered, 1, int, timeout=3600)
        assert probed.template.clock.now() - before == pytest.approx(3600, abs=1)
        assert time.monotonic() - really < 5


async def test_an_answer_may_come_at_a_later_attempt() -> None:
    @listener(questions, retry=Backoff(attempts=3, first=10, factor=2, jitter=0))
    async def answer(question: Message[int]) -> int:
        if question.attempt < 3:
            raise ValueError("not yet")
        return question.payload * 2

    async with probe(Application([answer])) as probed:
        before = probed.template.clock.now()
        assert await probed.template.request(questions, 21, int, timeout=60) == 42
        assert probed.template.clock.now() - before == 10 + 20


async def test_a_handler_that_asks_in_vain_goes_on_when_the_time_is_over() -> None:
    @listener(jobs, retry=Backoff(attempts=1))
    async def ask(number: int, template: MessageTemplate) -> None:
        await template.request(unanswered, number, int, timeout=60)

    async with probe(Application([ask], topology=[unanswered])) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        (letter,) = probed.dead(jobs)
        assert letter.headers["msgkit-dead-error"] == "RequestTimeout"


async def test_time_stands_still_while_somebody_works_on_the_answer() -> None:
    go_on = threading.Event()

    @listener(questions)
    def answer(question: int) -> int:
        go_on.wait(1.5)
        return question * 2

    async with probe(Application([answer])) as probed:
        before = probed.template.clock.now()
        assert await probed.template.request(questions, 21, int, timeout=5) == 42
        assert probed.template.clock.now() == before


async def test_time_stands_still_when_the_answer_has_come() -> None:
    @listener(questions)
    async def answer(question: int) -> int:
        return question * 2

    async with probe(Application([answer], topology=[jobs])) as probed:
        before = probed.template.clock.now()
        await probed.template.request(questions, 21, int, timeout=5)
        await probed.template.send(jobs, 1, delay=1)
        await asyncio.sleep(1.5)
        assert probed.template.clock.now() == before


async def test_time_stands_still_when_nobody_waits_for_the_answer_any_more() -> None:
    async with probe(Application(topology=[unanswered])) as probed:
        before = probed.template.clock.now()
        asking = asyncio.create_task(probed.template.request(unanswered, 1, int, timeout=5))
        await probed.idle()
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.sleep(1.5)
        assert probed.template.clock.now() == before


async def test_a_test_may_answer_in_its_own_time() -> None:
    async with probe(Application(topology=[unanswered])) as probed:
        asking = asyncio.create_task(probed.template.request(unanswered, 1, int, timeout=5))
        async with probed.template.receive(unanswered, timeout=5) as (question,):
            await question.reply(2)
        assert await asking == 2


async def test_a_question_that_is_open_keeps_no_test_from_ending() -> None:
    async with probe(Application(topology=[unanswered])) as probed:
        asking = asyncio.create_task(probed.template.request(unanswered, 1, int, timeout=5))
        await probed.idle()
    await asyncio.wait([asking])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert asking.exception() is not None
