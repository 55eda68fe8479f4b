from datetime import UTC, datetime
from typing import Any

import pytest

from msgkit.dead_letters import dead_copy
from msgkit.envelope import Envelope, Kind
from msgkit.policy import GiveUp
from msgkit.values import HeaderValue, check_headers

BODY = Envelope(
    body=b"\x00body",
    destination="orders",
    kind=Kind.EXCHANGE,
    message_id="m-1",
    headers={"x-trace": "t", "count": 7},
    key="k",
    subject="placed.eu",
    content_type="application/json",
    type="Order",
    sent_at=5.0,
    correlation_id="c",
    reply_to="somebody",
    attempt=3,
    expires_at=9.0,
    delay=1.0,
    deliver_at=7.0,
    priority=4,
    require_route=True,
)


def died(why: GiveUp, envelope: Envelope = BODY, **said: Any) -> Envelope:
    values: dict[str, Any] = {"queue": "billing", "to": "billing.dlq", "attempts": 3, "now": 1e9, **said}
    return dead_copy(envelope, why=why, **values)


def size(headers: dict[str, HeaderValue]) -> int:
    """The size as it is counted for every message."""
    return sum(
        len(name.encode()) + (len(value.encode()) if isinstance(value, str) else 32) for name, value in headers.items()
    )


def dead_headers(letter: Envelope) -> dict[str, HeaderValue]:
    return {name: value for name, value in letter.headers.items() if name.startswith("msgkit-dead-")}


def test_a_dead_letter_is_the_message_as_it_was() -> None:
    letter = died(GiveUp("no"))
    kept = ("body", "message_id", "key", "subject", "content_type", "type", "sent_at", "correlation_id")
    assert [getattr(letter, name) for name in kept] == [getattr(BODY, name) for name in kept]
    assert {name: letter.headers[name] for name in BODY.headers} == BODY.headers


def test_a_dead_letter_says_why() -> None:
    letter = died(GiveUp("attempts exhausted", ValueError("no stock")))
    assert dead_headers(letter) == {
        "msgkit-dead-reason": "attempts exhausted",
        "msgkit-dead-queue": "billing",
        "msgkit-dead-origin": "orders",
        "msgkit-dead-attempts": 3,
        "msgkit-dead-at": datetime.fromtimestamp(1e9, UTC),
        "msgkit-dead-error": "ValueError",
        "msgkit-dead-text": "no stock",
    }


def test_without_an_error_there_is_nothing_about_one() -> None:
    assert {"msgkit-dead-error", "msgkit-dead-text"}.isdisjoint(died(GiveUp("sold out")).headers)


def test_a_dead_letter_waits_for_ever_and_asks_nobody() -> None:
    letter = died(GiveUp("no"))
    assert (letter.destination, letter.kind, letter.attempt) == ("billing.dlq", Kind.QUEUE, 1)
    nothing = (letter.reply_to, letter.expires_at, letter.delay, letter.deliver_at, letter.priority)
    assert nothing == (None,) * 5
    assert letter.require_route is False


def test_a_second_death_says_nothing_of_the_first() -> None:
    first = died(GiveUp("attempts exhausted", ValueError("no stock")))
    second = died(GiveUp("sold out"), first, queue="billing.dlq", to="billing.dlq.dlq", attempts=1)
    assert dead_headers(second) == {
        "msgkit-dead-reason": "sold out",
        "msgkit-dead-queue": "billing.dlq",
        "msgkit-dead-origin": "billing.dlq",
        "msgkit-dead-attempts": 1,
        "msgkit-dead-at": datetime.fromtimestamp(1e9, UTC),
    }
    assert second.headers["x-trace"] == "t"


class Wordy(Exception):
    pass


Wordy.__qualname__ = "Wördy" * 1000


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it cannot be said")


@pytest.mark.parametrize(
    "text",
    ["", "x" * 100_000, "ü" * 100_000, "€" * 100_000, "🦊" * 100_000, "a\nb\x00" * 10_000, "\ud800" * 10_000]
    + ["x" * number + "🦊" * 10_000 for number in (1, 2, 3)],
)
def test_what_a_dead_letter_says_stays_below_4_kib_whatever_the_texts_are(text: str) -> None:
    name = "🦊" * 50  # as long as a name may be
    letter = died(GiveUp(text, Wordy(text)), BODY._replace(destination=name), queue=name, to=name)
    headers = dead_headers(letter)
    assert len(headers) == 7
    assert size(headers) <= 4096
    check_headers(headers)


def test_a_text_that_is_cut_ends_with_an_ellipsis_and_a_short_one_is_whole() -> None:
    cut = str(died(GiveUp("🦊" * 10_000)).headers["msgkit-dead-reason"])
    assert cut == "🦊" * (len(cut) - 1) + "…"
    assert len(cut) > 100
    assert died(GiveUp("ü" * 400)).headers["msgkit-dead-reason"] == "ü" * 400


def test_an_error_that_cannot_be_put_into_words_is_told_by_its_type() -> None:
    letter = died(GiveUp("attempts exhausted", Mute()))
    assert letter.headers["msgkit-dead-error"] == "Mute"
    assert letter.headers["msgkit-dead-text"] == "(its text cannot be had: RuntimeError)"
