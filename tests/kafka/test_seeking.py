"""Reading a queue of Kafka again from the command line, while somebody listens to it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from msgkit import Application, Exchange, Queue, Settings, listener
from msgkit.testing.brokers import Kafka

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]

SHOP = """
from msgkit import Application, Exchange

app = Application(topology=[Exchange({name!r}, int).queue({queue!r})])
"""


@pytest.fixture
def billing(name: str, tmp_path: Path) -> Queue[int]:
    """A queue of the shop, which is written down as a program."""
    queue = Exchange(name, int).queue(f"{name}.billing")
    (tmp_path / "shop.py").write_text(SHOP.format(name=name, queue=queue.name))
    return queue


async def seek(folder: Path, broker: Kafka, queue: str, to: str) -> tuple[int | None, str]:
    """Have a queue be read again by a program of its own; return how that ended, and what it said."""
    command = (sys.executable, "-m", "msgkit.cli", "--log-level", "warning", "seek", "shop.py", queue, to)
    environment = {**os.environ, "MSGKIT_URL": broker.url}
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE)
    out, error = await process.communicate()
    return process.returncode, (out + error).decode()


async def test_a_person_has_a_queue_read_again_while_it_is_listened_to(
    interop: Kafka, settings: Settings, name: str, billing: Queue[int], tmp_path: Path
) -> None:
    orders = Exchange(name, int)
    handled: asyncio.Queue[int] = asyncio.Queue()

    @listener(billing)
    async def bill(number: int) -> None:
        handled.put_nowait(number)

    async with Application([bill], settings=settings) as app, asyncio.timeout(120):
        await app.template.send_many(orders, [1, 2, 3])
        assert {await handled.get() for _ in range(3)} == {1, 2, 3}
        code, said = await seek(tmp_path, interop, billing.name, "earliest")
        assert (code, said) == (
            0,
            f"queue '{billing.name}' is read again from its beginning; messages that makes, as far as is known: 3\n",
        )
        assert {await handled.get() for _ in range(3)} == {1, 2, 3}


async def test_a_person_has_a_queue_read_again_that_nobody_listens_to(
    interop: Kafka, settings: Settings, name: str, billing: Queue[int], tmp_path: Path
) -> None:
    orders = Exchange(name, int)
    async with Application(topology=[billing], settings=settings) as app, asyncio.timeout(120):
        await app.template.send_many(orders, [1, 2])
        assert (await seek(tmp_path, interop, billing.name, "latest"))[0] == 0
        assert [message async for message in app.template.browse(billing)] == []
        assert (await seek(tmp_path, interop, billing.name, "2020-01-01T00:00:00Z"))[0] == 0
        seen = [message.payload async for message in app.template.browse(billing)]
        assert sorted(seen) == [1, 2]


async def test_a_queue_whose_topics_are_not_there_is_refused(
    interop: Kafka, billing: Queue[int], tmp_path: Path
) -> None:
    code, said = await seek(tmp_path, interop, billing.name, "earliest")
    assert code == 2
    assert said.startswith("msgkit: queue ")
    assert "does not exist" in said
