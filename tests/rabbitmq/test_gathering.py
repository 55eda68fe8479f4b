from random import Random

import pytest

from msgkit_rabbitmq.gathering import Gathering
from msgkit_rabbitmq.wire import Delivered, Properties, encode_properties


def message(tag: int, times: int = 0, *, redelivered: bool = True) -> Delivered:
    headers = {"x-delivery-count": times} if times else None
    return Delivered(tag, redelivered, "", "jobs", encode_properties(Properties(headers=headers)))


def order(messages: list[Delivered], most: int = 100) -> list[int]:
    gathering = Gathering(most)
    for each in messages:
        gathering.add(each)
    return [each.tag for each in gathering.in_order()]


def test_the_line_of_what_was_given_back_ends_with_the_first_that_never_was() -> None:
    gathering = Gathering(100)
    assert [gathering.add(message(tag)) for tag in range(3)] == [False] * 3
    assert gathering.add(message(3, redelivered=False))


def test_the_line_has_ended_when_the_first_message_was_never_given_back() -> None:
    assert Gathering(100).add(message(1, redelivered=False))


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_line_has_ended_when_no_more_can_come(most: int) -> None:
    gathering = Gathering(most)
    ended = [gathering.add(message(tag)) for tag in range(most)]
    assert ended == [False] * (most - 1) + [True]


def test_what_was_moved_to_the_end_of_the_line_comes_first_again() -> None:
    assert order([message(3, 1), message(4, 1), message(1, 2), message(2, 2), message(5, redelivered=False)]) == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_what_a_classic_queue_gives_back_stays_as_it_came() -> None:
    assert order([message(tag) for tag in (2, 1, 3)]) == [2, 1, 3]


class Line:
    """What a quorum queue has waiting, as it serves it: what was given back stands at the end of its own line."""

    def __init__(self, number: int) -> None:
        self._back: list[tuple[int, int]] = []
        self._fresh = list(range(number))

    def serve(self, most: int) -> list[Delivered]:
        """Serve a consumer that goes away with all of it in hand."""
        back = self._back[:most]
        fresh = self._fresh[: most - len(back)]
        del self._back[: len(back)], self._fresh[: len(fresh)]
        self._back += [(tag, times + 1) for tag, times in back] + [(tag, 1) for tag in fresh]
        return [message(tag, times) for tag, times in back] + [message(tag, redelivered=False) for tag in fresh]


@pytest.mark.parametrize("seed", range(20))
def test_whoever_takes_the_whole_line_has_it_as_it_stood_in_the_queue(seed: int) -> None:
    random = Random(seed)  # noqa: S311 -- no secret
    held = random.randrange(1, 20)
    line = Line(30)
    for _ in range(50):
        line.serve(random.randrange(1, held + 1))
    served = line.serve(held)
    assert order(served) == sorted(each.tag for each in served) == list(range(held))
