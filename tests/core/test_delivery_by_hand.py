from datetime import timedelta

import pytest

from msgkit import Accept, Delivery, Reject, Retry, Settlement
from msgkit.errors import AlreadySettled
from msgkit.testing import ByHand, delivery
from tests.core.workshop import Order


def by_hand(taken: Delivery[Order]) -> ByHand:
    assert isinstance(taken.settler, ByHand)
    return taken.settler


async def confirm(taken: Delivery[Order]) -> None:
    """Handle a delivery as a user's listener would."""
    if taken.attempt > 1:
        await taken.settle(Reject("again"))
        return
    await taken.extend(timedelta(minutes=1))
    await taken.reply(taken.payload.id)
    await taken.settle(Accept())


async def test_it_remembers_what_was_done_with_it() -> None:
    taken = delivery(Order(5))
    await confirm(taken)
    hand = by_hand(taken)
    assert (hand.settled, hand.extended, hand.replies) == (Accept(), [timedelta(minutes=1)], [5])
    assert taken.settled == Accept()


async def test_it_may_be_a_later_attempt() -> None:
    taken = delivery(Order(5), attempt=3)
    await confirm(taken)
    settled = by_hand(taken).settled
    assert isinstance(settled, Reject)
    assert settled.reason == "again"


@pytest.mark.parametrize("how", [Accept(), Retry(5), Reject("no")])
async def test_it_ends_once(how: Settlement) -> None:
    taken = delivery(Order(5))
    await taken.settle(how)
    with pytest.raises(AlreadySettled) as caught:
        await taken.settle(Accept())
    assert str(caught.value) == f"message {taken.id} is settled already; a delivery ends once"
    assert by_hand(taken).settled is how


async def test_one_that_is_left_open_says_so() -> None:
    taken = delivery(Order(5))
    assert (taken.settled, by_hand(taken).settled) == (None, None)


async def test_each_is_a_message_of_its_own() -> None:
    one, other = delivery(Order(5)), delivery(Order(5))
    assert one.id != other.id
    assert (one.payload, one.attempt, dict(one.headers), one.key, one.reply_to) == (Order(5), 1, {}, None, None)
    await one.settle(Accept())
    assert other.settled is None


async def test_a_reply_is_told_with_a_receipt() -> None:
    taken = delivery(Order(5))
    first, second = await taken.reply("yes"), await taken.reply("no")
    assert first.message_id != second.message_id
    assert by_hand(taken).replies == ["yes", "no"]
