"""What the oracle excuses because of a fault, and what it does not."""

from collections.abc import Callable
from typing import get_args

import pytest

from msgkit.testing.conformance.ledger import Promises
from msgkit.testing.conformance.ledger.records import FaultKind, Settled
from tests.ledger_run import Run

WINDOW = Promises(settle_window=1.0)
FORKS = Promises(forks=True)
HOLDS = Promises(holds=True)


# -- what may return


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_what_was_in_flight_may_return_after_a_fault_of_any_kind(kind: FaultKind) -> None:
    run = Run().send("a").handle("a", 1, None).fault(kind, 2, 2).handle("a", 3, 4, by="c2")

    report = run.judge()

    report.check()
    assert report.excused == 1


@pytest.mark.parametrize("how", ["accepted", "rejected", "retried", "released", "lost", "none"])
def test_what_a_fault_interrupts_may_return_however_it_ended(how: Settled) -> None:
    run = Run().send("a").handle("a", 1, 4, how).fault("connection-loss", 2, 3, "c1")

    assert run.handle("a", 5, 6, by="c2").broken() == ()


def test_what_was_settled_within_the_window_before_a_fault_may_return() -> None:
    run = Run(WINDOW).send("a").handle("a", 1, 9.001).fault("broker-kill", 10, 12)

    assert run.handle("a", 13, 14).broken() == ()


def test_what_was_settled_before_the_window_never_returns() -> None:
    run = Run(WINDOW).send("a").handle("a", 1, 8.999).fault("broker-kill", 10, 12)

    assert run.handle("a", 13, 14).broken() == ("accepted",)


def test_without_a_window_only_what_was_in_flight_may_return() -> None:
    run = Run().send("a").handle("a", 1, 9.999).fault("broker-kill", 10, 12)

    assert run.handle("a", 13, 14).broken() == ("accepted",)


def test_clocks_that_differ_by_the_tolerance_make_the_window_no_smaller() -> None:
    run = Run().send("a").handle("a", 1, 9.999).fault("broker-kill", 10, 12).handle("a", 13, 14)

    assert run.judge(tolerance=0.01).rules == ()


def test_times_that_are_equal_are_within() -> None:
    run = Run(WINDOW).send("a").handle("a", 1, 9).fault("broker-kill", 10, 12).handle("a", 12, 13)

    assert run.handle("a", 14, 15).broken() == ()


@pytest.mark.parametrize(("tolerance", "excused"), [(0.01, True), (0.001, False)])
def test_a_fault_lasts_longer_by_the_tolerance(tolerance: float, *, excused: bool) -> None:
    run = Run().send("a").fault("connection-loss", 1, 2).handle("a", 2.005, 3).handle("a", 4, 5)

    assert run.judge(tolerance).rules == (() if excused else ("accepted",))


@pytest.mark.parametrize(("tolerance", "kept"), [(0.01, True), (0.001, False)])
def test_what_follows_too_soon_by_less_than_the_tolerance_is_right(tolerance: float, *, kept: bool) -> None:
    run = Run(ordered=True).send("a", "b", "c", at=1.005).handle("a", 1, 2, "retried", after=1)
    run.handle("a", 2.995, 4, attempt=2).handle("b", 3.995, 5, "released").handle("b", 4.995, 6)
    run.handle("c", 5.995, 7)
    run.ledger.stopped("c1", 5.99)

    assert (run.judge(tolerance).rules == ()) is kept


def test_nothing_returns_before_the_fault() -> None:
    run = Run(WINDOW).send("a").handle("a", 1, 2).handle("a", 2.5, 2.9)

    assert run.fault("broker-kill", 3, 4).broken() == ("accepted",)


def test_what_began_after_a_fault_was_over_does_not_return() -> None:
    run = Run().send("a").fault("connection-loss", 1, 2).handle("a", 2.001, 3)

    assert run.handle("a", 4, 5).broken() == ("accepted",)


def test_what_began_while_a_fault_lasted_may_return() -> None:
    run = Run().send("a").fault("connection-loss", 1, 2).handle("a", 1.999, 3)

    assert run.handle("a", 4, 5).broken() == ()


def test_a_fault_that_is_not_over_excuses_what_it_touches() -> None:
    run = Run().send("a").fault("pause", 1, None).handle("a", 8, 9)

    assert run.handle("a", 10, 11).broken() == ()


