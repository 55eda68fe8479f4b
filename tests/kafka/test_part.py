"""One partition in a consumer's hands: what is handed out, given back, and done."""

from collections.abc import Sequence

import pytest

from msgkit.envelope import Kind
from msgkit_kafka.mapping import Source
from msgkit_kafka.part import Part
from msgkit_kafka.progress import Progress, decode
from msgkit_kafka.wire import records
from msgkit_kafka.wire.records import Record
from msgkit_kafka.wire.subscriptions import Partition


def logged(count: int) -> Sequence[Record]:
    """Return records from offset 0 on."""
    new = [(None, b"%d" % number, (), 0) for number in range(count)]
    data = records.encode(new, producer=-1, epoch=-1, sequence=-1)
    return records.decode(data, position=0, committed_only=True).records


def begun(at: int = 0) -> Part:
    return Part(Partition("t", 0), Source(Kind.QUEUE, "q", "t", 0), None, Progress(at), position=at)


def taken(part: Part, count: int) -> list[Record]:
    found = [part.next() for _ in range(count)]
    return [record for record in found if record is not None]


def test_what_is_done_is_committed_up_to_the_first_that_is_not() -> None:
    part = begun()
    part.came(logged(4), 4)
    first, second, third, fourth = taken(part, 4)

    part.done(second)
    part.done(third)

    offset, metadata = part.point(clean=True)
    assert (offset, decode(metadata).done) == (0, (range(1, 3),))
    part.done(first)
    part.done(fourth)
    assert part.point(clean=True).offset == 4
    assert part.next() is None


def test_what_came_and_was_never_handed_out_does_not_pass_for_done_when_reading_ends() -> None:
    part = begun()
    part.came(logged(10), 10)
    first, second = taken(part, 2)

    waiting = part.buffered
    assert part.forget_waiting() == waiting > 8
    part.done(first)
    part.done(second)

    assert part.point(clean=True).offset == 2
    assert part.position == 2


def test_what_is_given_back_comes_again_before_what_is_behind_it() -> None:
    part = begun()
    part.came(logged(4), 4)
    first, second, _ = taken(part, 3)

    part.give_back(second)
    part.give_back(first)

    assert [record.offset for record in taken(part, 4)] == [0, 1, 3]


def test_what_is_given_back_and_ends_after_all_does_not_come_again() -> None:
    part = begun()
    part.came(logged(2), 2)
    first, _ = taken(part, 2)

    part.give_back(first)
    part.done(first)

    assert part.next() is None


def test_what_the_one_before_did_is_not_handed_out() -> None:
    part = Part(Partition("t", 0), Source(Kind.QUEUE, "q", "t", 0), None, Progress(0, (range(1, 3),)), position=0)
    part.came(logged(4), 4)

    assert [record.offset for record in taken(part, 4)] == [0, 3]


def test_offsets_that_hold_nothing_are_passed() -> None:
    part = begun()

    part.came([], 7)

    assert part.point(clean=True).offset == 7


@pytest.mark.parametrize(("crashes", "at_once"), [(0, 4), (2, 4), (3, 1), (9, 1)])
def test_after_several_crashes_one_message_is_handed_out_at_a_time(crashes: int, at_once: int) -> None:
    part = begun()
    part.inherit(crashes, None)
    part.came(logged(4), 4)

    assert len(taken(part, 4)) == at_once


def heir_of(part: Part) -> Part:
    """Return it in the hands of whoever comes next, when its process has died."""
    said = decode(part.point(clean=False).metadata)
    heir = begun()
    heir.inherit(said.dirty, None if said.suspect is None else (said.suspect, said.suspect_count))
    heir.came(logged(3), 3)
    return heir


def told_to_three(part: Part) -> list[int]:
    return [part.crashes_at(offset) for offset in range(3)]


def test_what_was_alone_when_a_process_died_is_told_only_the_deaths_that_it_was_alone_at() -> None:
    part = begun()
    part.inherit(40, None)
    part.came(logged(3), 3)
    told: list[list[int]] = []
    for _ in range(2):
        (first,) = taken(part, 1)
        part.suspect(first.offset)
        part = heir_of(part)
        told.append(told_to_three(part))

    assert told == [[1, 0, 0], [2, 0, 0]]


def test_what_was_alone_at_three_deaths_in_a_row_is_told_all_crashes_of_its_partition() -> None:
    part = begun()
    part.inherit(4, (0, 2))
    part.suspect(0)

    assert told_to_three(heir_of(part)) == [5, 0, 0]


def test_another_one_that_was_alone_at_the_last_death_clears_the_one_before() -> None:
    part = begun()
    part.inherit(20, (0, 2))
    part.suspect(0)
    part.suspect(1)

    assert told_to_three(heir_of(part)) == [0, 1, 0]


def test_what_is_handed_out_alone_again_in_one_process_dies_of_it_only_once() -> None:
    part = begun()
    part.inherit(20, None)
    for _ in range(5):
        part.suspect(0)

    assert told_to_three(heir_of(part)) == [1, 0, 0]


def test_a_process_that_dies_before_it_hands_out_anything_is_laid_on_nobody() -> None:
    part = begun()
    part.inherit(20, (0, 2))

    assert told_to_three(heir_of(part)) == [2, 0, 0]


def test_whoever_leaves_in_order_leaves_no_mark() -> None:
    part = begun()
    part.inherit(4, (0, 2))

    said = decode(part.point(clean=True).metadata)

    assert (said.dirty, said.suspect) == (0, None)
