import asyncio

import pytest

from msgkit import Application
from msgkit.testing import probe
from tests.scenarios.asking import app, ask
from tests.scenarios.shop import quotes


async def test_a_question_is_answered() -> None:
    async with probe(app) as probed:
        assert await ask(probed.template, "a") == 21


async def test_a_refusal_reaches_who_asked_at_once_and_in_words() -> None:
    async with probe(app) as probed:
        with pytest.raises(ValueError, match="unknown sku"):
            await ask(probed.template, "?")


async def test_without_an_answer_the_question_ends_in_time() -> None:
    nobody_answers = Application(topology=[quotes])
    async with probe(nobody_answers) as probed:
        question = asyncio.create_task(ask(probed.template, "a"))
        await probed.idle()
        await probed.advance(2)
        assert await question is None
