import pytest

from msgkit_rocketmq.client.documents import number, objects, pairs, read, rows, texts
from msgkit_rocketmq.client.errors import Unreadable

TOLD = read(b'{"a":1,"b":{"c":{"d":2}},"e":[{"f":3}],"g":null,"h":{{"i":4}:{"j":5}}}')


def test_what_a_broker_tells_is_read_by_its_name() -> None:
    assert (number(TOLD, "a"), number(TOLD, "absent", 7)) == (1, 7)
    assert objects(TOLD, "b") == {"c": {"d": 2}}
    assert list(rows(TOLD, "e")) == [{"f": 3}]
    assert texts({"k": {"l": 6}}, "k") == {"l": "6"}
    assert list(pairs(TOLD, "h")) == [({"i": 4}, {"j": 5})]


@pytest.mark.parametrize("name", ["g", "absent"])
def test_what_a_broker_does_not_tell_is_nothing(name: str) -> None:
    assert not objects(TOLD, name)
    assert not rows(TOLD, name)
    assert not texts(TOLD, name)
    assert not list(pairs(TOLD, name))


@pytest.mark.parametrize(
    ("ask", "name"),
    [(number, "b"), (number, "g"), (objects, "a"), (objects, "e"), (rows, "b"), (rows, "a"), (texts, "e")],
)
def test_what_a_broker_tells_otherwise_is_told(ask: object, name: str) -> None:
    assert callable(ask)
    with pytest.raises(Unreadable):
        ask(TOLD, name)


def test_rows_and_pairs_are_of_objects() -> None:
    with pytest.raises(Unreadable):
        rows({"a": [1]}, "a")
    with pytest.raises(Unreadable):
        list(pairs({"a": {"b": {}}}, "a"))
    with pytest.raises(Unreadable):
        read(b"[]")
