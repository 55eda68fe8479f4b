import copy
import math
import pickle
from typing import Any, cast

import pytest

from msgkit import Accept, Reject, Retry
from msgkit.errors import InvalidMessage


def test_two_that_accept_are_equal() -> None:
    assert Accept() == Accept()
    assert len({Accept(), Accept()}) == 1
    assert Accept() != Retry()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (-1, "Retry(after=) must not be negative, but is -1 s"),
        (math.inf, "Retry(after=) must be finite, not inf"),
        ("5", "Retry(after=) must be seconds or a timedelta, not str"),
    ],
)
def test_a_retry_after_what_is_no_time_is_refused(after: Any, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Retry(after)
    assert str(caught.value) == said


@pytest.mark.parametrize("reason", [None, 7, ValueError("no")])
def test_a_rejection_without_a_text_is_refused(reason: object) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Reject(cast("str", reason))
    assert str(caught.value) == f"Reject(reason) must be a str, not {type(reason).__name__}"


@pytest.mark.parametrize("settlement", [Retry(5), Retry(), Reject("sold out")])
def test_settlements_can_be_copied_and_sent_between_processes_as_exceptions_can(settlement: Retry | Reject) -> None:
    there_and_back = pickle.loads(pickle.dumps(settlement))  # noqa: S301 -- it was written the moment before
    for other in (copy.copy(settlement), there_and_back):
        assert type(other) is type(settlement)
        assert (other.args, vars(other)) == (settlement.args, vars(settlement))
