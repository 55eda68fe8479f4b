"""What the members of a living group are told, and what each makes of it."""

import pytest

from msgkit_kafka.orders import Order, decode, encode, first_of
from msgkit_kafka.part import Part
from msgkit_kafka.progress import Committed, Progress
from msgkit_kafka.progress import decode as decode_metadata
from msgkit_kafka.wire.subscriptions import Partition, Subscription, decode_subscription, encode_subscription
from tests.kafka.test_part import begun, logged, taken

POINTS = {Partition("orders", 0): 7, Partition("orders", 11): 0, Partition("größe", 3): 2**62}
ORDER = Order("0123abcd", POINTS)


def told(order: Order | None, *, generation: int = 3) -> Subscription:
    """Return what a leader reads of a member."""
    also = b"" if order is None else encode(order)
    return decode_subscription(encode_subscription(Subscription(topics=(), generation=generation, also=also)))


def test_an_order_comes_back_as_it_was_given() -> None:
    assert decode(encode(ORDER)) == ORDER
    assert decode(encode(ORDER._replace(forward=True))) == ORDER._replace(forward=True)


def test_an_order_stands_behind_what_java_reads() -> None:
    member = told(ORDER, generation=9)
    assert member.generation == 9
    assert member.user_data is not None
    assert member.user_data[:4] == b"\0\0\0\x09"


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\0\0\0\1",
        b"msgkit goes on ",
        b"msgkit goes on {}",
        b'msgkit goes on ["0123abcd"]',
        b'msgkit goes on ["0123abcd",{"t":{"0":7}}]',
        b'msgkit goes on ["0123abcd",{"t":7},false]',
        b'msgkit goes on ["0123abcd",{"t":{"x":7}},false]',
        b'msgkit goes on ["short",{},false]',
        b'msgkit goes on ["no digit",{},false]',
        b"msgkit goes on " + b"[" * 5000,
        b"msgkit goes on \xff",
    ],
)
def test_what_is_no_order_is_none(data: bytes | None) -> None:
    assert decode(data) is None


def test_of_several_orders_the_group_follows_the_same_one_first() -> None:
    other = ORDER._replace(name="ffffffff")
    members = [told(None), told(other), told(ORDER), Subscription(topics=(), user_data=b"\xff" * 40)]
    assert decode(first_of(members)) == decode(first_of(reversed(members))) == ORDER
    assert first_of([told(None), Subscription(topics=())]) is None


def test_what_was_followed_is_written_down_beside_the_offset() -> None:
    part = begun()
    part.order = ORDER.name
    assert decode_metadata(part.point(clean=True).metadata) == Committed(is_ours=True, order=ORDER.name)
    assert decode_metadata(Progress(7).metadata(suspect=3, suspect_count=2, order="00000001")) == Committed(
        is_ours=True, suspect=3, suspect_count=2, order="00000001"
    )


def skipping() -> tuple[Part, int]:
    """Return a partition of which one message is in hand, one was given back, and eight wait."""
    part = begun()
    part.came(logged(10), 10)
    _, second = taken(part, 2)
    part.give_back(second)
    return part, part.skip_to(20)


def test_what_waits_is_skipped_and_what_is_in_hand_is_not() -> None:
    part, size = skipping()
    assert size > 8
    assert (part.buffered, part.next()) == (0, None)
    point = part.point(clean=True)
    assert (point.offset, decode_metadata(point.metadata).done) == (0, (range(1, 20),))


def test_what_is_skipped_to_is_read_next_and_committed_when_nothing_is_in_hand() -> None:
    part, _ = skipping()
    assert part.position == 20
    part.done(logged(1)[0])
    assert part.point(clean=True).offset == 20
