"""What fuzzing begins with is read, and what is foreign to the client would be seen."""

import pytest

from tests.rocketmq import reading
from tests.rocketmq.reading import READERS, SEEDS, read_one


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_read_and_so_is_what_is_left_when_it_is_cut(seed: bytes) -> None:
    for end in range(len(seed) + 1):
        read_one(seed[:end])


def test_each_reader_has_a_seed() -> None:
    assert {seed[0] for seed in SEEDS} == set(range(len(READERS)))


def test_an_error_that_is_not_the_clients_own_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_data: bytes) -> None:
        raise IndexError

    monkeypatch.setattr(reading, "READERS", [wrong])
    with pytest.raises(IndexError):
        read_one(SEEDS[0])
