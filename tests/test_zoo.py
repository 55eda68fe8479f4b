import pytest

from msgkit.testing.conformance.registry import CHECKS
from tests.zoo import ZOO
from tests.zoo.animal import Animal
from tests.zoo.keeper import Visit, look_at


def test_there_are_many_animals_and_each_has_something_wrong_that_a_check_must_find() -> None:
    assert len(ZOO) > 100
    for animal in ZOO.values():
        assert animal.__doc__, f"{animal.name} does not say what is wrong with it"
        assert "\n" not in animal.__doc__, f"{animal.name} has more wrong with it than one thing"
        assert animal.checks, f"nothing is said to catch {animal.name}"


def test_no_two_animals_are_the_same() -> None:
    names = [animal.name for animal in ZOO.values()]
    wrongs = [animal.__doc__ for animal in ZOO.values()]
    assert sorted(set(names)) == sorted(names)
    assert len(set(wrongs)) == len(wrongs)


def test_every_check_that_is_to_catch_an_animal_exists() -> None:
    for animal in ZOO.values():
        assert len(set(animal.checks)) == len(animal.checks)
        assert set(animal.checks) <= CHECKS.keys(), f"{animal.name} waits for a check that is gone"


@pytest.mark.slow
async def test_each_animal_is_caught_by_each_check_that_is_to_catch_it() -> None:
    visits = [Visit(animal.name, check) for animal in ZOO.values() for check in animal.checks]
    verdicts = await look_at(visits)
    escaped = [
        f"{verdict.animal}: {verdict.check} {verdict.outcome} it {verdict.said:.100}"
        for verdict in verdicts.values()
        if verdict.outcome != "caught"
    ]
    assert not escaped, "\n".join(escaped)


@pytest.mark.slow
async def test_a_healthy_animal_is_caught_by_none() -> None:
    checks = {check for animal in ZOO.values() for check in animal.checks}
    verdicts = await look_at(Visit(Animal.name, check) for check in sorted(checks))
    wronged = [
        f"{verdict.check} {verdict.outcome} it: {verdict.said:.300}"
        for verdict in verdicts.values()
        if verdict.outcome not in {"missed", "skipped"}
    ]
    assert not wronged, "\n".join(wronged)
