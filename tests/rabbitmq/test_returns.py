import pytest

from msgkit.spi import returns
from msgkit.spi.returns import Returns


def test_what_never_went_back_has_no_count() -> None:
    assert Returns().count("jobs", "m") == 0


def test_a_message_is_counted_as_often_as_it_went_back_to_its_queue() -> None:
    counts = Returns()
    for queue, message in (("jobs", "a"), ("jobs", "a"), ("jobs", "b"), ("other", "a"), ("jobs", "a")):
        counts.note(queue, message)
    assert [counts.count("jobs", "a"), counts.count("jobs", "b"), counts.count("other", "a")] == [3, 1, 1]
    assert counts.count("other", "b") == 0


def test_what_ended_is_forgotten_and_nothing_else_is() -> None:
    counts = Returns()
    counts.forget("jobs", "a")
    for message in "aab":
        counts.note("jobs", message)
    counts.forget("jobs", "a")
    counts.forget("jobs", "a")
    counts.forget("other", "b")
    assert [counts.count("jobs", "a"), counts.count("jobs", "b")] == [0, 1]
    counts.note("jobs", "a")
    assert counts.count("jobs", "a") == 1


def test_of_many_the_one_is_forgotten_that_went_back_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "_MOST", 3)
    counts = Returns()
    for message in "abcad":
        counts.note("jobs", message)
    assert {message: counts.count("jobs", message) for message in "abcd"} == {"a": 2, "b": 0, "c": 1, "d": 1}


def test_as_many_are_remembered_as_a_busy_process_gives_back() -> None:
    counts = Returns()
    for number in range(20_001):
        counts.note("jobs", str(number))
    assert [counts.count("jobs", str(number)) for number in (0, 1, 20_000)] == [0, 1, 1]