def test_a_fault_of_one_consumer_excuses_nothing_of_another() -> None:
    run = Run().send("a").handle("a", 1, 4).fault("consumer-kill", 2, 2, "c2", "c3")

    assert run.handle("a", 5, 6).broken() == ("accepted",)


def test_one_delivery_returns_once() -> None:
    run = Run().send("a").handle("a", 1, 4).fault("pause", 2, 3, "c1")
    run.handle("a", 5, 6, by="c2").handle("a", 7, 8, by="c3")

    assert run.broken() == ("accepted",)


def test_each_of_two_faults_may_bring_back_what_it_interrupts() -> None:
    run = Run().send("a").handle("a", 1, None).fault("consumer-kill", 2, 2, "c1")
    run.handle("a", 3, None, by="c2").fault("consumer-kill", 4, 4, "c2")

    assert run.handle("a", 5, 6, by="c3").broken() == ()


def test_what_a_fault_interrupts_and_nobody_accepted_must_return() -> None:
    run = Run().send("a").handle("a", 1, None).fault("consumer-kill", 2, 2, "c1")

    assert run.broken() == ("handled",)


def test_a_fault_excuses_the_loss_of_nothing_that_waits() -> None:
    assert Run().send("a").fault("broker-kill", 2, 3).broken() == ("handled",)


def test_a_consumer_that_a_fault_cut_off_may_begin_what_another_was_given() -> None:
    run = Run().send("a").fault("pause", 1, 3, "c1").handle("a", 2, 4, by="c2")

    assert run.handle("a", 2.5, 2.6, "lost").broken() == ()


def test_a_consumer_that_is_back_may_not_begin_what_another_was_given() -> None:
    run = Run().send("a").fault("pause", 1, 3, "c1").handle("a", 2, 4, by="c2")

    assert run.handle("a", 3.5, 3.6, "lost").broken() == ("competing",)


def test_a_consumer_that_a_fault_cut_off_begins_a_delivery_once() -> None:
    run = Run().send("a").fault("pause", 1, 3, "c1").handle("a", 2, 2.1, by="c2")
    run.handle("a", 2.5, 2.6, "lost").handle("a", 2.7, 2.8, "none")

    assert run.broken() == ("accepted",)


# -- attempts and forks


def test_what_returns_has_the_attempt_that_was_interrupted() -> None:
    run = Run().send("a").handle("a", 1, 2, "retried").handle("a", 3, None, attempt=2)
    run.fault("consumer-kill", 4, 4, "c1")

    assert run.handle("a", 5, 6, attempt=2, by="c2").broken() == ()


@pytest.mark.parametrize("attempt", [1, 3])
def test_what_returns_has_no_other_attempt(attempt: int) -> None:
    run = Run().send("a").handle("a", 1, 2, "retried").handle("a", 3, None, attempt=2)
    run.fault("consumer-kill", 4, 4, "c1")

    assert run.handle("a", 5, 6, attempt=attempt, by="c2").broken() == ("attempts",)


def test_a_crash_counts_as_an_attempt_where_the_binding_says_so() -> None:
    run = Run(Promises(overcounts=True)).send("a").handle("a", 1, None)
    run.fault("consumer-kill", 4, 4, "c1")

    assert run.handle("a", 5, 6, attempt=2, by="c2").broken() == ()


@pytest.mark.parametrize(
    ("kind", "promises", "broken"),
    [
        ("broker-kill", Promises(overcounts=True), ()),
        ("broker-kill", Promises(), ("attempts",)),
        ("broker-stop", Promises(overcounts=True), ("attempts",)),
    ],
)
def test_a_killed_broker_may_forget_attempts_where_it_counts_deliveries(
    kind: FaultKind, promises: Promises, broken: tuple[str, ...]
) -> None:
    run = Run(promises).send("a").handle("a", 1, 2, "retried").handle("a", 3, 5, attempt=2).fault(kind, 4, 6)

    assert run.handle("a", 7, 8).broken() == broken


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_fault_may_forget_attempts_that_were_made_in_place(attempt: int) -> None:
    run = Run(HOLDS, ordered=True).send("a").handle("a", 1, 2, "retried")
    run.handle("a", 3, 4, "retried", attempt=2).fault("connection-loss", 5, 6, "c1")

    assert run.handle("a", 7, 8, attempt=attempt).broken() == ()


