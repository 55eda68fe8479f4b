from collections.abc import Iterable

import pytest

from tools.features import PAGE, Feature, features, page, proof


def rows() -> Iterable[Feature]:
    return [row for _, group in features() for row in group]


def test_the_page_is_up_to_date_and_names_only_proofs_that_exist() -> None:
    assert PAGE.read_text() == page(), "run tools/features.py"


def test_no_feature_is_passed_over() -> None:
    assert [row.number for row in rows()] == list(range(1, 136))


def test_each_feature_is_proved_missing_or_left_out() -> None:
    assert {row.state for row in rows() if row.kind in "CKL"} <= {"proved", "missing"}
    assert all(row.here for row in rows() if row.state != "missing")


@pytest.mark.parametrize(
    "name", ["a_promise_that_nobody_checks", "tests/test_features.py::test_nothing", "tests/none.py"]
)
def test_a_proof_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(LookupError, match="no"):
        proof(name)
