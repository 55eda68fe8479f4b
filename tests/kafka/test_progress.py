from collections.abc import Iterator
from random import Random
from zlib import crc32

import pytest

from msgkit_kafka.progress import MOST, Committed, Progress, decode

NOTHING = Committed()


def offsets(done: tuple[range, ...], base: int = 0) -> set[int]:
    return {base + distance for each in done for distance in each}


def handed(count: int) -> Progress:
    progress = Progress(0)
    for offset in range(count):
        progress.handed(offset)
    return progress


# -- the watermark


def test_the_watermark_is_the_lowest_that_is_not_done() -> None:
    progress = Progress(10)
    assert progress.watermark == 10
    for offset in (10, 11, 12):
        progress.handed(offset)
    progress.done(11)
    assert (progress.watermark, progress.outstanding) == (10, 2)
    progress.done(10)
    assert (progress.watermark, progress.outstanding) == (12, 1)
    progress.done(12)
    assert (progress.watermark, progress.outstanding) == (13, 0)


def test_offsets_that_hold_nothing_do_not_hold_the_watermark() -> None:
    progress = Progress(10)
    progress.handed(20)
    assert progress.watermark == 20
    progress.done(20)
    progress.passed(30)
    assert progress.watermark == 30


def test_what_is_passed_waits_for_what_is_not_done_below_it() -> None:
    progress = Progress(0)
    progress.handed(0)
    progress.passed(1_000)
    assert (progress.watermark, progress.span) == (0, 1_000)
    progress.done(0)
    assert (progress.watermark, progress.span) == (1_000, 0)


def test_what_was_passed_once_stays_passed() -> None:
    progress = Progress(0)
    progress.passed(9)
    progress.passed(4)
    assert progress.watermark == 9


def test_what_is_handed_out_once_more_changes_nothing() -> None:
    progress = handed(3)
    progress.done(1)
    for offset in range(3):
        progress.handed(offset)
    assert (progress.watermark, progress.outstanding) == (0, 2)
    assert progress.is_done(1)
    progress.done(0)
    progress.done(2)
    assert progress.watermark == 3


def test_what_was_never_handed_out_cannot_be_done() -> None:
    progress = Progress(0)
    progress.done(5)
    assert progress.watermark == 0
    assert not progress.is_done(5)


# -- from one to the next


def test_the_next_one_leaves_out_what_is_done_above_the_watermark() -> None:
    progress = handed(10)
    for offset in (1, 2, 5, 9):
        progress.done(offset)
    committed = decode(progress.metadata())
    assert offsets(committed.done) == {1, 2, 5, 9}
    following = Progress(progress.watermark, committed.done)
    assert [offset for offset in range(12) if following.is_done(offset)] == [1, 2, 5, 9]


def test_what_the_one_before_did_is_written_again_before_anything_is_handed_out() -> None:
    text = Progress(100, (range(3, 5), range(7, 20))).metadata()
    assert offsets(decode(text).done) == {3, 4, *range(7, 20)}


def test_the_watermark_goes_on_over_what_the_one_before_did() -> None:
    progress = Progress(100, (range(1, 5), range(6, 20)))
    progress.handed(100)
    progress.done(100)
    assert progress.watermark == 105
    progress.handed(105)
    assert (progress.watermark, progress.span) == (105, 15)
    progress.done(105)
    assert (progress.watermark, progress.span) == (120, 0)
    assert progress.is_done(119)
    assert not progress.is_done(120)


def test_all_that_is_marked_travels() -> None:
    text = Progress(7).metadata(dirty=3, suspect=2**63 - 1, suspect_count=2)
    assert decode(text) == Committed(is_ours=True, dirty=3, suspect=2**63 - 1, suspect_count=2)
    assert decode(Progress(7).metadata()) == Committed(is_ours=True)


# -- against a model that is plainly right


class Model:
    def __init__(self, offset: int, done: set[int]) -> None:
        self.low, self.end = offset, offset
        self.open: set[int] = set()
        self.before = done

    def is_done(self, offset: int) -> bool:
        return offset in self.before if offset >= self.end else offset not in self.open

    @property
    def watermark(self) -> int:
        offset = self.low
        while self.is_done(offset):
            offset += 1
        return offset

    def done_above(self) -> set[int]:
        top = max(self.end, max(self.before, default=0) + 1)
        return {offset for offset in range(self.watermark, top) if self.is_done(offset)}