def test_a_retry_that_a_fault_undid_comes_again_with_its_attempt() -> None:
    run = Run().send("a").handle("a", 1, 4, "retried", after=9).fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6).broken() == ()


def test_a_retry_and_its_original_do_not_both_come_where_nothing_forks() -> None:
    run = Run().send("a").handle("a", 1, 4, "retried").fault("broker-kill", 2, 3)
    run.handle("a", 5, 6).handle("a", 7, 8, attempt=2)

    assert run.broken() == ("accepted",)


def forked() -> Run:
    run = Run(FORKS).send("a").handle("a", 1, 4, "retried").fault("broker-kill", 2, 3)
    return run.handle("a", 5, 6).handle("a", 7, 8, attempt=2)


def test_a_crash_may_fork_a_retry_in_two_that_are_both_handled() -> None:
    assert forked().broken() == ()


def test_the_branches_of_a_fork_come_in_any_order() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "retried").fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6, attempt=2).handle("a", 7, 8).broken() == ()


def test_a_retry_whose_confirm_a_crash_took_may_come_twice() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "retried").fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6, attempt=2).handle("a", 7, 8, attempt=2).broken() == ()


def test_a_crash_forks_in_no_more_than_two() -> None:
    assert forked().handle("a", 9, 10, attempt=2).broken() == ("accepted",)


@pytest.mark.parametrize(
    ("after", "kind", "broken"),
    [
        (2.0, "broker-stop", ()),
        (0.0, "broker-stop", ("accepted",)),
        (2.0, "connection-loss", ("accepted",)),
    ],
    ids=["held for later", "not held", "the broker stays"],
)
def test_a_retry_that_was_held_for_later_may_come_twice_beside_its_original_when_the_broker_goes_down(
    after: float, kind: FaultKind, broken: tuple[str, ...]
) -> None:
    run = Run(FORKS).send("a").fault(kind, 2, 3).handle("a", 1, 2, "retried", after=after)
    run.handle("a", 5, 6, attempt=2).handle("a", 7, 8, attempt=2)

    assert run.handle("a", 9, 10).broken() == broken


def test_no_retry_comes_a_third_time() -> None:
    run = Run(FORKS).send("a").fault("broker-stop", 2, 3).handle("a", 1, 2, "retried", after=2.0)
    run.handle("a", 5, 6, attempt=2).handle("a", 7, 8, attempt=2).handle("a", 9, 10)

    assert run.handle("a", 11, 12, attempt=2).broken() == ("accepted",)


def test_each_branch_of_a_fork_runs_its_whole_policy() -> None:
    run = Run(FORKS, attempts=2).send("a")
    run.handle("a", 1, 4, "retried").fault("broker-kill", 2, 3)
    run.handle("a", 5, 6, "retried").handle("a", 6, 7, "retried", attempt=2)
    run.handle("a", 7, 8, "retried", attempt=2)

    assert run.dead("a", "a").broken() == ()


def test_nothing_forks_without_a_fault() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "retried")

    assert run.handle("a", 5, 6).broken() == ("attempts",)


def test_a_release_does_not_fork() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "released").fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6).handle("a", 7, 8).broken() == ("accepted",)


def test_what_is_tried_in_place_does_not_fork() -> None:
    run = Run(Promises(forks=True, holds=True), ordered=True).send("a")
    run.handle("a", 1, 4, "retried").fault("connection-loss", 2, 3)

    assert run.handle("a", 5, 6).handle("a", 7, 8, attempt=2).broken() == ("accepted",)


@pytest.mark.parametrize(("due", "broken"), [(1.0, ()), (None, ("attempts",))])
def test_both_copies_of_what_was_doubled_while_it_waited_run_their_own_attempts(
    due: float | None, broken: tuple[str, ...]
) -> None:
    run = Run(Promises(forks=True, holds=True), ordered=True).send("a", due=due).fault("broker-stop", 0.5, 9)
    run.handle("a", 5, 5.1, "retried").handle("a", 5.2, 5.25)

    assert run.handle("a", 5.5, 5.6, attempt=2).broken() == broken


# -- dead letters


def test_a_dead_letter_may_be_there_twice_where_a_crash_forked_it() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "rejected").fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6, "rejected").dead("a", "a").broken() == ()


