"""What of a partition is done, and how that is written beside a committed offset.

Offsets are handed out in order and done in any order. The watermark is committed: the lowest that is not done. What
is done above it stands in the commit's metadata, so that whoever has the partition next leaves it out.
"""

import re
from base64 import b85decode, b85encode
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

__all__ = ["MOST", "Committed", "Progress", "decode"]

#: The most characters of a commit's metadata that a broker takes as it comes, less one.
MOST = 4_095


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What stood beside a committed offset."""

    #: Was it written here? Nothing is known otherwise.
    is_ours: bool = False
    #: How often the partition was taken over without having been given back.
    dirty: int = 0
    #: The offset of what may have killed its processes, and how many.
    suspect: int | None = None
    suspect_count: int = 0
    #: The last order to go on elsewhere that was followed.
    order: str = ""
    #: What is done, as distances from the committed offset: in order, and apart from each other.
    done: tuple[range, ...] = ()


class Progress:
    """One partition, from a committed offset on."""

    __slots__ = ("_end", "_inherited", "_most", "_open", "_order", "_starts", "_window")

    def __init__(self, offset: int, done: Sequence[range] = (), *, most: int = MOST) -> None:
        self._most = most
        # With at least one, which is the lowest and so never done above the watermark, all goes on in any case.
        longest = _head(_MOST_TIMES, _MOST_OFFSET, _MOST_TIMES, _AN_ORDER)
        self._window = max(1, _bits(most - _SEAL - len(longest)))
        # All below is done that is not open.
        self._end = offset
        self._open: set[int] = set()
        # What was handed out: in front, what is done is taken away when somebody asks.
        self._order: deque[int] = deque()
        # What the one before did, and nobody here has come to.
        self._inherited = [range(offset + each.start, offset + each.stop) for each in done]
        self._starts = [each.start for each in self._inherited]
        self._join()

    def clone(self) -> "Progress":
        """Return another that is as far, to see what it would be like to go on."""
        other = Progress(self._end, most=self._most)
        other._open, other._order = set(self._open), self._order.copy()
        other._inherited, other._starts = list(self._inherited), list(self._starts)
        return other

    def handed(self, offset: int) -> None:
        """Take it that an offset is handed out, and that all below it was, or never will be."""
        # What is handed out once more changes nothing.
        if offset >= self._end:
            self._order.append(offset)
            self._open.add(offset)
            self._end = offset + 1
            if self._inherited:
                self._join()

    def done(self, offset: int) -> None:
        self._open.discard(offset)

    def passed(self, upto: int) -> None:
        """Take it that of what is below an offset, all that will ever be handed out was."""
        if upto > self._end:
            self._end = upto
            if self._inherited:
                self._join()

    def is_done(self, offset: int) -> bool:
        """Is an offset done, here or by the one before?"""
        if offset < self._end:
            return offset not in self._open
        place = bisect_right(self._starts, offset) - 1
        return place >= 0 and offset in self._inherited[place]

    @property
    def watermark(self) -> int:
        """The lowest offset that is not done: what to commit."""
        order, still_open = self._order, self._open
        while order and order[0] not in still_open:
            order.popleft()
        return order[0] if order else self._end

    @property
    def end(self) -> int:
        """The lowest offset that was not handed out, or passed over, yet."""
        return self._end

    @property
    def done_above(self) -> int:
        """How many are done above the watermark."""
        return sum(len(each) for each in self._done_above())

    @property
    def outstanding(self) -> int:
        """How many are handed out and not done."""
        return len(self._open)

    @property
    def span(self) -> int:
        """How many offsets, from the watermark on, something is known of."""
        return max(self._end, self._inherited[-1].stop if self._inherited else 0) - self.watermark

    @property
    def room(self) -> int:
        """How many more offsets may be handed out, so that whatever will be done of them can be written."""
        return max(0, self.watermark + self._window - self._end)

    def admits(self, offset: int) -> bool:
        """May an offset be handed out, so that whatever will be done can be written?"""
        return not self._open or offset < self.watermark + self._window

    def metadata(self, *, dirty: int = 0, suspect: int | None = None, suspect_count: int = 0, order: str = "") -> str:
        """Return what to commit beside the watermark. What there is no room for is left out from above."""
        head = _head(dirty, suspect, suspect_count, order)
        left = self._most - _SEAL - len(head)
        return _sealed(head + _written(list(self._done_above()), left)) if left > 0 else ""

    def _done_above(self) -> Iterator[range]:
        """Return what is done above the watermark, as distances from it."""
        low = at = self.watermark
        for offset in sorted(self._open):
            if offset > at:
                yield range(at - low, offset - low)
            at = offset + 1
        if self._end > at:
            yield range(at - low, self._end - low)
        for each in self._inherited:
            if each.start > self._end:
                yield range(each.start - low, each.stop - low)

    def _join(self) -> None:
        """Go on over what the one before did, as far as it joins on."""
        place = bisect_right(self._starts, self._end) - 1
        if place >= 0:
            self._end = max(self._end, self._inherited[place].stop)
        if place == len(self._inherited) - 1:
            self._inherited, self._starts = [], []


# -- the metadata: a version and a checksum, then the marks of crashes, and what is done

_FORM = re.compile(
    r"msgkit1 (?P<sum>[0-9a-f]{8}) "
    r"(?P<body>(?P<dirty>\d{1,4}) (?:(?P<suspect>\d{1,19})x(?P<times>\d{1,4})|-)"
    r"(?:m(?P<order>[0-9a-f]{8}))? "
    r"(?P<kind>[rb])(?P<done>[!-~]*))",
    re.ASCII,
)
_MOST_TIMES, _MOST_OFFSET, _AN_ORDER = 9_999, 2**63 - 1, "01234567"
_SEAL = len("msgkit1 01234567 ")
_PLAIN, _RUNS = "b", "r"


def decode(text: str | None) -> Committed:
    """Return what a commit's metadata says: nothing, unless it was written here and is whole."""
    found = _FORM.fullmatch(text or "")
    if not found or int(found["sum"], 16) != crc32(found["body"].encode()):
        return Committed()
    try:
        done = tuple(_READERS[found["kind"]](found["done"]))
    except ValueError:
        return Committed()
    return Committed(
        is_ours=True,
        dirty=int(found["dirty"]),
        suspect=int(found["suspect"]) if found["suspect"] else None,
        suspect_count=int(found["times"] or 0),
        order=found["order"] or "",
        done=done,
    )


