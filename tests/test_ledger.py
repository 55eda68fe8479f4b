"""The oracle of the conformance suite: a history keeps every rule, or breaks one that is named."""

from collections.abc import Callable

import pytest

from msgkit.testing.conformance.ledger import RULES, Content, Promises, content
from tests.ledger_run import EVERYTHING, Run, carried

# -- histories without a fault


def test_a_message_handled_once_breaks_no_rule() -> None:
    report = Run().send("a").handle("a", 1, 2).judge()

    report.check()
    assert str(report).startswith("0 findings, 1 sent, 0 refused, 0 unknown, 1 deliveries")


KEPT: dict[str, Callable[[], Run]] = {
    "handled by being accepted": lambda: Run().send("a", "b").handle("a", 1, 2).handle("b", 2, 3),
    "handled by being dead-lettered": lambda: Run().send("a").handle("a", 1, 2, "rejected").dead("a"),
    "handled by being rejected where there are no dead letters": lambda: (
        Run(dead_letters=False).send("a").handle("a", 1, 2, "rejected")
    ),
    "refused and never seen": lambda: refuse(Run().send("b").handle("b", 1, 2)),
    "unknown and never seen": lambda: unknown(Run()),
    "unknown and seen once": lambda: unknown(Run()).handle("a", 1, 2),
    "unknown and seen thrice": lambda: unknown(Run()).handle("a", 1, 2).handle("a", 2, 3).handle("a", 3, 4),
    "retried until accepted": lambda: (
        Run()
        .send("a")
        .handle("a", 1, 2, "retried")
        .handle("a", 3, 4, "retried", attempt=2)
        .handle("a", 5, 6, attempt=3)
    ),
    "retried by another consumer": lambda: (
        Run().send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, attempt=2, by="c2")
    ),
    "retried after its delay": lambda: (
        Run().send("a").handle("a", 1, 2, "retried", after=5).handle("a", 7, 8, attempt=2)
    ),
    "retried until exhausted": lambda: (
        Run(attempts=2).send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, "retried", attempt=2).dead("a")
    ),
    "accepted at its last attempt": lambda: (
        Run(attempts=2).send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, attempt=2)
    ),
    "unknown, expired and counted": lambda: expire(unknown(Run(), 5.0).send("b", expires=5.0), counted=2),
    "unknown, expired and not counted": lambda: expire(unknown(Run(), 5.0).send("b", expires=5.0), counted=1),
    "released and handled elsewhere": lambda: Run().send("a").handle("a", 1, 2, "released").handle("a", 3, 4, by="c2"),
    "released twice, failed, released": lambda: (
        Run()
        .send("a")
        .handle("a", 1, 2, "released")
        .handle("a", 2, 3, "released", by="c2")
        .handle("a", 3, 4, "retried", by="c3")
        .handle("a", 4, 5, "released", attempt=2, by="c4")
        .handle("a", 5, 6, attempt=2, by="c5")
    ),
    "ordered": lambda: Run(ordered=True).send("a", "b").handle("a", 1, 2).handle("b", 2, 3, by="c2"),
    "ordered by key only": lambda: (
        Run(ordered=True).send("a").send("b", key="l").handle("b", 1, 2, key="l").handle("a", 1, 2)
    ),
    "ordered, without keys": lambda: (
        Run(ordered=True).send("a", "b", key=None).handle("b", 1, 3, key=None).handle("a", 2, 3, key=None)
    ),
    "ordered for each sender": lambda: (
        Run(ordered=True).send("a", sender="one").send("b", sender="two").handle("b", 1, 2).handle("a", 2, 3)
    ),
    "ordered, and delayed": lambda: (
        Run(ordered=True).send("a", due=10.0).send("b").handle("b", 1, 2).handle("a", 10, 11)
    ),
    "ordered, a retry holding its lane": lambda: (
        Run(ordered=True).send("a", "b").handle("a", 1, 2, "retried").handle("a", 3, 4, attempt=2).handle("b", 4, 5)
    ),
    "ordered, past a dead letter": lambda: (
        Run(ordered=True).send("a", "b").handle("a", 1, 2, "rejected").dead("a").handle("b", 2, 3)
    ),
    "unordered, a retry overtaken": lambda: (
        Run().send("a", "b").handle("a", 1, 2, "retried").handle("b", 2, 3).handle("a", 3, 4, attempt=2)
    ),
    "unordered, one key in two processes": lambda: Run().send("a", "b").handle("a", 1, 3).handle("b", 2, 4, by="c2"),
    "a batch of one key": lambda: Run(batched=True).send("a", "b").handle("a", 1, 3).handle("b", 1, 3),
    "strict, a dead letter followed": lambda: (
        Run(ordered="strict").send("a", "b").handle("a", 1, 2, "rejected").dead("a", "b")
    ),
    "strict, a delayed one behind a dead letter": lambda: (
        Run(ordered="strict").send("a", due=10.0).send("b").handle("b", 1, 2, "rejected").dead("a", "b")
    ),
    "empty bodies in two phases": lambda: empty(Run()),
    "an anonymous queue that nobody asked for": lambda: unasked(Run(anonymous=True).send("a").handle("a", 1, 2)),
    "one active consumer after the other": lambda: (
        Run(Promises(order="FAILOVER"), ordered=True)
        .send("a")
        .send("b", key="l")
        .handle("a", 1, 2)
        .handle("b", 2, 3, by="c2", key="l")
    ),
    "unordered queues of a binding with one active consumer": lambda: (
        Run(Promises(order="FAILOVER"))
        .send("a")
        .send("b", key="l")
        .handle("a", 1, 3)
        .handle("b", 2, 4, by="c2", key="l")
    ),
    "poison": lambda: Run().send("a", poison=True).dead("a"),
    "due": lambda: Run().send("a", due=5.0).handle("a", 5, 6),
    "handled before it expires": lambda: Run().send("a", expires=5.0).handle("a", 5, 6),
    "expired and counted": lambda: expire(Run().send("a", expires=5.0), counted=1),
    "stopped, and back": lambda: stop(Run().send("a").handle("a", 3, 4), 1, back=2),
    "stopped while it handles": lambda: stop(Run().send("a").handle("a", 1, 4), 2),
    "missed in a reported gap": lambda: gap(Run(anonymous=True).send("a", at=2), 1, 3),
    "in-place attempts forgotten on another consumer": lambda: (
        Run(Promises(holds=True), ordered=True)
        .send("a")
        .handle("a", 1, 2, "retried")
        .handle("a", 2, 3, "released", attempt=2)
        .handle("a", 4, 5, by="c2")
    ),
    "in-place attempts forgotten with the release that moves them": lambda: (
        Run(Promises(holds=True), ordered=True)
        .send("a")
        .handle("a", 1, 2, "retried")
        .handle("a", 2, 3, "released", attempt=2)
        .handle("a", 4, 5)
    ),
    "an in-place retry that went to another consumer": lambda: (
        Run(Promises(holds=True), ordered=True).send("a").handle("a", 1, 2, "retried").handle("a", 4, 5, by="c2")
    ),
    "in-place attempts forgotten with a stop": lambda: stop(
        Run(Promises(holds=True), ordered=True).send("a").handle("a", 1, 2, "retried").handle("a", 4, 5),
        2.5,
        back=3,
    ),
    "a stop counted, where the binding says so": lambda: stop(
        Run(Promises(overcounts=True)).send("a").handle("a", 3, 4, attempt=2, by="c2"), 2
    ),
    "one active consumer, with several keys at once": lambda: (
        Run(Promises(order="FAILOVER"), ordered=True)
        .send("a")
        .send("b", key="l")
        .handle("a", 1, 3)
        .handle("b", 2, 4, key="l")
    ),
    "unknown in a strict lane, one copy following the other": lambda: (
        unknown(Run(ordered="strict")).handle("a", 1, 2, "rejected").dead("a", "a")
    ),
    "a release counted, where the binding says so": lambda: (
        Run(Promises(overcounts=True)).send("a").handle("a", 1, 2, "released").handle("a", 3, 4, attempt=2)
    ),
}


