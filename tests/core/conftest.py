from collections.abc import Iterator

import pytest

from tests.core.workshop import Place


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.forget()
