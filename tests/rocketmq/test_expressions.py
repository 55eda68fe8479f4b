"""What the broker is asked to leave out."""

from itertools import product
from random import Random
from re import findall

import pytest

from msgkit.patterns import compile_pattern
from msgkit.spi import RouteSpec
from msgkit.topology import ExchangeKind
from msgkit_rocketmq.client.popping import EVERYTHING, Filter
from msgkit_rocketmq.expressions import expression_of


def route(subject: str, kind: ExchangeKind = "topic") -> RouteSpec:
    return RouteSpec(exchange="orders", kind=kind, subject=subject)


@pytest.mark.parametrize(
    ("subjects", "expression"),
    [
        (["placed"], Filter("TAG", "placed")),
        (["b", "a", "b"], Filter("TAG", "a || b")),
        (["placed.*"], Filter("SQL92", "(TAGS STARTSWITH 'placed.')")),
        (["placed.#"], Filter("SQL92", "(TAGS STARTSWITH 'placed')")),
        (["*.eu"], Filter("SQL92", "(TAGS ENDSWITH '.eu')")),
        (["#.eu"], Filter("SQL92", "(TAGS ENDSWITH 'eu')")),
        (["a.*.b.#.c"], Filter("SQL92", "(TAGS STARTSWITH 'a.' AND TAGS ENDSWITH 'c')")),
        (["a.*", "b"], Filter("SQL92", "(TAGS = 'b') OR (TAGS STARTSWITH 'a.')")),
        (["#"], EVERYTHING),
        (["*"], EVERYTHING),
        (["placed.*", "#"], EVERYTHING),
        (["it's.*"], EVERYTHING),
        (["a || b"], EVERYTHING),
        (["größe", "a"], EVERYTHING),
        ([""], EVERYTHING),
        ([], EVERYTHING),
    ],
)
def test_a_pattern_becomes_a_tag_or_what_begins_and_ends_tags(subjects: list[str], expression: Filter) -> None:
    assert expression_of([route(subject) for subject in subjects]) == expression


def test_other_kinds_of_exchanges_filter_by_a_subject_or_in_the_consumer() -> None:
    assert expression_of([route("a.*", "direct")]) == EVERYTHING
    assert expression_of([route("a.b", "direct")]) == Filter("TAG", "a.b")
    assert expression_of([route("#", "fanout")]) == EVERYTHING
    assert expression_of([route("#", "headers"), route("a")]) == EVERYTHING


def test_no_expression_leaves_out_what_a_pattern_matches() -> None:
    random = Random(7)  # noqa: S311 -- the same each time
    words = ["a", "b", "ab"]
    subjects = [".".join(each) for size in (1, 2, 3, 4) for each in product(words, repeat=size)]
    for _ in range(300):
        pattern = ".".join(random.choice([*words, "*", "#"]) for _ in range(random.randint(1, 4)))
        expression = expression_of([route(pattern)])
        fits = compile_pattern(pattern)
        missed = [subject for subject in subjects if fits(subject) and not lets_through(expression, subject)]
        assert not missed, (pattern, expression)


def lets_through(expression: Filter, tag: str) -> bool:
    if expression == EVERYTHING:
        return True
    if expression.kind == "TAG":
        return tag in expression.expression.split(" || ")
    tests = {"STARTSWITH": tag.startswith, "ENDSWITH": tag.endswith}
    return all(tests[how](part) for how, part in findall(r"TAGS (\w+) '([^']*)'", expression.expression))