def test_a_dead_letter_whose_crash_brought_nothing_back_may_be_there_twice() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "rejected").fault("broker-kill", 2, 3)

    assert run.dead("a", "a").broken() == ()


def test_a_forked_message_may_be_accepted_and_dead() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "rejected").fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6).dead("a").broken() == ()


def test_a_fork_gives_no_third_dead_letter() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 4, "rejected").fault("broker-kill", 2, 3)

    assert run.handle("a", 5, 6, "rejected").dead("a", "a", "a").broken() == ("dead-letters",)


def test_what_was_rejected_long_before_a_fault_is_dead_once() -> None:
    run = Run(FORKS).send("a").handle("a", 1, 2, "rejected").fault("broker-kill", 5, 6)

    assert run.dead("a", "a").broken() == ("dead-letters",)


@pytest.mark.parametrize(("copies", "broken"), [(0, True), (1, False), (2, True)])
def test_where_nothing_forks_the_dead_letter_of_what_returned_is_there_once(copies: int, *, broken: bool) -> None:
    run = Run().send("a").handle("a", 1, 4, "rejected").fault("broker-kill", 2, 3)
    run.handle("a", 5, 6, "rejected").dead(*["a"] * copies)

    assert run.broken() == (("dead-letters",) if broken else ())


def test_what_kills_its_consumers_may_be_dead_without_being_rejected() -> None:
    run = Run().send("a")
    for at in (1, 3, 5):
        run.handle("a", at, None, by=f"c{at}").fault("consumer-kill", at + 1, at + 1, f"c{at}")

    assert run.dead("a").broken() == ()


def test_what_kills_its_consumers_is_dead_once() -> None:
    run = Run().send("a").handle("a", 1, None).fault("consumer-kill", 2, 2, "c1")

    assert run.dead("a", "a").broken() == ("dead-letters",)


def test_what_killed_its_consumer_may_be_dead_at_once() -> None:
    run = Run().send("a").handle("a", 1, None).fault("consumer-kill", 2, 2, "c1")

    assert run.dead("a").broken() == ()


def test_what_a_fault_brings_back_may_expire_before_it_is_dead() -> None:
    run = Run().send("a", expires=5.0).handle("a", 1, 4, "rejected").fault("broker-kill", 3, 6)

    assert run.broken() == ()


@pytest.mark.parametrize(("promises", "broken"), [(FORKS, False), (WINDOW, True)])
def test_the_dead_letter_of_what_is_unknown_forks_too(promises: Promises, *, broken: bool) -> None:
    run = Run(promises).attempt("a").handle("a", 1, 4, "rejected").fault("broker-kill", 2, 3)

    assert run.dead("a", "a").broken() == (("dead-letters",) if broken else ())


def test_what_killed_one_consumer_may_be_dead_and_accepted_where_the_crash_forks_it() -> None:
    run = Run(FORKS).send("a").handle("a", 1, None).fault("consumer-kill", 2, 2, "c1")

    assert run.handle("a", 3, 4, by="c2").dead("a").broken() == ()


def test_poison_may_be_dead_twice_where_a_fault_may_fork_it() -> None:
    assert Run(FORKS).send("a", poison=True).fault("pause", 1, 2).dead("a", "a").broken() == ()


# -- order


def ordered() -> Run:
    return Run(Promises(settle_window=1), ordered=True).send("a", "b")