def one_owner(random: Random, progress: Progress, model: Model, position: int) -> Iterator[int]:
    """Do at random what a consumer does; return the position after each step."""
    for _ in range(random.randrange(200)):
        match random.randrange(10):
            case 0 | 1 | 2 | 3:
                # Gaps: what was compacted, filtered, or no record.
                position += random.choice((0, 0, 0, 1, 3, 40))
                if not model.is_done(position):
                    progress.handed(position)
                    model.open.add(position)
                position += 1
                progress.passed(position)
                model.end = max(model.end, position)
            case 4:
                position += random.randrange(30)
                progress.passed(position)
                model.end = max(model.end, position)
            case _ if model.open:
                lowest = random.random() < 0.2
                offset = min(model.open) if lowest else random.choice(sorted(model.open))
                progress.done(offset)
                model.open.discard(offset)
            case _:
                pass
        yield position


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_in_whatever_order_the_same_is_done_as_in_a_plain_model(seed: int) -> None:
    random = Random(seed)  # noqa: S311 -- the same each time
    committed, metadata = random.randrange(10**9), ""
    for _ in range(6):
        known = decode(metadata)
        progress = Progress(committed, known.done)
        model = Model(committed, offsets(known.done, committed))
        for position in one_owner(random, progress, model, committed):
            assert progress.watermark == model.watermark
            assert progress.outstanding == len(model.open)
            for offset in range(position - 50, position + 50):
                assert progress.is_done(offset) == model.is_done(offset)
        committed, metadata = progress.watermark, progress.metadata()
        assert offsets(decode(metadata).done, committed) == model.done_above()
        assert progress.span >= max((offset + 1 - committed for offset in model.done_above()), default=0)


# -- what there is room for


def test_about_twenty_five_thousand_offsets_have_room() -> None:
    assert Progress(0).room >= 25_800


def test_room_is_taken_by_what_is_handed_out_and_given_back_by_what_is_done_in_front() -> None:
    progress = Progress(0)
    whole = progress.room
    for offset in range(whole):
        assert progress.room == whole - offset
        assert progress.admits(offset)
        progress.handed(offset)
    assert progress.room == 0
    assert not progress.admits(whole)
    progress.done(1)
    assert progress.room == 0
    progress.done(0)
    assert progress.room == 2
    assert progress.admits(whole + 1)
    assert not progress.admits(whole + 2)


def test_a_gap_that_is_longer_than_the_room_is_crossed_when_nothing_is_outstanding() -> None:
    progress = Progress(0)
    progress.handed(0)
    far = 10**12
    assert not progress.admits(far)
    progress.done(0)
    assert progress.admits(far)
    progress.handed(far)
    assert (progress.watermark, progress.outstanding) == (far, 1)


def patterns(size: int) -> Iterator[set[int]]:
    random = Random(3)  # noqa: S311 -- the same each time
    yield set(range(1, size))
    yield set(range(1, size, 2))
    yield set(range(2, size, 2))
    yield {size - 1}
    yield {*range(1, size, 3), *range(2, size, 3)}
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        yield {offset for offset in range(1, size) if random.random() < share}


@pytest.mark.parametrize("pattern", range(10))
def test_whatever_is_done_of_a_full_window_is_written_and_read(pattern: int) -> None:
    progress = handed(Progress(0).room)
    done = list(patterns(progress.span))[pattern]
    for offset in done:
        progress.done(offset)
    text = progress.metadata(dirty=9_999, suspect=2**63 - 1, suspect_count=9_999)
    assert len(text) <= MOST
    assert text.isascii()
    assert text.isprintable()
    assert offsets(decode(text).done) == done


def test_long_runs_take_few_characters() -> None:
    progress = handed(20_000)
    for offset in range(1, 20_000):
        if offset != 7_777:
            progress.done(offset)
    assert len(progress.metadata()) < 50


def test_short_runs_take_a_bit_for_each_offset() -> None:
    progress = handed(1_000)
    for offset in range(1, 1_000, 2):
        progress.done(offset)
    assert len(progress.metadata()) < 1_000 / 8 * 5 / 4 + 30


def test_what_is_passed_far_ahead_costs_none_of_what_was_done() -> None:
    progress = Progress(0)
    done = set(range(1, progress.room, 2))
    for offset in range(progress.room):
        progress.handed(offset)
    for offset in done:
        progress.done(offset)
    progress.passed(10**9)
    text = progress.metadata()
    assert len(text) <= MOST
    assert offsets(decode(text).done) >= done


