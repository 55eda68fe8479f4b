"""What the oracle holds for the same message: its body, key and subject, and typed headers."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from msgkit.testing.conformance.ledger import Content, content
from tests.ledger_run import EVERYTHING, Run, carried


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", True),
        ("count", 7.0),
        ("count", "7"),
        ("count", 8),
        ("flag", 1),
        ("flag", False),
        ("rate", "0.5"),
        ("raw", "\x00\xff"),
        ("raw", bytearray(b"\x00\xff")),
        ("text", "hello"),
        ("text", None),
        ("time", datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ("time", datetime(2026, 1, 2, 3, 4, 5, 678901)),  # noqa: DTZ001 -- a naive one is the fault
        ("time", "2026-01-02T03:04:05.678901+00:00"),
        ("another", "one"),
    ],
)
def test_a_header_that_is_not_as_it_was_sent_is_found(name: str, value: object) -> None:
    assert seen(carried("a", headers={name: value})) == ("fidelity",)


@pytest.mark.parametrize(
    "altered",
    [
        content(b"", EVERYTHING, key="k", subject="placed.eu"),
        content(b"b", EVERYTHING, key="k", subject="placed.eu"),
        content(bytearray(b"a"), EVERYTHING, key="k", subject="placed.eu"),
        content(b"a", {}, key="k", subject="placed.eu"),
        content(b"a", EVERYTHING, key=None, subject="placed.eu"),
        content(b"a", EVERYTHING, key="K", subject="placed.eu"),
        content(b"a", EVERYTHING, key="k", subject=None),
        content(b"a", EVERYTHING, key="k", subject="placed.eu", correlation_id="x"),
    ],
)
def test_a_message_that_is_not_as_it_was_sent_is_found(altered: Content) -> None:
    assert seen(altered) == ("fidelity",)


def test_headers_of_our_own_and_another_time_zone_are_no_alteration() -> None:
    here = EVERYTHING["time"]
    assert isinstance(here, datetime)
    there = here.astimezone(timezone(timedelta(hours=2)))

    assert seen(carried("a", headers={"time": there, "msgkit-dead-reason": "x"})) == ()


def seen(what: Content) -> tuple[str, ...]:
    run = Run().send("a")
    run.ledger.ended(run.ledger.began("q", "c1", "a", 1, 1, what), "accepted", 2)
    return run.broken()
