from random import Random

import pytest

from msgkit_rabbitmq.gathering import Gathering
from msgkit_rabbitmq.wire import Delivered, Properties, encode_properties


def message(tag: int, sent: float | None = None, *, redelivered: bool = True) -> Delivered:
    headers = None if sent is None else {"msgkit-sent": sent}
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


def test_messages_are_handed_on_as_they_were_sent() -> None:
    assert order([message(1, 30.0), message(2, 10.5), message(3, 20.0), message(4, 10.25, redelivered=False)]) == [
        4,
        2,
        3,
        1,
    ]


def test_what_was_sent_at_one_moment_stays_as_it_came() -> None:
    assert order([message(3, 5.0), message(2, 5.0), message(1, 4.0), message(4, 5.0)]) == [1, 3, 2, 4]


def test_all_stay_as_they_came_when_it_is_not_known_of_one_when_it_was_sent() -> None:
    assert order([message(1, 30.0), message(2), message(3, 10.0)]) == [1, 2, 3]


def test_nothing_is_lost_and_nothing_is_doubled() -> None:
    random = Random(5)  # noqa: S311 -- no secret
    for _ in range(50):
        tags = list(range(random.randrange(20)))
        times = {tag: random.choice([1.0, 2.0, 3.0, None if random.random() < 0.02 else 4.0]) for tag in tags}
        gathering = Gathering(1)
        for tag in tags:
            gathering.add(message(tag, times[tag]))
        assert sorted(each.tag for each in gathering.in_order()) == tags
        assert [each.tag for each in gathering.messages] == tags
