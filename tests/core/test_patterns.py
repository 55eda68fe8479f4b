import re
import time
from itertools import product

import pytest

from msgkit.errors import ConfigurationError
from msgkit.patterns import compile_pattern


def reference(pattern: str, subject: str) -> bool:
    """AMQP's meaning, word by word, as slow and as plain as it can be said."""

    def match(patterns: list[str], words: list[str]) -> bool:
        if not patterns:
            return not words
        first, *rest = patterns
        if first == "#":
            return any(match(rest, words[taken:]) for taken in range(len(words) + 1))
        return bool(words) and first in ("*", words[0]) and match(rest, words[1:])

    return match(pattern.split("."), subject.split(".") if subject else [])


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("placed", ["placed"], ["", "placed.eu", "Placed", "place", "placed."]),
        ("placed.*", ["placed.eu", "placed."], ["placed", "placed.eu.de", "x.placed.eu"]),
        ("*.eu", ["placed.eu", ".eu"], ["eu", "a.b.eu"]),
        ("a.*.c", ["a.b.c", "a..c"], ["a.c", "a.b.b.c"]),
        ("#", ["", "a", "a.b", "..", "a\nb"], []),
        ("#.#", ["", "a", "a.b.c"], []),
        ("placed.#", ["placed", "placed.eu", "placed.eu.de", "placed."], ["", "placedeu", "x.placed"]),
        ("#.eu", ["eu", "placed.eu", "a.b.eu", ".eu"], ["", "xeu", "eu.x"]),
        ("a.#.z", ["a.z", "a.b.z", "a.b.c.z", "a..z"], ["a", "z", "az", "a.b", "b.z"]),
        ("#.b.#", ["b", "a.b", "b.c", "a.b.c", "b.b"], ["", "a", "a.c", "abc"]),
        ("*", ["a", "a-b"], ["", "a.b"]),
        ("*.#", ["a", "a.b", "a.b.c"], [""]),
        ("#.*", ["a", "a.b", "a.b.c"], [""]),
        ("*.*", ["a.b", "."], ["a", "", "a.b.c"]),
        ("a+b.(c)", ["a+b.(c)"], ["aab.c", "a+b.c"]),
        ("[ab].*", ["[ab].x"], ["a.x"]),
        ("größe.*", ["größe.öl"], ["grosse.öl"]),
        ("a.*", ["a.b\n"], ["a.b\n.c"]),
    ],
)
def test_a_pattern_takes_what_amqp_says(pattern: str, matching: list[str], other: list[str]) -> None:
    matches = compile_pattern(pattern)
    assert [subject for subject in matching if not matches(subject)] == []
    assert [subject for subject in other if matches(subject)] == []


def test_all_short_patterns_mean_what_the_plainest_matcher_says() -> None:
    words = ("a", "b", "*", "#")
    patterns = [".".join(each) for length in (1, 2, 3, 4) for each in product(words, repeat=length)]
    subjects = [""] + [".".join(each) for length in (1, 2, 3, 4) for each in product(("a", "b", "c"), repeat=length)]
    different = [
        (pattern, subject)
        for pattern in patterns
        for matches in [compile_pattern(pattern)]
        for subject in subjects
        if matches(subject) is not reference(pattern, subject)
    ]
    assert different == []


@pytest.mark.parametrize("pattern", ["or*", "*s", "a.b#", "**", "##", "a.#b.c", "*#"])
def test_a_wildcard_that_is_part_of_a_word_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="a wildcard is a whole word") as caught:
        compile_pattern(pattern)
    (word,) = [word for word in pattern.split(".") if len(word) > 1]
    assert re.fullmatch(
        rf"the pattern {re.escape(repr(pattern))} mixes a wildcard with letters in {re.escape(repr(word))}; .*",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        (".".join(["#"] * 200), "a." * 500),
        (".".join(["#", "a"] * 8), "a." * 60 + "b"),
        (".".join(["#", "*"] * 8), "a." * 60),
        ("#.a.#.b.#.c.#.d", "a.b.c." * 60),
    ],
)
def test_no_pattern_makes_matching_explode(pattern: str, subject: str) -> None:
    matches = compile_pattern(pattern)
    start = time.process_time()
    matches(subject)
    assert time.process_time() - start < 0.5
