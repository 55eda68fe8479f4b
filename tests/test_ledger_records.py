"""The ledger as it is written: by several processes, some of them killed, and read again."""

import json
from collections.abc import Callable

import pytest

from msgkit.testing.conformance.ledger import Ledger, Promises
from msgkit.testing.conformance.ledger.records import Began
from tests.ledger_ideal import ideal
from tests.ledger_run import Run, carried


@pytest.mark.parametrize("seed", range(10))
def test_a_ledger_read_from_what_it_wrote_is_the_same(seed: int) -> None:
    ledger = ideal(seed)

    assert Ledger.from_json(ledger.to_json()).records == ledger.records


def test_each_record_is_written_as_a_line_of_its_own_when_it_is_made() -> None:
    lines: list[str] = []
    ledger = Ledger(Promises(), write=lines.append)
    ledger.attempt("a", "orders", carried("a\n\u2028"), queues=["q"], at=1)
    ledger.confirmed("a")

    assert "".join(lines) == ledger.to_json()
    assert [json.loads(line)["record"] for line in lines] == ["Promises", "Attempted", "Resolved"]
    assert all(line.endswith("\n") and len(line.splitlines()) == 1 for line in lines)


def child(writer: str) -> tuple[Ledger, Callable[[], str]]:
    lines: list[str] = []
    return Ledger(writer=writer, write=lines.append), lambda: "".join(lines)


def test_what_consumers_wrote_before_they_were_killed_is_judged_with_the_rest() -> None:
    run = Run().send("a", "b").fault("consumer-kill", 2, 2, "one")
    killed, written = child("one")
    token = killed.began("q", "one", "b", 1, 0.5, carried("b"))
    killed.ended(token, "accepted", 0.6)
    killed.began("q", "one", "a", 1, 1, carried("a"))
    run.ledger.merge(written())
    survivor, rest = child("two")
    survivor.ended(survivor.began("q", "two", "a", 1, 3, carried("a")), "accepted", 4)
    run.ledger.merge(rest())

    report = run.judge()

    report.check()
    assert report.excused == 1


def test_a_line_that_a_kill_cut_off_is_left_out() -> None:
    run = Run().send("a")
    killed, written = child("one")
    killed.ended(killed.began("q", "one", "a", 1, 1, carried("a")), "accepted", 2)

    run.ledger.merge(written()[:-5])

    (began,) = (record for record in run.ledger.records if isinstance(record, Began))
    assert began.consumer == "one"
    assert run.broken() == ("handled",)


def test_several_publishers_may_write_ledgers_too() -> None:
    run = Run(ordered=True)
    for name in ("x", "y"):
        publisher, written = child(name)
        publisher.attempt(name, "orders", carried(name), queues=["q"], at=0)
        publisher.confirmed(name)
        run.ledger.merge(written())

    assert run.handle("y", 1, 2).handle("x", 2, 3).broken() == ()


def test_sequences_go_on_after_a_merge() -> None:
    ledger = Ledger()
    ledger.merge(Run().send("a").ledger.to_json())
    ledger.attempt("b", "orders", carried("b"), queues=["q"], at=1)

    assert [getattr(each, "sequence", 0) for each in ledger.records][-1] == 2


def send(ledger: Ledger, message_id: str) -> None:
    ledger.attempt(message_id, "orders", carried(message_id), queues=["q"], at=0)


def resolve_twice(ledger: Ledger) -> None:
    ledger.confirmed("a")
    ledger.refused("a")


def end_twice(ledger: Ledger) -> None:
    token = ledger.began("q", "c", "a", 1, 1, carried("a"))
    ledger.ended(token, "accepted", 2)
    ledger.ended(token, "accepted", 3)


def merge_another_of_one_writer(ledger: Ledger) -> None:
    ledger.began("q", "c", "a", 1, 1, carried("a"))
    ledger.merge(Run().handle("x", 1, 2).ledger.to_json())


MISTAKES: dict[str, tuple[str, Callable[[Ledger], None]]] = {
    "an id twice": ("a was already attempted", lambda ledger: send(ledger, "a")),
    "an outcome twice": ("a was already resolved", resolve_twice),
    "an outcome of nothing": ("b was never attempted", lambda ledger: ledger.unknown("b")),
    "an end of nothing": (
        "main-9 did not begin",
        lambda ledger: ledger.ended("main-9", "accepted", 1),
    ),
    "an end twice": ("main-1 did not begin, or has ended", end_twice),
    "one writer in two processes": (
        "two ledgers must not have one writer",
        merge_another_of_one_writer,
    ),
}


@pytest.mark.parametrize(("message", "mistake"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_of_the_suite_is_refused_where_it_is_made(message: str, mistake: Callable[[Ledger], None]) -> None:
    ledger = Ledger()
    send(ledger, "a")

    with pytest.raises(ValueError, match=message):
        mistake(ledger)


def test_an_ordered_queue_of_a_binding_without_order_is_refused() -> None:
    with pytest.raises(ValueError, match="q cannot be ordered"):
        Run(Promises(order="NONE"), ordered=True)


def test_ledgers_of_different_promises_are_not_judged_together() -> None:
    run = Run().send("a")
    run.ledger.merge(Ledger(Promises(forks=True)).to_json())

    with pytest.raises(ValueError, match="different promises"):
        run.judge()


# -- reports


def test_the_copies_of_what_is_unknown_are_reported() -> None:
    run = Run().attempt("a").attempt("b").attempt("c").handle("b", 1, 2)
    run.ledger.unknown("a")
    run.ledger.unknown("b")

    run.handle("c", 2, 3).handle("c", 3, 4)

    assert run.judge().unknown == {"a": 0, "b": 1, "c": 2}


def test_a_report_tells_the_story_of_each_message_concerned() -> None:
    run = Run().send("a").handle("a", 1, 2).fault("pause", 2.5, 3, "c9").handle("a", 4, None)

    text = str(run.fault("broker-kill", 5, 6).judge())

    assert "accepted: Require that what is accepted never comes again." in text
    assert (
        "  a at q came again after it was accepted: attempt 1 at c1, 4.000000,"
        " after attempt 1 at c1, accepted at 2.000000\n"
        "    0.000000 a sent to orders (key 'k', number 1 of main): confirmed\n"
        "    1.000000 a at q, c1, attempt 1: accepted at 2.000000\n"
        "    4.000000 a at q, c1, attempt 1: never ended\n"
        "    5.000000 broker-kill until 6.000000 for all"
    ) in text


def test_a_report_shows_some_of_many_findings_and_counts_the_rest() -> None:
    report = Run().send(*map(str, range(20))).judge()

    assert len(report.findings) == 20
    assert "  and 15 more" in str(report)
    assert str(report).count("no delivery of it ever began") == 5
