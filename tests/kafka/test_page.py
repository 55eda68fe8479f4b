"""The page on Kafka: it says what the binding does, and what it shows runs on a real one."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import msgkit_kafka
from msgkit import Application, Exchange, Settings
from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka
from msgkit_kafka.delays import GROUP_OF_DELAYS, level_forms
from msgkit_kafka.replies import REPLIES
from tests.brokers.working import Mode, work_through
from tests.kafka.permitting import PASSWORD, Permission, permit
from tests.pages import defined_by
from tests.waiting import until
from tools.references import KAFKA

TEXT = KAFKA.page.read_text("utf-8")
BINDING = Path(msgkit_kafka.__file__).parent

ON_KAFKA = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]


# -- what it says


def test_the_tables_are_those_of_the_source() -> None:
    assert KAFKA.up_to_date(TEXT) == TEXT, "run tools/references.py"
    for table in ("powers", "connection", "topic", "queue"):
        assert f"<!-- table: {table} -->\n\n| " in TEXT


def test_all_that_is_written_into_messages_is_on_the_page() -> None:
    sources = [module.read_text("utf-8") for module in BINDING.glob("*.py")]
    names = {name for source in sources for name in re.findall(r'"(msgkit-[a-z-]+)"', source)}
    assert {"msgkit-id", "msgkit-due", "msgkit-what-time"} <= names
    assert [name for name in names if f"`{name}" not in TEXT] == []


def test_all_that_the_binding_makes_is_on_the_page() -> None:
    names = {form.name for form in (*level_forms(), REPLIES)} | {GROUP_OF_DELAYS}
    assert {"msgkit.delay.0", "msgkit.delay.21"} <= names
    assert [name for name in names if f"`{name}`" not in TEXT and not re.fullmatch(r"msgkit\.delay\.\d+", name)] == []


# -- what it shows


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What is defined by the blocks of the page."""
    return defined_by(KAFKA.page, monkeypatch)


class TestOnKafka:
    pytestmark = ON_KAFKA

    async def test_what_others_own_is_used_as_it_is(self, shown: Mapping[str, Any], interop: Kafka) -> None:
        # The name is the page's, so it is taken once in a run.
        theirs = Exchange("company.ledger", bytes)
        async with Application([], topology=[theirs], settings=Settings(url=interop.url)) as others:
            assert await shown["partitions"](others.template, "company.ledger") == 8
            app: Application = shown["app"]
            (_, _, plan), *_ = await app.plan(Settings(url=interop.url))
            said = {(entry.what, entry.name): str(entry.detail) for entry in plan.entries}
            assert said["group", "booking-v2"] == "reads company.ledger, reads entries.own"
            assert said["group", "copies"] == "reads company.ledger"
            assert ("topic", "copies") not in said
            handlers = [shown["book"], shown["copy"]]
            async with Application(handlers, settings=Settings(url=interop.url)) as app:
                await app.template.send(shown["ledger"], b"x")
                await app.template.send(shown["entries"], b"x")

                async def is_done() -> bool:
                    queues: Any = (await app.health())["queues"]
                    return (queues["entries"]["handled"], queues["copies"]["handled"]) == (2, 1)

                await until(is_done)


@pytest.mark.broker
@pytest.mark.xdist_group("kafka-interop")
async def test_a_key_is_forgotten_as_the_page_says(shown: Mapping[str, Any], interop: Kafka) -> None:
    prices: Exchange[bytes] = shown["prices"]
    readers = prices.queue(f"readers.{new_id()}")
    async with Application([], topology=[readers], settings=Settings(url=interop.url)) as app:
        await shown["forget"](app.template, "lamp")
        async with app.template.receive(readers, timeout=20) as (gone,):
            assert (gone.payload, gone.key, gone.headers["msgkit-tombstone"]) == (b"", "lamp", True)


class TestPermissions:
    pytestmark = ON_KAFKA

    @pytest.mark.parametrize("mode", ["create", "verify", "assume"])
    async def test_those_on_the_page_are_enough(self, guarded: Kafka, mode: Mode) -> None:
        await permit(guarded, mode, permissions(mode))
        if mode != "create":
            # Past the proxy anybody may do anything.
            await work_through(f"kafka://{guarded.direct[0]}", "create")
        await work_through(guarded.url.replace("://", f"://{mode}:{PASSWORD}@"), mode)


def permissions(mode: Mode) -> Sequence[Permission]:
    """Return what the page grants."""
    (head,) = re.findall(r"^\| +\| (`create` .*) \|$", TEXT, re.MULTILINE)
    column = head.split(" | ").index(f"`{mode}`")
    rows = re.findall(r"^\| (topic|group|transactional id) `([^`]+)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert len(rows) > 4
    return [Permission(kind, name, cells.split(" | ")[column].split(", ")) for kind, name, cells in rows]
