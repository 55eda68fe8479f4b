"""Half messages end as their database says, whatever becomes of those who stored them."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msgkit import Application, Queue, Settings, checker, listener
from msgkit.envelope import Envelope, Kind
from msgkit.errors import SendUnknown, UnsupportedCapability
from msgkit.message import Message
from msgkit.spi import BindingOptions
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.binding import RocketBinding
from tests.rocketmq.halving import CHECK, Books
from tests.rocketmq.operating import PATIENCE

pytestmark = pytest.mark.broker

#: How many end at random; a thousand and more on demand.
HALVES = int(os.environ.get("MSGKIT_TEST_HALVES", "60"))
SEED = int(os.environ.get("MSGKIT_TEST_SEED", "1"))
#: Seconds after which nobody works on a half message any more who had not written down that it is done.
LONGEST = 8
#: Seconds in which a broker would ask several times more, if there was anything to ask.
SILENCE = 6.0


class Service:
    """Listens to a queue, and answers for half messages by what a database says."""

    def __init__(self, url: str, queue: str, books: Books) -> None:
        self.seen: list[str] = []
        self.asked: list[str] = []
        self.news = asyncio.Event()
        self._url = url
        self._queue = Queue(queue, bytes)
        self._books = books

    def application(self) -> Application:
        @listener(self._queue)
        async def keep(message: Message[bytes]) -> None:
            self.seen.append(message.id)
            self.news.set()

        @checker(CHECK)
        async def decide(half: Message[bytes]) -> bool | None:
            self.asked.append(half.id)
            self.news.set()
            if self._books.is_done(half.id):
                return True
            assert half.sent_at is not None
            return False if time.time() - half.sent_at.timestamp() > LONGEST else None

        return Application([keep, decide], settings=Settings(url=self._url))

    async def has_seen(self, wanted: set[str], within: float) -> None:
        async with asyncio.timeout(within):
            while not wanted <= set(self.seen):
                self.news.clear()
                await self.news.wait()

    async def sees_nothing_more(self) -> None:
        """Return when for a while nothing has come."""
        seen = -1
        while seen != len(self.seen):
            seen = len(self.seen)
            await asyncio.sleep(SILENCE)


@pytest.fixture
async def other(patient: RocketMQ) -> AsyncIterator[RocketBinding]:
    """A client that only sends."""
    binding = RocketBinding(BindingOptions(url=patient.url))
    await binding.connect(lambda _: None)
    yield binding
    await binding.close(5)


def half_of(queue: str, id_: str) -> Envelope:
    return Envelope(b"half", queue, Kind.QUEUE, id_, sent_at=time.time())


@pytest.mark.slow
async def test_each_half_message_ends_as_its_database_says(patient: RocketMQ, name: str, tmp_path: Path) -> None:
    path, kills = str(tmp_path / "books.sqlite"), 0
    books = Books(path)
    service = Service(patient.url, name, books)
    async with service.application():
        seed = SEED * 1000
        while (left := HALVES - len(books.begun)) > 0:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.rocketmq.halving", patient.url, path, name, str(seed), str(left)
            )
            ended = await process.wait()
            assert ended in {0, -signal.SIGKILL}, f"with seed {seed}"
            kills += ended != 0
            seed += 1
        await service.has_seen(books.done, within=PATIENCE + HALVES / 10)
        await service.sees_nothing_more()
    assert Counter(service.seen) == Counter(books.done), f"after {kills} kills, from seed {SEED * 1000} on"
    books.close()


async def test_what_is_decided_too_late_is_decided_by_who_is_asked(
    patient: RocketMQ, other: RocketBinding, name: str, tmp_path: Path
) -> None:
    books = Books(str(tmp_path / "books.sqlite"))
    service = Service(patient.url, name, books)
    async with service.application():
        books.do("late")
        half = await other.prepare(half_of(name, "late"), CHECK)
        await service.has_seen({"late"}, within=PATIENCE)
        with pytest.raises(SendUnknown, match="it is asked what became of it"):
            await half.commit()
        await service.sees_nothing_more()
    assert service.seen == ["late"]
    books.close()


async def test_a_half_message_is_not_asked_about_when_it_was_decided(
    patient: RocketMQ, other: RocketBinding, name: str, tmp_path: Path
) -> None:
    books = Books(str(tmp_path / "books.sqlite"))
    service = Service(patient.url, name, books)
    async with service.application():
        committed, taken_back = [await other.prepare(half_of(name, each), CHECK) for each in ("1", "2")]
        await committed.commit()
        await taken_back.roll_back()
        # It is asked about last of all.
        await other.prepare(half_of(name, "3"), CHECK)
        async with asyncio.timeout(PATIENCE):
            while not service.asked:
                service.news.clear()
                await service.news.wait()
        await service.sees_nothing_more()
    assert (service.seen, set(service.asked)) == (["1"], {"3"})
    books.close()


async def test_a_half_message_cannot_be_delayed(other: RocketBinding, name: str) -> None:
    with pytest.raises(UnsupportedCapability, match="delays no half messages"):
        await other.prepare(half_of(name, "1")._replace(delay=1.0), CHECK)
