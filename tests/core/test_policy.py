import math
from datetime import timedelta
from typing import Any

import pytest

from msgkit import Accept, Backoff, Reject, Retry
from msgkit.errors import ConfigurationError, MessagingError, Poison
from msgkit.policy import Again, GiveUp, decide


class CardDeclinedError(Exception):
    pass


class StolenCardError(CardDeclinedError):
    pass


POLICY = Backoff(4, first=1, factor=3, limit=5, jitter=0.5, give_up_on=(CardDeclinedError,))
ERROR = ValueError("no")
DECLINED = StolenCardError("no")


def caused(outcome: Retry | Reject, cause: Exception) -> Retry | Reject:
    outcome.__cause__ = cause
    return outcome


# -- what follows an outcome


@pytest.mark.parametrize("attempt", [1, 4, 10_000])
def test_what_is_accepted_is_done_at_any_attempt(attempt: int) -> None:
    assert decide(POLICY, attempt, Accept(), 0.5) == Accept()


@pytest.mark.parametrize(
    ("attempt", "draw", "pause"),
    [
        (1, 0.0, 0.5),
        (1, 0.5, 1.0),
        (1, 1.0, 1.5),
        (2, 0.0, 1.5),
        (2, 0.5, 3.0),
        (2, 1.0, 4.5),
        (3, 0.0, 2.5),
        (3, 0.5, 5.0),
        (3, 1.0, 7.5),
    ],
)
def test_pauses_grow_up_to_the_limit_and_are_spread_about_it(attempt: int, draw: float, pause: float) -> None:
    assert decide(POLICY, attempt, ERROR, draw) == Again(pause, ERROR)
    assert decide(POLICY, attempt, Retry(), draw) == Again(pause)


@pytest.mark.parametrize("attempt", [4, 5, 10_000])
def test_after_the_last_attempt_a_message_is_given_up(attempt: int) -> None:
    assert decide(POLICY, attempt, ERROR, 0.5) == GiveUp("attempts exhausted", ERROR)
    assert decide(POLICY, attempt, Retry(), 0.5) == GiveUp("attempts exhausted")
    assert decide(POLICY, attempt, Retry(after=7), 0.5) == GiveUp("attempts exhausted")


@pytest.mark.parametrize(("after", "pause"), [(0, 0.0), (0.25, 0.25), (3600, 3600.0), (timedelta(days=1), 86400.0)])
@pytest.mark.parametrize("draw", [0.0, 1.0])
def test_a_pause_that_the_handler_names_is_taken_as_it_is(after: float | timedelta, pause: float, draw: float) -> None:
    assert decide(POLICY, 1, Retry(after), draw) == Again(pause)


def test_what_is_rejected_is_given_up_at_once_with_its_reason() -> None:
    assert decide(POLICY, 1, Reject("sold out"), 0.5) == GiveUp("sold out")


def test_the_cause_of_a_settlement_that_is_raised_is_kept() -> None:
    assert decide(POLICY, 1, caused(Reject("sold out"), ERROR), 0.5) == GiveUp("sold out", ERROR)
    assert decide(POLICY, 1, caused(Retry(2), ERROR), 0.5) == Again(2.0, ERROR)


@pytest.mark.parametrize("error", [CardDeclinedError(), DECLINED])
def test_an_error_that_is_to_be_given_up_on_is_not_tried_again(error: Exception) -> None:
    assert decide(POLICY, 1, error, 0.5) == GiveUp("gave up", error)


def test_a_retry_that_is_asked_for_is_made_whatever_its_cause() -> None:
    assert decide(POLICY, 1, caused(Retry(2), DECLINED), 0.5) == Again(2.0, DECLINED)


def test_what_cannot_be_read_is_poison_at_the_first_attempt() -> None:
    error = Poison("no JSON")
    assert decide(POLICY, 1, error, 0.5) == GiveUp("poison", error)


@pytest.mark.parametrize("error", [TimeoutError(), MessagingError(), ExceptionGroup("both", [ERROR])])
def test_any_other_error_is_tried_again(error: Exception) -> None:
    assert decide(POLICY, 1, error, 0.5) == Again(1.0, error)


# -- how long is waited


@pytest.mark.parametrize("factor", [1, 1.5, 2, 10, 1e5, 1e300])
def test_no_number_of_attempts_makes_a_pause_overflow(factor: float) -> None:
    policy = Backoff(20_000, first=0.5, factor=factor, limit=60, jitter=0.25)
    (longest,) = {policy.pause(attempt, 1.0) for attempt in (10_000, 19_999)}
    assert longest == policy.longest == (0.5 if factor == 1 else 60) * 1.25
    assert policy.pause(1, 0.5) == 0.5


def test_pauses_that_grow_slowly_grow_all_the_way_to_the_limit() -> None:
    policy = Backoff(10_000, first=1, factor=1.01, limit=60, jitter=0)
    assert policy.pause(201, 0.5) == pytest.approx(1.01**200)
    assert policy.pause(1000, 0.5) == policy.longest == 60


def test_no_pause_at_all_can_be_asked_for() -> None:
    policy = Backoff(10_000, first=0, factor=1e300)
    assert {policy.pause(attempt, 1.0) for attempt in (1, 2, 9_999)} == {0.0} == {policy.longest}


@pytest.mark.parametrize(
    ("policy", "longest"),
    [
        (Backoff(1, first=7), 0.0),
        (Backoff(2, first=7, jitter=0), 7.0),
        (Backoff(3, first=7, jitter=0.5), 21.0),
        (Backoff(5, first=7, limit=20, jitter=0), 20.0),
    ],
)
def test_the_longest_pause_is_the_one_before_the_last_attempt(policy: Backoff, longest: float) -> None:
    assert policy.longest == longest


def test_the_same_policy_with_another_number_of_attempts_differs_in_that_alone() -> None:
    assert POLICY.with_attempts(9) == Backoff(
        9, first=1, factor=3, limit=5, jitter=0.5, give_up_on=(CardDeclinedError,)
    )
    assert POLICY.with_attempts(4) == POLICY
    assert len({POLICY, POLICY.with_attempts(4), POLICY.with_attempts(9)}) == 2


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"attempts": 0}, ConfigurationError, "Backoff(attempts=) must be a whole number of at least 1, not 0"),
        ({"attempts": 2.5}, ConfigurationError, "Backoff(attempts=) must be a whole number of at least 1, not 2.5"),
        ({"first": -1}, ConfigurationError, "Backoff(first=) must not be negative, but is -1 s"),
        ({"limit": math.nan}, ConfigurationError, "Backoff(limit=) must be finite, not nan"),
        ({"factor": 0.5}, ConfigurationError, "Backoff(factor=) must be at least 1 and finite, not 0.5"),
        ({"factor": math.inf}, ConfigurationError, "Backoff(factor=) must be at least 1 and finite, not inf"),
        ({"jitter": 1.5}, ConfigurationError, "Backoff(jitter=) must be between 0 and 1, not 1.5"),
        ({"jitter": -0.1}, ConfigurationError, "Backoff(jitter=) must be between 0 and 1, not -0.1"),
        (
            {"give_up_on": OSError},
            ConfigurationError,
            "Backoff(give_up_on=) takes a tuple of exception types, such as (ValueError,), not <class 'OSError'>",
        ),
        (
            {"give_up_on": ("OSError",)},
            ConfigurationError,
            "Backoff(give_up_on=) takes a tuple of exception types, such as (ValueError,), not ('OSError',)",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused(said: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        Backoff(**said)
    assert str(caught.value) == message
