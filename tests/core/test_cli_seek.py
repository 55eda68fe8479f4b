"""`msgkit seek`: a person has a queue read again."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from msgkit import Application, Exchange, Queue, Reject, listener
from msgkit.cli import main
from msgkit.errors import ConfigurationError
from msgkit.spi import Power
from tests.core.workshop import Place, narrow

SHOP = """
from msgkit import Application, Exchange, Queue, listener

orders = Exchange("orders", int)
billing = orders.queue("billing")
entries = Queue("entries", int, broker="archive")
mine = Queue.anonymous(orders.where("#"))

@listener(billing)
async def bill(number: int) -> None: ...

app = Application([bill], topology=[entries, mine])
"""
ORDERS = Exchange("orders", int)
BILLING = ORDERS.queue("billing")
NEVER = "2026-11-01T08:30:00"


@pytest.fixture
def archive() -> Iterator[Place]:
    """The second broker that the shop names."""
    archive = Place()
    yield archive
    archive.forget()


@pytest.fixture(autouse=True)
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch, place: Place, archive: Place) -> None:
    """Stand where the shop is, with its brokers chosen."""
    (folder / "shop.py").write_text(SHOP)
    monkeypatch.setenv("MSGKIT_URL", place.url)
    monkeypatch.setenv("MSGKIT_BROKERS__ARCHIVE__URL", archive.url)


def seek(queue: str, to: str) -> int:
    return main(["seek", "shop.py", queue, to])


def handled(place: Place, numbers: Sequence[int], prefix: str = "") -> None:
    """Have so many orders be sent and billed; those below nothing become dead letters."""
    settings = place.settings(prefix=prefix)

    async def work() -> None:
        async with asyncio.timeout(10):
            left, done = len(numbers), asyncio.Event()

            @listener(BILLING)
            async def bill(number: int) -> None:
                nonlocal left
                left -= 1
                if not left:
                    done.set()
                if number < 0:
                    raise Reject("a negative number")

            async with Application([bill], settings=settings) as app:
                await app.template.send_many(ORDERS, numbers)
                await done.wait()

    asyncio.run(work())


def waiting(place: Place, queue: Queue[int], prefix: str = "") -> list[int]:
    async def look() -> list[int]:
        async with Application(settings=place.settings(prefix=prefix)) as app:
            return [message.payload async for message in app.template.browse(queue)]

    return asyncio.run(look())


def test_a_queue_is_read_again_from_its_beginning(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    handled(place, [1, 2, 3])
    assert seek("billing", "earliest") == 0
    said = "queue 'billing' is read again from its beginning; messages that makes, as far as is known: 3\n"
    assert capsys.readouterr().out == said
    assert waiting(place, BILLING) == [1, 2, 3]


def test_a_queue_is_read_again_from_a_moment_on(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    handled(place, [1, 2])
    moment = datetime.now(UTC).isoformat()
    handled(place, [3])
    assert seek("billing", moment) == 0
    assert capsys.readouterr().out.endswith(": 1\n")
    assert waiting(place, BILLING) == [3]


def test_a_queue_goes_on_with_what_comes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    handled(place, [1])
    assert seek("billing", "earliest") == 0
    assert seek("billing", "latest") == 0
    assert capsys.readouterr().out.endswith("queue 'billing' goes on with what comes from now on\n")
    assert waiting(place, BILLING) == []


def test_dead_letters_are_read_again_under_their_own_name(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    handled(place, [1, -1])
    assert seek("billing.dlq", "latest") == 0
    assert waiting(place, Queue("billing.dlq", int)) == []
    assert seek("billing.dlq", "earliest") == 0
    assert capsys.readouterr().out.endswith(": 1\n")


def test_the_settings_say_what_the_broker_calls_a_queue(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    handled(place, [1], prefix="test-")
    monkeypatch.setenv("MSGKIT_PREFIX", "test-")
    assert seek("billing", "earliest") == 0
    assert waiting(place, BILLING, prefix="test-") == [1]


def test_a_queue_of_another_broker_is_named_with_it(archive: Place, capsys: pytest.CaptureFixture[str]) -> None:
    entries = Queue("entries", int)

    async def send() -> None:
        async with archive.template(entries) as template:
            await template.send(entries, 1)

    asyncio.run(send())
    assert seek("archive:entries", "earliest") == 0
    assert capsys.readouterr().out.startswith("queue 'archive:entries' is read again from its beginning; ")


# -- what cannot be


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        ("biling", "the application has no queue 'biling'; the nearest is 'billing'"),
        ("entries", "the application has no queue 'entries'; the nearest is 'archive:entries'"),
        ("orders", "the application has no queue 'orders'; the nearest is "),
        ("billing", "queue 'billing' does not exist"),
    ],
)
def test_a_queue_that_is_not_there_ends_with_2_and_says_so(
    queue: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seek(queue, "earliest") == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"msgkit: {said}")
    assert told.out == ""


def test_an_application_without_queues_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bare.py").write_text("from msgkit import Application\napp = Application()\n")
    assert main(["seek", "bare.py", "billing", "earliest"]) == 2
    assert capsys.readouterr().err == "msgkit: the application has no queue 'billing'; it has none at all\n"


async def test_an_anonymous_queue_is_nobody_elses_to_read_again(place: Place) -> None:
    mine = Queue.anonymous(ORDERS.where("#"))
    app = Application(topology=[mine], settings=place.settings())
    with pytest.raises(ConfigurationError, match="is anonymous: each program makes one of its own"):
        await app.seek(mine, "earliest")
    assert place.is_untouched


def test_a_broker_that_cannot_read_again_says_why(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handled(place, [1])
    monkeypatch.setenv("MSGKIT_URL", narrow(place, Power.REPLAY))
    assert seek("billing", "earliest") == 2
    assert capsys.readouterr().err == (
        "msgkit: seek(Queue('billing')) asks for replay, which memory cannot do: "
        "it was taken away; use a broker that has it\n"
    )


def test_a_broker_that_is_down_ends_with_2_and_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.broker.faults.stop()
    monkeypatch.setenv("MSGKIT_WAIT_FOR_BROKER", "0")
    assert seek("billing", "earliest") == 2
    assert capsys.readouterr().err.startswith("msgkit: BrokerUnavailable: ")


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (NEVER, f"'{NEVER}' is another moment in each time zone; say it with its offset, such as {NEVER}+01:00"),
        ("2026-11-01", "'2026-11-01' is another moment in each time zone"),
        ("yesterday", "'yesterday' is neither earliest nor latest nor a moment in ISO 8601, such as "),
        ("Earliest", "'Earliest' is neither earliest nor latest"),
    ],
)
def test_what_is_no_place_to_read_from_ends_with_2_and_shows_how(
    to: str, said: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        seek("billing", to)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
    assert place.is_untouched
