"""The page on RocketMQ: it says what the binding does, and what it shows runs on a real one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import msgkit_rocketmq
from msgkit import Application, Exchange, MessageTemplate, Settings
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.layout import ANONYMOUS
from tests.pages import defined_by
from tests.waiting import until
from tools.references import ROCKETMQ

TEXT = ROCKETMQ.page.read_text("utf-8")
BINDING = Path(msgkit_rocketmq.__file__).parent


# -- what it says


def test_the_tables_are_those_of_the_source() -> None:
    assert ROCKETMQ.up_to_date(TEXT) == TEXT, "run tools/references.py"
    for table in ("powers", "connection", "topic", "queue"):
        assert f"<!-- table: {table} -->\n\n| " in TEXT


def test_all_that_is_written_into_messages_is_on_the_page() -> None:
    sources = [module.read_text("utf-8") for module in BINDING.glob("*.py")]
    names = {name for source in sources for name in re.findall(r'"(msgkit-[a-z-]+)"', source)}
    assert {"msgkit-sent", "msgkit-empty", ANONYMOUS} <= names
    assert [name for name in names if f"`{name}" not in TEXT] == []


# -- what it shows


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What is defined by the blocks of the page."""
    return defined_by(ROCKETMQ.page, monkeypatch)


@pytest.mark.broker
@pytest.mark.xdist_group("rocketmq-interop")
async def test_what_others_own_is_used_as_it_is(shown: Mapping[str, Any], interop: RocketMQ) -> None:
    settings = Settings(url=interop.url)
    # The names are the page's, so they are taken once in a run.
    theirs = Exchange("company-ledger", bytes)
    async with MessageTemplate(settings) as others:
        await others.declare(theirs)
    await interop.admin("updateSubGroup", "-c", "DefaultCluster", "-g", "booking_v2")
    app: Application = shown["app"]
    (_, _, plan), *_ = await app.plan(settings)
    said = {(entry.what, entry.name): str(entry.detail) for entry in plan.entries}
    assert said["group", "booking_v2"] == "of queue 'entries', reads company-ledger, reads booking_own"
    assert said["group", "copies"] == "of queue 'copies', reads company-ledger"
    assert ("topic", "copies") not in said
    async with Application([shown["book"], shown["copy"]], settings=settings) as app:
        await app.template.send(shown["ledger"], b"x")
        await app.template.send(shown["entries"], b"x")

        async def is_done() -> bool:
            queues: Any = (await app.health())["queues"]
            return (queues["entries"]["handled"], queues["copies"]["handled"]) == (2, 1)

        await until(is_done)