def _head(dirty: int, suspect: int | None, times: int, order: str) -> str:
    suspected = "-" if suspect is None else f"{suspect}x{min(times, _MOST_TIMES)}"
    followed = f"m{order}" if order else ""
    return f"{min(dirty, _MOST_TIMES)} {suspected}{followed} "


def _sealed(body: str) -> str:
    # What was cut off or mixed up must not pass for done: that would be lost.
    return f"msgkit1 {crc32(body.encode()):08x} {body}"


def _written(done: Sequence[range], room: int) -> str:
    """Return what is done in the shorter way, with the kind of it in front."""
    runs = "".join(_as_runs(done))
    bits = done[-1].stop if done else 0
    if len(runs) < room and len(runs) <= _characters(bits):
        return _RUNS + runs
    return _PLAIN + _as_bits(done, min(bits, _bits(room)))


# -- as runs: how many are not done, how many are, and so on; numbers in base 42, the last digit of each apart

_BASE = 42
_SYMBOLS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}"


def _as_runs(done: Iterable[range]) -> Iterator[str]:
    at = 0
    for each in done:
        yield from _digits(each.start - at)
        yield from _digits(each.stop - each.start)
        at = each.stop


def _digits(number: int) -> Iterator[str]:
    while number >= _BASE:
        number, digit = divmod(number, _BASE)
        yield _SYMBOLS[_BASE + digit]
    yield _SYMBOLS[number]


def _of_runs(text: str) -> Iterator[range]:
    at = 0
    numbers = _numbers(text)
    for missing in numbers:
        run = next(numbers, 0)
        start, at = at + missing, at + missing + run
        if not missing or not run or at > _MOST_OFFSET:
            raise ValueError("these are no runs")
        yield range(start, at)


def _numbers(text: str) -> Iterator[int]:
    number, factor = 0, 1
    for symbol in text:
        value = _SYMBOLS.index(symbol)
        number += value % _BASE * factor
        factor *= _BASE
        if value < _BASE:
            yield number
            number, factor = 0, 1
    if factor > 1:
        raise ValueError("a number has no end")


# -- as bits: one for each offset from the watermark on


def _bits(characters: int) -> int:
    """Return how many bits fit, behind the kind."""
    groups, rest = divmod(max(0, characters - 1), 5)
    return 8 * (4 * groups + max(0, rest - 1))


def _characters(bits: int) -> int:
    groups, rest = divmod((bits + 7) // 8, 4)
    return 5 * groups + (rest + 1 if rest else 0)


def _as_bits(done: Iterable[range], bits: int) -> str:
    text, at = [""], 0
    for each in done:
        if each.start >= bits:
            break
        stop = min(each.stop, bits)
        text += "0" * (each.start - at), "1" * (stop - each.start)
        at = stop
    written = "".join(text)
    return b85encode(int(written[::-1] or "0", 2).to_bytes((len(written) + 7) // 8, "little")).decode()


def _of_bits(text: str) -> Iterator[range]:
    bits = f"{int.from_bytes(b85decode(text), 'little'):b}"[::-1]
    return (range(*run.span()) for run in re.finditer("1+", bits))


_READERS = {_RUNS: _of_runs, _PLAIN: _of_bits}