def refuse(run: Run) -> Run:
    run.attempt("a").ledger.refused("a")
    return run


def refused_elsewhere(run: Run) -> Run:
    run.ledger.refused("a")
    return run


def unknown(run: Run, expires: float | None = None) -> Run:
    run.attempt("a", expires=expires).ledger.unknown("a")
    return run


def expire(run: Run, *, counted: int) -> Run:
    run.ledger.expired("q", counted, at=9)
    return run


def stop(run: Run, at: float, back: float | None = None) -> Run:
    run.ledger.stopped("c1", at)
    if back is not None:
        run.ledger.joined("c1", back)
    return run


def join(run: Run, consumer: str, at: float) -> Run:
    run.ledger.joined(consumer, at)
    return run


def gap(run: Run, began: float, ended: float, of: str = "q") -> Run:
    run.ledger.gap(of, began, ended)
    return run


def hold(run: Run, count: int, unacked: int = 0) -> Run:
    run.held = count + unacked
    run.ledger.left("q", count, unacked)
    return run


@pytest.mark.parametrize("history", KEPT.values(), ids=KEPT.keys())
def test_a_right_history_breaks_no_rule(history: Callable[[], Run]) -> None:
    history().judge().check()


BROKEN: dict[str, tuple[str, Callable[[], Run]]] = {
    "nothing sent": ("evidence", Run),
    "a body of another phase": (
        "evidence",
        lambda: altered_send(Run().send("a", phase="one").handle("a", 1, 2), phase="two"),
    ),
    "a broker that nobody asked": ("evidence", lambda: unasked(Run().send("a").handle("a", 1, 2))),
    "a queue that nobody declared": ("evidence", lambda: undeclared(Run())),
    "confirmed and dropped": ("handled", lambda: Run().send("a", "b").handle("b", 1, 2)),
    "confirmed, retried and dropped": (
        "handled",
        lambda: Run().send("a").handle("a", 1, 2, "retried"),
    ),
    "confirmed, released and dropped": (
        "handled",
        lambda: Run().send("a").handle("a", 1, 2, "released"),
    ),
    "confirmed, and its consumer killed": ("handled", lambda: Run().send("a").handle("a", 1, None)),
    "confirmed, and lost": ("handled", lambda: Run().send("a").handle("a", 1, 2, "lost")),
    "dropped before it expires": ("handled", lambda: Run().send("a", expires=5.0, at=1)),
    "missed outside of the gap": (
        "handled",
        lambda: gap(Run(anonymous=True).send("a", at=4), 1, 3),
    ),
    "missed in the gap of another queue": (
        "handled",
        lambda: gap(Run(anonymous=True).send("a", at=2), 1, 3, of="other"),
    ),
    "missed by a queue that is not anonymous": (
        "handled",
        lambda: gap(Run().send("a", at=2), 1, 3),
    ),
    "refused and handled": ("refused", lambda: refuse(Run()).handle("a", 1, 2)),
    "refused and handled where it was not routed": (
        "refused",
        lambda: refused_elsewhere(misrouted(Run())),
    ),
    "refused and dead": ("refused", lambda: refuse(Run()).dead("a")),
    "invented": ("invented", lambda: Run().send("a").handle("a", 1, 2).handle("x", 1, 2)),
    "invented and dead": ("invented", lambda: Run().send("a").handle("a", 1, 2).dead("x")),
    "handled where it was not routed": ("invented", lambda: misrouted(Run())),
    "accepted and handled again": (
        "accepted",
        lambda: Run().send("a").handle("a", 1, 2).handle("a", 3, 4),
    ),
    "accepted and handled again elsewhere": (
        "accepted",
        lambda: Run().send("a").handle("a", 1, 2).handle("a", 3, 4, by="c2"),
    ),
    "accepted and handled again as a retry": (
        "accepted",
        lambda: Run().send("a").handle("a", 1, 2, "retried").handle("a", 2, 3, attempt=2).handle("a", 3, 4, attempt=3),
    ),
    "accepted, and again when a consumer leaves": (
        "accepted",
        lambda: stop(Run().send("a").handle("a", 1, 2, by="c2").handle("a", 3, 4, by="c3"), 2.5),
    ),
    "handled twice at once": (
        "duplicates",
        lambda: Run().send("a").handle("a", 1, 3).handle("a", 2, 4),
    ),
    "handled again while it is left unsettled": (
        "duplicates",
        lambda: Run().send("a").handle("a", 1, 2, "none").handle("a", 3, 4),
    ),
    "lost to nothing and handled again": (
        "duplicates",
        lambda: Run().send("a").handle("a", 1, 2, "lost").handle("a", 3, 4),
    ),
    "begun at another attempt": ("attempts", lambda: Run().send("a").handle("a", 1, 2, attempt=2)),
    "begun at attempt 0": ("attempts", lambda: Run().send("a").handle("a", 1, 2, attempt=0)),
    "a repeated attempt": (
        "attempts",
        lambda: Run().send("a").handle("a", 1, 2, "retried").handle("a", 3, 4),
    ),
    "a skipped attempt": (
        "attempts",
        lambda: Run().send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, attempt=3),
    ),
    "attempts begun again": (
        "attempts",
        lambda: Run().send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, "retried", attempt=2).handle("a", 5, 6),
    ),
    "a release that counts": (
        "attempts",
        lambda: Run().send("a").handle("a", 1, 2, "released").handle("a", 3, 4, attempt=2),
    ),
    "in-place attempts forgotten on the same consumer": (
        "attempts",
        lambda: Run(Promises(holds=True), ordered=True).send("a").handle("a", 1, 2, "retried").handle("a", 3, 4),
    ),
    "in-place attempts forgotten with an earlier stop": (
        "attempts",
        lambda: stop(
            Run(Promises(holds=True), ordered=True).send("a").handle("a", 1, 2, "retried").handle("a", 4, 5),
            0.5,
            back=0.6,
        ),
    ),
    "in-place attempts forgotten with a later stop": (
        "attempts",
        lambda: stop(
            Run(Promises(holds=True), ordered=True).send("a").handle("a", 1, 2, "retried").handle("a", 4, 5),
            6,
        ),
    ),
    "in-place attempts forgotten with the stop of another": (
        "attempts",
        lambda: stop(
            Run(Promises(holds=True), ordered=True)
            .send("a")
            .handle("a", 1, 2, "retried", by="c2")
            .handle("a", 4, 5, by="c2"),
            3,
        ),
    ),
    "a stop counted before it happens": (
        "attempts",
        lambda: stop(Run(Promises(overcounts=True)).send("a").handle("a", 1, 2, attempt=2), 3),
    ),
    "a retry that counts for two, where releases count": (
        "attempts",
        lambda: Run(Promises(overcounts=True)).send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, attempt=3),
    ),
    "unknown, and one copy retried twice": (
        "attempts",
        lambda: unknown(Run()).handle("a", 1, 2, "retried").handle("a", 3, 4, attempt=2).handle("a", 5, 6, attempt=2),
    ),
    "ordered attempts forgotten by a binding that tries nothing in place": (
        "attempts",
        lambda: Run(ordered=True).send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, by="c2"),
    ),
    "attempts forgotten that were not in place": (
        "attempts",
        lambda: Run(Promises(holds=True)).send("a").handle("a", 1, 2, "retried").handle("a", 3, 4, by="c2"),
    ),
    "unknown with a wrong attempt": (
        "attempts",
        lambda: unknown(Run()).handle("a", 1, 2).handle("a", 2, 3, attempt=3),
    ),
    "handled by two at once": (
        "competing",
        lambda: Run().send("a").handle("a", 1, 3).handle("a", 2, 4, by="c2"),
    ),
    "handled by who joins, while it runs": (
        "competing",
        lambda: Run().send("a").handle("a", 1, 5).handle("a", 2, 3, by="joiner"),
    ),
    "handled by two active consumers": (
        "competing",
        lambda: Run(Promises(order="FAILOVER"), ordered=True).send("a").handle("a", 1, 3).handle("a", 2, 4, by="c2"),
    ),
    "lost to nothing and handled elsewhere": (
        "competing",
        lambda: Run().send("a").handle("a", 1, 2, "lost").handle("a", 3, 4, by="c2"),
    ),
    "overtaken": (
        "order",
        lambda: Run(ordered=True).send("a", "b").handle("b", 1, 2).handle("a", 2, 3),
    ),
    "overtaken on another consumer": (
        "order",
        lambda: Run(ordered=True).send("a", "b").handle("b", 1, 2, by="c2").handle("a", 2, 3),
    ),
    "the last overtaking the rest": (
        "order",
        lambda: Run(ordered="strict").send("a", "b", "c").handle("c", 1, 2).handle("a", 2, 3).handle("b", 3, 4),
    ),
    "unknown and out of order": (
        "order",
        lambda: unknown(Run(ordered=True)).send("b").handle("b", 1, 2).handle("a", 2, 3),
    ),
    "two of a key at once": (
        "lanes",
        lambda: Run(ordered=True).send("a", "b").handle("a", 1, 3).handle("b", 2, 4, by="c2"),
    ),
    "two of a key at once in one process": (
        "lanes",
        lambda: Run().send("a", "b").handle("a", 1, 3).handle("b", 2, 4),
    ),
    "two batches of a key at once": (
        "lanes",
        lambda: Run(batched=True).send("a", "b").handle("a", 1, 3).handle("b", 2, 4),
    ),
    "two of a key begun together, in no batch": (
        "lanes",
        lambda: Run().send("a", "b").handle("a", 1, 3).handle("b", 1, 3),
    ),
    "two active consumers of one key": (
        "lanes",
        lambda: (
            Run(Promises(order="FAILOVER"), ordered=True).send("a", "b").handle("a", 1, 3).handle("b", 2, 4, by="c2")
        ),
    ),
    "a retry overtaken": (
        "lanes",
        lambda: (
            Run(ordered=True).send("a", "b").handle("a", 1, 2, "retried").handle("b", 2, 3).handle("a", 3, 4, attempt=2)
        ),
    ),
    "a released one overtaken": (
        "lanes",
        lambda: (
            Run(ordered=True)
            .send("a", "b")
            .handle("a", 1, 2, "released")
            .handle("b", 2, 3, by="c2")
            .handle("a", 3, 4, by="c2")
        ),
    ),
    "a successor of a dead letter": (
        "strict",
        lambda: Run(ordered="strict").send("a", "b").handle("a", 1, 2, "rejected").dead("a").handle("b", 2, 3),
    ),
    "a successor of poison": (
        "strict",
        lambda: Run(ordered="strict").send("a", poison=True).dead("a").send("b").handle("b", 2, 3),
    ),
    "two active consumers": (
        "failover",
        lambda: (
            Run(Promises(order="FAILOVER"), ordered=True)
            .send("a")
            .send("b", key="l")
            .handle("a", 1, 3)
            .handle("b", 2, 4, by="c2", key="l")
        ),
    ),
    "two active consumers, without keys": (
        "failover",
        lambda: (
            Run(Promises(order="FAILOVER"), ordered=True)
            .send("a", "b", key=None)
            .handle("a", 1, 3, key=None)
            .handle("b", 2, 4, by="c2", key=None)
        ),
    ),
    "handled before it was sent": ("early", lambda: Run().send("a", at=2).handle("a", 1, 3)),
    "handled before it was due": ("early", lambda: Run().send("a", due=5.0).handle("a", 4.9, 6)),
    "retried before its delay was over": (
        "early",
        lambda: Run().send("a").handle("a", 1, 2, "retried", after=5).handle("a", 6.9, 8, attempt=2),
    ),
    "handled after it expired": ("expired", lambda: Run().send("a", expires=5.0).handle("a", 6, 7)),
    "retried after it expired": (
        "expired",
        lambda: Run().send("a", expires=5.0).handle("a", 1, 2, "retried").handle("a", 6, 7, attempt=2),
    ),
    "expired and not counted": ("expired", lambda: expire(Run().send("a", expires=5.0), counted=0)),
    "expired and counted twice": (
        "expired",
        lambda: expire(Run().send("a", expires=5.0), counted=2),
    ),
    "rejected and not dead-lettered": (
        "dead-letters",
        lambda: Run().send("a").handle("a", 1, 2, "rejected"),
    ),
    "exhausted and not dead-lettered": (
        "dead-letters",
        lambda: Run(attempts=1).send("a").handle("a", 1, 2, "retried"),
    ),
    "dead twice": (
        "dead-letters",
        lambda: Run().send("a").handle("a", 1, 2, "rejected").dead("a", "a"),
    ),
    "accepted and dead": ("dead-letters", lambda: Run().send("a").handle("a", 1, 2).dead("a")),
    "dead before it was exhausted": (
        "dead-letters",
        lambda: Run(attempts=3).send("a").handle("a", 1, 2, "retried").dead("a"),
    ),
    "dead and never handled": ("dead-letters", lambda: Run().send("a").dead("a")),
    "killed without a fault and dead": (
        "dead-letters",
        lambda: Run().send("a").handle("a", 1, None).dead("a"),
    ),
    "dead and handled again": (
        "dead-letters",
        lambda: Run().send("a").handle("a", 1, 2, "rejected").dead("a").handle("a", 3, 4, attempt=2),
    ),
    "dead where there are no dead letters": (
        "dead-letters",
        lambda: Run(dead_letters=False).send("a").handle("a", 1, 2, "rejected").dead("a"),
    ),
    "accepted and dead, behind a dead letter": (
        "dead-letters",
        lambda: (
            Run(ordered="strict")
            .send("a", sender="one")
            .send("b", sender="two")
            .handle("a", 1, 2, "rejected")
            .dead("a", "b")
            .handle("b", 2, 3)
        ),
    ),
    "accepted and dead, behind a dead letter, where a fault might have forked it": (
        "dead-letters",
        lambda: (
            Run(Promises(forks=True), ordered="strict")
            .send("a", sender="one")
            .send("b", sender="two")
            .handle("a", 1, 2, "rejected")
            .dead("a", "b")
            .handle("b", 2, 3)
        ),
    ),
    "unknown and dead more often than rejected": (
        "dead-letters",
        lambda: unknown(Run()).handle("a", 1, 2, "rejected").dead("a", "a"),
    ),
    "unknown, rejected and not dead": (
        "dead-letters",
        lambda: unknown(Run()).handle("a", 1, 2, "rejected"),
    ),
    "rejected before it expires and not dead": (
        "dead-letters",
        lambda: Run().send("a", expires=5.0).handle("a", 1, 2, "rejected"),
    ),
    "an unordered successor dead": (
        "dead-letters",
        lambda: Run(ordered=True).send("a", "b").handle("a", 1, 2, "rejected").dead("a", "b"),
    ),
    "a strict predecessor dead, that nobody rejected": (
        "dead-letters",
        lambda: Run(ordered="strict").send("a", "b").dead("a", "b"),
    ),
    "poison twice": ("dead-letters", lambda: Run().send("a", poison=True).dead("a", "a")),
    "poison handled": (
        "dead-letters",
        lambda: Run().send("a", poison=True).handle("a", 1, 2, "rejected").dead("a"),
    ),
    "dead with another body": (
        "dead-letters",
        lambda: buried(content(b"b", EVERYTHING, key="k", subject="placed.eu")),
    ),
    "dead with another key": ("dead-letters", lambda: buried(carried("a", "l"))),
    "dead without a header": (
        "dead-letters",
        lambda: buried(content(b"a", {"text": "héllo"}, key="k", subject="placed.eu")),
    ),
    "begun after the stop": ("stopped", lambda: stop(Run().send("a").handle("a", 3, 4), 2)),
    "begun after the stop, before it is back": (
        "stopped",
        lambda: stop(Run().send("a").handle("a", 3, 4), 2, back=5),
    ),
    "begun after the stop, when another is back": (
        "stopped",
        lambda: join(stop(Run().send("a").handle("a", 3, 4), 2), "c2", 2.5),
    ),
    "begun after the stop of one that had joined": (
        "stopped",
        lambda: join(stop(Run().send("a").handle("a", 3, 4), 2), "c1", 1),
    ),
    "left at the broker": ("left", lambda: hold(Run().send("a").handle("a", 1, 2), 3)),
    "left unacked": ("left", lambda: hold(Run().send("a").handle("a", 1, 2), 0, unacked=1)),
}


