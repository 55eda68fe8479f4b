"""What the members of a group say of their filters, and what each makes of it."""

import pytest

from msgkit.spi import RouteSpec
from msgkit.spi.filtering import Filter
from msgkit_kafka.agreeing import disputed, encode
from msgkit_kafka.wire.subscriptions import NEVER, Subscription, decode_subscription, encode_subscription

EU, US = (Filter([RouteSpec(exchange="orders", subject=f"placed.{region}")]) for region in ("eu", "us"))


def saying(taken: Filter | None, *, generation: int = NEVER, topic: str = "orders") -> Subscription:
    """Return what others read of a member."""
    also = encode({} if taken is None else {topic: taken})
    return decode_subscription(encode_subscription(Subscription(topics=(topic,), generation=generation, also=also)))


def test_filters_are_told_apart_behind_what_java_reads() -> None:
    member = saying(EU, generation=9)
    assert member.generation == 9
    assert member.user_data is not None
    assert member.user_data[:4] == b"\0\0\0\x09"
    assert disputed({"orders": EU}, {"one": member}) is None
    assert disputed({"orders": US}, {"one": member}) == "orders"


def test_whoever_was_in_first_is_right() -> None:
    members = {"a": saying(US), "b": saying(EU, generation=7), "c": saying(EU)}
    assert disputed({"orders": EU}, members) is None
    assert disputed({"orders": US}, members) == "orders"


def test_of_those_who_come_together_the_least_is_right_for_all() -> None:
    members = {"c": saying(US), "b": saying(EU), "a": saying(US)}
    assert disputed({"orders": US}, members) is None
    assert disputed({"orders": EU}, members) == "orders"


@pytest.mark.parametrize(
    "other",
    [
        saying(None),
        saying(US, topic="bills"),
        Subscription(topics=("orders",)),
        Subscription(topics=("orders",), user_data=b"\0\0\0\1msgkit takes ["),
        Subscription(topics=("orders",), user_data=b"\0\0\0\1msgkit takes [1]"),
        Subscription(topics=("orders",), user_data=b"\xff" * 40),
    ],
)
def test_whoever_says_nothing_of_a_topic_is_no_hindrance(other: Subscription) -> None:
    assert disputed({"orders": EU}, {"a": other, "b": saying(EU)}) is None
