from msgkit.testing import probe
from tests.scenarios.keeping_order import Ledger, ledger, make_app
from tests.scenarios.shop import OrderCancelled, OrderPlaced, cancels, orders


def placed(id_: str, customer: str, total: int = 3) -> OrderPlaced:
    return OrderPlaced(id_, customer, "eu", total)


async def test_two_kinds_of_messages_each_find_their_method() -> None:
    book = Ledger()
    async with probe(make_app(book)) as probed:
        await probed.template.send(orders, placed("1", "17"))
        await probed.idle()
        await probed.template.send(cancels, OrderCancelled("1", "17"))
        await probed.idle()
        assert book.entries == ["placed 1", "cancelled 1"]


async def test_a_dead_letter_holds_its_successors_and_nobody_elses() -> None:
    book = Ledger()
    async with probe(make_app(book)) as probed:
        sent = [placed("1", "17", -3), placed("2", "17"), placed("3", "18")]
        await probed.template.send_many(orders, sent)
        await probed.advance(10)
        assert book.entries == ["placed 3"]
        first, follower = probed.dead(ledger)
        assert first.headers["msgkit-dead-attempts"] == 3
        assert follower.headers["msgkit-dead-reason"] == f"follows the dead letter {first.id}"
        for expected in (first, follower):
            # One at a time, since they have one key.
            async with probed.template.receive(ledger.dead_letters) as (parked,):
                assert (parked.id, parked.key) == (expected.id, "17")


async def test_the_dead_letters_have_the_name_that_was_given_them() -> None:
    assert ledger.dead_letters.name == "ledger.parked"
