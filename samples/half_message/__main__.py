"""Three orders: one that is placed, one that cannot be, and one whose process is killed before it has said so."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from msgkit import Application, MessageTemplate, Settings
from msgkit.errors import UnsupportedCapability
from samples.half_message.database import Database, SoldOut
from samples.half_message.shop import OrderPlaced, Orders, Packing

#: Seconds until brokers ask what became of an order: RocketMQ begins after 6, and looks every 30.
PATIENCE = 90


async def story(path: Path) -> None:
    settings = Settings.load()
    database, packing = Database(path), Packing()
    service = Orders(database)
    async with Application([service, packing], settings=settings) as app:
        await service.place(app.template, OrderPlaced("1", "lamp"))
        print(f"order {await packing.packed.get()} is packed")

        try:
            await service.place(app.template, OrderPlaced("2", "desk"))
        except SoldOut as error:
            print(f"order 2 is not: there is no {error} left")

        if urlsplit(settings.url).scheme != "memory":
            await place_and_die(path)
            async with asyncio.timeout(PATIENCE):
                print(f"order {await packing.packed.get()} is packed, though nobody lived to say so")
    database.close()


async def place_and_die(path: Path) -> None:
    """Have another process place an order, and be killed when it is in the database, before its message is sent."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "samples.half_message", str(path))
    if await process.wait() != -signal.SIGKILL:
        raise SystemExit("The other process was to be killed, and was not.")


async def short_life(path: Path) -> None:
    async with MessageTemplate(Settings.load()) as template:
        await Orders(Database(path)).place(template, OrderPlaced("3", "lamp"), then=die)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    # Who goes unheard is logged; here the story tells of it.
    logging.getLogger("msgkit").setLevel(logging.CRITICAL)
    if len(sys.argv) > 1:
        asyncio.run(short_life(Path(sys.argv[1])))
        return
    with TemporaryDirectory() as directory:
        try:
            asyncio.run(story(Path(directory) / "shop.sqlite"))
        except UnsupportedCapability as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