HISTORIES: dict[str, tuple[tuple[str, ...], Callable[[], Run]]] = {
    "what was killed is handled before its successor": (
        (),
        lambda: (
            ordered()
            .handle("a", 1, None)
            .fault("consumer-kill", 2, 2, "c1")
            .handle("a", 3, 4, by="c2")
            .handle("b", 4, 5, by="c2")
        ),
    ),
    "what was killed is overtaken": (
        ("lanes",),
        lambda: (
            ordered()
            .handle("a", 1, None)
            .fault("consumer-kill", 2, 2, "c1")
            .handle("b", 3, 4, by="c2")
            .handle("a", 4, 5, by="c2")
        ),
    ),
    "what returns comes after its successors": (
        (),
        lambda: (
            ordered().handle("a", 1, 2).handle("b", 2, 3).fault("broker-kill", 3, 4).handle("a", 5, 6).handle("b", 6, 7)
        ),
    ),
    "what returns comes between its successor and that one's return": (
        (),
        lambda: (
            ordered()
            .handle("a", 1, 2.5)
            .handle("b", 2.6, None)
            .fault("consumer-kill", 3, 3, "c1")
            .handle("a", 5, 6, "retried", by="c2")
            .handle("a", 7, 8, attempt=2, by="c2")
            .handle("b", 8, 9, by="c2")
        ),
    ),
    "two that return run at once": (
        ("lanes",),
        lambda: (
            ordered()
            .handle("a", 1, 2.5)
            .handle("b", 2.6, 2.9)
            .fault("broker-kill", 3, 4)
            .handle("a", 5, 7, by="c2")
            .handle("b", 6, 8, by="c1")
        ),
    ),
    "a successor is first handled before its predecessor, after a fault": (
        ("order",),
        lambda: ordered().fault("broker-kill", 0.5, 0.6).handle("b", 1, 2).handle("a", 2, 3),
    ),
    "a handler that a fault cut off runs beside the new one": (
        (),
        lambda: (
            ordered()
            .handle("a", 1, 9, "lost")
            .fault("connection-loss", 2, 3, "c1")
            .handle("a", 4, 5, by="c2")
            .handle("b", 6, 7, by="c2")
        ),
    ),
    "a consumer that is cut off begins beside another": (
        (),
        lambda: (
            ordered()
            .fault("pause", 0, 3, "c1")
            .handle("a", 1, 5, by="c2")
            .handle("b", 2, 2.1, "lost")
            .handle("b", 5, 6, by="c2")
        ),
    ),
    "a consumer that is back begins beside another": (
        ("lanes",),
        lambda: ordered().fault("pause", 0, 1.5, "c1").handle("a", 1, 5, by="c2").handle("b", 2, 6),
    ),
    "a consumer that is cut off runs two at once, and neither is touched": (
        ("lanes",),
        lambda: ordered().handle("a", 1, 5).handle("b", 2, 6).fault("pause", 8, 9, "c1"),
    ),
    "a retry is overtaken at its own consumer during a fault": (
        ("lanes",),
        lambda: (
            ordered()
            .handle("a", 1, 1.5, "retried")
            .fault("broker-stop", 3, 6)
            .handle("b", 4, 5)
            .handle("a", 7, 8, attempt=2)
        ),
    ),
}


@pytest.mark.parametrize(("broken", "history"), HISTORIES.values(), ids=HISTORIES.keys())
def test_order_is_judged_up_to_what_a_fault_brings_back(broken: tuple[str, ...], history: Callable[[], Run]) -> None:
    report = history().judge()

    assert report.rules == broken, str(report)


def test_an_active_consumer_that_a_fault_cut_off_may_run_on_beside_the_next() -> None:
    run = Run(Promises(order="FAILOVER"), ordered=True).send("a").send("b", key="l")
    run.handle("a", 1, 9, "lost").fault("connection-loss", 2, 3, "c1")

    run.handle("b", 4, 5, by="c2", key="l").handle("a", 5, 6, by="c2")

    assert run.broken() == ()


def test_a_consumer_that_a_fault_cut_off_may_begin_beside_the_active_one() -> None:
    run = Run(Promises(order="FAILOVER"), ordered=True).send("a").send("b", key="l")
    run.fault("pause", 0, 3, "c1").handle("a", 1, 5, by="c2")

    assert run.handle("b", 2, 2.5, key="l").broken() == ()


def test_a_strict_lane_goes_on_after_a_dead_letter_that_a_fork_accepts() -> None:
    run = Run(FORKS, ordered="strict").send("a", "b").handle("a", 1, 4, "rejected").dead("a")
    run.fault("broker-kill", 2, 3).handle("a", 5, 6).handle("b", 7, 8)

    assert run.broken() == ()


# -- counting


def test_what_a_killed_consumer_counted_as_expired_is_not_asked_for() -> None:
    run = Run().send("a", expires=5.0).fault("consumer-kill", 9, 9, "c1")

    assert run.broken() == ()


@pytest.mark.parametrize("dead", [1, 2])
def test_what_comes_twice_may_have_been_brought_back_or_doubled_while_it_waited(dead: int) -> None:
    run = Run(FORKS).send("a", due=1.0).fault("broker-kill", 0.5, 9)
    run.handle("a", 5, 5.1, "rejected").handle("a", 6, 6.1, "rejected")

    assert run.dead(*"a" * dead).broken() == ()
