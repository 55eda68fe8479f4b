"""Where a delayed record waits, and for how long."""

import random

import pytest

from msgkit_kafka.delays import SHORTEST, Clocks, level_for, level_forms, wait_of


@pytest.mark.parametrize(
    ("seconds", "level"), [(0.001, 0), (0.1, 0), (0.19, 0), (0.2, 1), (0.39, 1), (0.4, 2), (3600, 15), (1e9, 21)]
)
def test_a_record_waits_in_the_longest_level_that_is_not_longer_than_its_delay(seconds: float, level: int) -> None:
    assert level_for(seconds) == f"msgkit.delay.{level}"


def test_every_delay_is_over_after_few_moves_and_never_before() -> None:
    luck = random.Random(3)  # noqa: S311 -- it keeps no secret
    for _ in range(2000):
        delay = left = luck.uniform(0.001, 10 ** luck.uniform(0, 6))
        moves, waited = 0, 0.0
        while left > 0.001:
            wait = wait_of(level_for(left))
            waited += wait if wait > SHORTEST else min(wait, left)
            left, moves = delay - waited, moves + 1
        assert delay <= waited + 0.001
        assert waited <= delay + 0.001
        assert moves <= 30


def test_all_levels_are_kept_for_ever_and_tell_the_time_of_the_broker() -> None:
    levels = {form.name: form.configs for form in level_forms()}

    assert len(levels) == 23
    for name, configs in levels.items():
        assert configs["retention.ms"] == "-1"
        assert ("message.timestamp.type" in configs) == name.startswith("msgkit.delay.")


def test_a_clock_that_is_behind_ours_makes_nothing_early() -> None:
    clocks = Clocks()
    # The broker's clock is three seconds behind; what it appended takes up to a second to be here.
    clocks.seen("t", 96.0, 100.0)
    clocks.seen("t", 97.9, 101.0)
    clocks.seen("t", 97.0, 101.0)

    assert clocks.ours("t", 110.0) == pytest.approx(113.1)
    assert not clocks.knows("other")