def altered_send(run: Run, phase: str) -> Run:
    same = carried("a")
    run.ledger.attempt("b", "orders", same, queues=["q"], at=3, phase=phase)
    run.ledger.confirmed("b")
    run.ledger.ended(run.ledger.began("q", "c1", "b", 1, 3, same), "accepted", 4)
    return run


def unasked(run: Run) -> Run:
    run.held = -1
    return run


def undeclared(run: Run) -> Run:
    run.ledger.attempt("a", "orders", carried("a"), queues=["other"], at=0)
    run.ledger.unknown("a")
    return run


def misrouted(run: Run) -> Run:
    run.ledger.queue("other")
    run.ledger.left("other", 0)
    run.ledger.attempt("a", "orders", carried("a"), queues=["other"], at=0)
    return run.handle("a", 1, 2)


def empty(run: Run) -> Run:
    nothing = content(b"", {}, key=None, subject=None)
    for message_id, phase in (("a", "one"), ("b", "two")):
        run.ledger.attempt(message_id, "q", nothing, queues=["q"], at=0, phase=phase)
        token = run.ledger.began("q", "c1", message_id, 1, 1, nothing)
        run.ledger.ended(token, "accepted", 2)
    return run


def buried(what: Content) -> Run:
    run = Run().send("a").handle("a", 1, 2, "rejected")
    run.ledger.dead("q", "a", what)
    return run


@pytest.mark.parametrize(("rule", "history"), BROKEN.values(), ids=BROKEN.keys())
def test_a_wrong_history_breaks_its_rule_and_no_other(rule: str, history: Callable[[], Run]) -> None:
    report = history().judge()

    assert report.rules == (rule,), str(report)
    with pytest.raises(AssertionError, match=rule):
        report.check()


def test_each_rule_is_broken_by_several_histories() -> None:
    tried = [rule for rule, _ in BROKEN.values()]
    alone = {"fidelity"}  # it has tests of its own

    assert all(tried.count(rule) > 1 for rule in RULES.keys() - alone)