@pytest.mark.parametrize("most", [0, 10, 50, 60, 61, 70, 100, 500])
def test_what_there_is_no_room_for_is_left_out_from_above(most: int) -> None:
    random = Random(most)  # noqa: S311 -- the same each time
    done = {offset for offset in range(1, 9_000) if random.random() < 0.5}
    progress = Progress(0, most=most)
    for offset in range(9_000):
        progress.handed(offset)
    for offset in done:
        progress.done(offset)
    text = progress.metadata(dirty=1, suspect=5, suspect_count=1)
    known = decode(text)
    assert len(text) <= most
    assert known.is_ours == bool(text)
    written = offsets(known.done)
    assert written == {offset for offset in done if offset <= max(written, default=0)}


@pytest.mark.parametrize("step", [2, 40, 300])
def test_no_more_is_written_than_there_is_room_for(step: int) -> None:
    lengths = set[int]()
    for most in range(200):
        progress = Progress(0, most=most)
        for offset in range(1_000):
            progress.handed(offset)
            if offset % step:
                progress.done(offset)
        text = progress.metadata(dirty=12)
        assert len(text) <= most
        lengths.add(len(text))
    assert len(lengths) > 5


def test_where_no_room_is_at_all_one_goes_after_the_other() -> None:
    progress = Progress(0, most=0)
    for offset in range(3):
        assert progress.admits(offset)
        progress.handed(offset)
        assert progress.room == 0
        assert not progress.admits(offset + 1)
        assert progress.metadata() == ""
        progress.done(offset)
        assert progress.room == 1


def test_more_than_the_room_that_came_from_before_is_written_as_far_as_it_goes() -> None:
    before = tuple(range(start, start + 1) for start in range(1, 60_000, 2))
    text = Progress(0, before).metadata()
    written = decode(text).done
    assert len(text) <= MOST
    assert written == before[: len(written)]
    assert len(written) > 12_000


# -- what others wrote


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "metadata",
        '{"host": "a"}',
        "msgkit1",
        "msgkit1 00000000 0 - b",
        "msgkit2 00000000 0 - b",
        "\x00\udcff",
        "ü" * 4_095,
        "~" * 100_000,
    ],
)
def test_what_others_wrote_says_nothing(text: str | None) -> None:
    assert decode(text) == NOTHING


def full() -> str:
    progress = handed(500)
    random = Random(4)  # noqa: S311 -- the same each time
    for offset in range(1, 500):
        if random.random() < 0.5:
            progress.done(offset)
    return progress.metadata(dirty=1, suspect=12, suspect_count=3)


def few() -> str:
    progress = handed(5_000)
    for offset in range(1, 5_000, 50):
        progress.done(offset)
    return progress.metadata()


@pytest.mark.parametrize("text", [full(), few()])
def test_what_was_cut_off_says_nothing(text: str) -> None:
    assert decode(text).done
    assert all(decode(text[:end]) == NOTHING for end in range(len(text)))
    assert all(decode(text[start:]) == NOTHING for start in range(1, len(text)))
    assert decode(text + " ") == NOTHING


@pytest.mark.parametrize("text", [full(), few()])
def test_what_was_changed_says_nothing(text: str) -> None:
    random = Random(5)  # noqa: S311 -- the same each time
    for _ in range(2_000):
        place = random.randrange(len(text))
        changed = (
            text[:place] + chr(random.choice((random.randrange(32, 127), random.randrange(0xD800)))) + text[place + 1 :]
        )
        assert changed == text or decode(changed) == NOTHING


def sealed(body: str) -> str:
    return f"msgkit1 {crc32(body.encode()):08x} {body}"


@pytest.mark.parametrize(
    "done",
    [
        # No number, one without its pair, one without an end, nothing that is done, one that is too long.
        "r~",
        "r1",
        "r1g",
        "r10",
        "r01",
        "r11}",
        "r" + "}" * 4_000 + "0",
        # One more than any offset can be.
        "r1" + "}" * 11 + "f",
        # Neither base 85 nor of its size.
        'b"',
        "b~~~~~",
    ],
)
def test_what_is_sealed_and_yet_wrong_says_nothing(done: str) -> None:
    assert decode(sealed("0 - " + done)) == NOTHING


def test_whatever_is_sealed_is_read_or_says_nothing() -> None:
    random = Random(6)  # noqa: S311 -- the same each time
    plain = "".join(map(chr, range(33, 127)))
    for _ in range(5_000):
        done = random.choice("rb") + "".join(random.choices(plain, k=random.randrange(40)))
        known = decode(sealed(f"1 - {done}"))
        assert known == NOTHING or known.dirty == 1
        ends = [0, *(place for each in known.done for place in (each.start, each.stop))]
        assert ends == sorted(ends)
        assert all(each.stop < 2**63 for each in known.done)
        progress = Progress(10, known.done)
        assert len(progress.metadata()) <= MOST
        assert progress.watermark >= 10
