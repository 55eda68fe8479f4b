"""A process that stores half messages, and commits, takes back, goes silent or dies, as its dice say."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from contextlib import suppress
from typing import Literal

from msgkit.envelope import Envelope, Kind
from msgkit.errors import SendFailed, SendUnknown
from msgkit.spi import BindingOptions
from msgkit_rocketmq.binding import RocketBinding

__all__ = ["CHECK", "Books", "Fate"]

CHECK = "halving"
Fate = Literal["commits", "rolls back", "goes silent", "dies"]
#: In the order of the above.
_WEIGHTS = (60, 20, 17, 3)
_FATES: tuple[Fate, ...] = ("commits", "rolls back", "goes silent", "dies")
_AT_ONCE = 10


class Books:
    """What was begun, and what was done."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._connection.execute("CREATE TABLE IF NOT EXISTS begun (id TEXT PRIMARY KEY)")
        self._connection.execute("CREATE TABLE IF NOT EXISTS done (id TEXT PRIMARY KEY)")

    def begin(self, id_: str) -> None:
        self._connection.execute("INSERT INTO begun VALUES (?)", (id_,))

    def do(self, id_: str) -> None:
        self._connection.execute("INSERT INTO done VALUES (?)", (id_,))

    @property
    def begun(self) -> set[str]:
        return {id_ for (id_,) in self._connection.execute("SELECT id FROM begun")}

    @property
    def done(self) -> set[str]:
        return {id_ for (id_,) in self._connection.execute("SELECT id FROM done")}

    def is_done(self, id_: str) -> bool:
        return self._connection.execute("SELECT 1 FROM done WHERE id = ?", (id_,)).fetchone() is not None

    def close(self) -> None:
        self._connection.close()


async def _halve(binding: RocketBinding, books: Books, queue: str, id_: str, dice: random.Random) -> None:
    (fate,) = dice.choices(_FATES, _WEIGHTS)
    is_done = fate == "commits" or (fate != "rolls back" and dice.random() < 0.5)
    books.begin(id_)
    envelope = Envelope(b"half", queue, Kind.QUEUE, id_, sent_at=binding.options.clock.now())
    try:
        half = await binding.prepare(envelope, CHECK)
    except SendFailed:
        # It may be there, and nothing will come of it.
        return
    await asyncio.sleep(dice.random() / 20)
    if is_done:
        books.do(id_)
    # Who did not get it told in time leaves it to those who are asked.
    with suppress(SendUnknown):
        match fate:
            case "commits":
                await half.commit()
            case "rolls back":
                await half.roll_back()
            case "goes silent":
                pass
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)


async def _main(url: str, path: str, queue: str, seed: int, number: int) -> None:
    dice, books = random.Random(seed), Books(path)  # noqa: S311 -- it keeps no secret
    binding = RocketBinding(BindingOptions(url=url))
    await binding.connect(lambda _: None)
    try:
        for start in range(0, number, _AT_ONCE):
            ids = [f"{seed}-{n}" for n in range(start, min(number, start + _AT_ONCE))]
            await asyncio.gather(*(_halve(binding, books, queue, each, dice) for each in ids))
    finally:
        await binding.close(5)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
