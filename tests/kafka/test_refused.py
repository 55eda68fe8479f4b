"""What a Kafka does not let us do, and who hears of it."""

import asyncio

import pytest

from msgkit import Application, Exchange, MessageTemplate, Queue, Settings, listener
from msgkit.envelope import new_id
from msgkit.errors import ConfigurationError, SendRefused
from msgkit.testing.brokers import Kafka
from tests.kafka.permitting import PASSWORD, Permission, permit
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]


def as_user(broker: Kafka, user: str) -> str:
    return broker.url.replace("://", f"://{user}@")


async def start(url: str) -> None:
    async with Application([], topology=[Exchange("orders", str)], settings=Settings(url=url)):
        pass


async def test_a_wrong_password_ends_the_start_and_is_not_shown(guarded: Kafka) -> None:
    with pytest.raises(ConfigurationError, match="refuses the user or the password") as refused:
        await start(as_user(guarded, "create:mistaken"))
    assert "mistaken" not in str(refused.value)


async def test_a_login_that_nobody_asks_for_ends_the_start(interop: Kafka) -> None:
    with pytest.raises(ConfigurationError, match="asks nobody for a login there"):
        await start(as_user(interop, "app:mistaken"))


async def test_who_may_write_nothing_hears_it_at_once(guarded: Kafka) -> None:
    orders = Exchange(new_id(), str)
    async with Application([], topology=[orders], settings=Settings(url=f"kafka://{guarded.direct[0]}")):
        url = as_user(guarded, f"stranger:{PASSWORD}")
        async with MessageTemplate(Settings(url=url, topology="assume")) as stranger:
            for _ in range(2):
                with pytest.raises(SendRefused, match="cluster authorization failed"):
                    await stranger.send(orders, "x", timeout=60)


async def test_what_one_may_not_move_on_waits_until_he_may(guarded: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    theirs, mine = Queue(f"theirs.{new_id()}", str), Queue(f"mine.{new_id()}", str)
    mighty = Settings(url=f"kafka://{guarded.direct[0]}")
    handled: asyncio.Queue[str] = asyncio.Queue()

    @listener(mine)
    async def mind(_: str) -> None: ...

    @listener(theirs)
    async def take(message: str) -> None:
        handled.put_nowait(message)

    async with Application([], topology=[theirs, mine], settings=mighty) as app:
        await app.template.send(theirs, "late", delay=0.5)
    everything = ["Create", "Read", "Write"]
    await permit(
        guarded,
        "mover",
        [
            Permission("topic", "mine*", everything),
            Permission("topic", "msgkit.*", everything),
            Permission("group", "mine*", ["Read"]),
            Permission("group", "msgkit.*", ["Read"]),
            Permission("transactional id", "msgkit*", ["Write"]),
        ],
    )
    url = as_user(guarded, f"mover:{PASSWORD}")
    async with Application([mind], settings=Settings(url=url)), asyncio.timeout(60):

        async def is_told() -> bool:
            return f"what is due at queue:{theirs.name} waits on" in caplog.text

        await until(is_told, patience=30)
        await permit(guarded, "mover", [Permission("topic", theirs.name, ["Write"])])
        async with Application([take], settings=mighty):
            assert await handled.get() == "late"
