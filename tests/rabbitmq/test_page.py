"""The page on RabbitMQ: it says what the binding does, and what it shows runs on a real one."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from msgkit import Application, Exchange, MessageTemplate, Settings
from msgkit.envelope import new_id
from msgkit.spi import QueueSpec, Replayable, RouteSpec
from msgkit.testing.brokers import RabbitMQ
from msgkit_rabbitmq import RabbitQueue, mapping
from msgkit_rabbitmq.delays import infrastructure
from tests.bench import Bench
from tests.brokers.working import Mode, work_through
from tests.pages import defined_by
from tests.rabbitmq.plain import Plain
from tools.references import RABBITMQ, meanings

TEXT = RABBITMQ.page.read_text("utf-8")
KEPT = RabbitQueue(history=timedelta(hours=1))
PASSWORD = "opens-a-test"  # noqa: S105 -- and nothing else

ON_RABBITMQ = [
    pytest.mark.broker,
    pytest.mark.xdist_group("rabbitmq-interop"),
    pytest.mark.asyncio(loop_scope="session"),
]


# -- what it says


def test_the_tables_are_those_of_the_source() -> None:
    assert RABBITMQ.up_to_date(TEXT) == TEXT, "run tools/references.py"
    for table in ("powers", "connection", "queue", "exchange"):
        assert f"<!-- table: {table} -->\n\n| " in TEXT


def test_every_option_says_what_it_is() -> None:
    class Mute:
        #: It speaks.
        loud: int
        mute: int

    with pytest.raises(LookupError, match=r"nothing says what Mute\.mute is"):
        meanings(Mute)


def test_all_that_is_written_into_messages_is_on_the_page() -> None:
    names = re.findall(r'"(msgkit-[a-z-]+)"', Path(mapping.__file__).read_text("utf-8"))
    assert len(names) > 8
    assert [name for name in names if f"`{name}" not in TEXT] == []


def test_all_that_delays_make_is_on_the_page() -> None:
    names = {made.name for made in infrastructure()}
    assert {"msgkit.delay.0", "msgkit.delay.27"} <= names
    assert [name for name in names if f"`{name}`" not in TEXT and not re.fullmatch(r"msgkit\.delay\.\d+", name)] == []


# -- what it shows


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What is defined by the blocks of the page."""
    return defined_by(RABBITMQ.page, monkeypatch)


@pytest_asyncio.fixture(loop_scope="session")
async def vhost(interop: RabbitMQ) -> AsyncIterator[str]:
    """One in which nothing is yet."""
    name = new_id()
    await interop.ctl("add_vhost", name)
    await interop.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    yield name
    await interop.ctl("delete_vhost", name)


class TestOnRabbitMQ:
    pytestmark = ON_RABBITMQ

    async def test_what_others_own_is_used_as_it_is(
        self, shown: Mapping[str, Any], plain: Plain, settings: Settings
    ) -> None:
        await plain.declare_queue("company.jobs", {"x-max-length": 10, "x-message-ttl": 60_000})
        async with MessageTemplate(settings) as template:
            await template.declare(Exchange("company.ledger", bytes, kind="topic"))
            app: Application = shown["app"]
            (_, _, plan), *_ = await app.plan(settings)
            said = {entry.name: str(entry.detail) for entry in plan.entries}
            assert said["company.jobs"] == ""
            assert "x-max-length=100000" in said["entries"]
            async with Application([shown["work"], shown["book"]], settings=settings):
                assert await shown["waiting"](template, "company.jobs") == 0
                assert await template.send(shown["ledger"], b"x", subject="booked.x", require_route=True)

    @pytest.mark.parametrize("mode", ["create", "verify", "assume"])
    async def test_the_permissions_on_the_page_are_enough(self, interop: RabbitMQ, vhost: str, mode: Mode) -> None:
        await worked_through(f"{interop.url}/{vhost}", "create")
        await worked_through(await user_with(interop, vhost, permissions(mode)), mode)

    async def test_whoever_starts_first_makes_the_delays_with_what_the_page_adds(
        self, interop: RabbitMQ, vhost: str
    ) -> None:
        (added,) = re.findall(r"makes the delays, and needs `(.*)` in all three", TEXT)
        url = await user_with(interop, vhost, [f"{each}|^{added}$" for each in permissions("create")])
        await worked_through(url, "create")


async def user_with(broker: RabbitMQ, vhost: str, permissions: Sequence[str]) -> str:
    """Return the URL of a new user."""
    user = new_id()
    await broker.ctl("add_user", user, PASSWORD)
    await broker.ctl("set_permissions", "-p", vhost, user, *permissions)
    return f"{broker.url}/{vhost}".replace("guest:guest", f"{user}:{PASSWORD}")


def permissions(mode: Mode) -> list[str]:
    """Return what the page says that may be configured, written and read."""
    rows = re.findall(r"^\| (`create`, `verify`|`assume`) \| (`\^.*) \|$", TEXT, re.MULTILINE)
    cells = {said: [cell.strip("`").replace("\\|", "|") for cell in row.split(" | ")] for said, row in rows}
    (found,) = [row for said, row in cells.items() if f"`{mode}`" in said]
    above = cells["`create`, `verify`"]
    return [other if cell == "the same" else cell for cell, other in zip(found, above, strict=True)]


async def worked_through(url: str, mode: Mode) -> None:
    """Do all that the page grants."""
    await work_through(url, mode, KEPT)
    await read_again(url)


async def read_again(url: str) -> None:
    """Read what was sent to the exchange once more, and leave none of it there."""
    queue = QueueSpec(name="billing", routes=(RouteSpec(exchange="orders"),), options=(KEPT,))
    async with Bench.open(url) as bench, asyncio.timeout(20):
        assert isinstance(bench.binding, Replayable)
        count = await bench.binding.seek(queue, "earliest")
        assert await bench.binding.seek(queue, "latest") == count > 1
