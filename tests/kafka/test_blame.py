"""Whose fault it is that a record is not stored."""

from itertools import count, takewhile

import pytest

from msgkit.errors import MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit_kafka.blame import Blame, barred, blame, set_aside_for
from msgkit_kafka.delays import level_for, wait_of
from msgkit_kafka.wire.errors import BrokerError, Code, ConnectionLost, NotWritten, TopicError


def refused(cause: BaseException | None) -> MessagingError:
    error = SendRefused("it was taken back")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "code",
    [
        Code.MESSAGE_TOO_LARGE,
        Code.RECORD_LIST_TOO_LARGE,
        Code.INVALID_RECORD,
        Code.INVALID_TIMESTAMP,
        Code.INVALID_TOPIC,
        Code.POLICY_VIOLATION,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
    ],
)
def test_what_would_be_refused_at_any_time_is_the_fault_of_the_record(code: Code) -> None:
    assert blame(refused(TopicError(code, "orders"))) is Blame.RECORD


def test_who_has_nowhere_to_go_is_at_fault_himself() -> None:
    assert blame(Unroutable("no such topic")) is Blame.RECORD


@pytest.mark.parametrize("code", [code for code in Code if BrokerError(code).passes])
def test_what_passes_is_nobody_s_fault(code: Code) -> None:
    assert blame(refused(TopicError(code, "orders"))) is Blame.TIME


@pytest.mark.parametrize(
    "code",
    [
        Code.PRODUCER_FENCED,
        Code.INVALID_PRODUCER_EPOCH,
        Code.UNKNOWN_PRODUCER_ID,
        Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
        Code.INVALID_TXN_STATE,
        Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        Code.GROUP_AUTHORIZATION_FAILED,
        Code.UNKNOWN,
        Code(12_345),
    ],
)
def test_what_is_wrong_with_the_writer_is_not_laid_on_what_it_writes(code: Code) -> None:
    assert blame(refused(BrokerError(code))) is Blame.TIME


@pytest.mark.parametrize("cause", [TimeoutError(), ConnectionLost("gone"), NotWritten("nobody leads it"), None])
def test_a_slow_or_a_lost_broker_is_not_laid_on_what_is_written(cause: BaseException | None) -> None:
    assert blame(refused(cause)) is Blame.TIME
    assert blame(SendUnknown("it may be committed")) is Blame.TIME


def test_what_nobody_foresaw_is_told_apart() -> None:
    assert blame(refused(ZeroDivisionError())) is Blame.UNFORESEEN


def test_a_topic_that_we_may_not_write_to_is_named() -> None:
    forbidden = refused(TopicError(Code.TOPIC_AUTHORIZATION_FAILED, "orders"))

    assert (blame(forbidden), barred(forbidden)) == (Blame.PERMISSION, "orders")
    assert barred(refused(TopicError(Code.MESSAGE_TOO_LARGE, "orders"))) is None


@pytest.mark.parametrize(("why", "seconds"), [(Blame.RECORD, 11), (Blame.PERMISSION, 306)])
def test_a_record_is_set_aside_for_so_long_in_all_and_each_time_in_one_level(why: Blame, seconds: float) -> None:
    waits = list(takewhile(lambda wait: wait is not None, (set_aside_for(why, refusals) for refusals in count())))

    assert sum(wait for wait in waits if wait is not None) == pytest.approx(seconds, abs=0.5)
    assert all(wait_of(level_for(wait)) == wait for wait in waits if wait is not None)
