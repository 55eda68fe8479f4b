"""Transactions: all of it is seen or none, the delivery that it answers included; or refused."""

from msgkit.errors import AlreadySettled, Closed, MessagingError, SendRefused
from msgkit.listener import listener
from msgkit.message import Delivery
from msgkit.settlement import ACCEPT
from msgkit.spi import Power
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import Boom, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import may_raise, raises
from msgkit.testing.conformance.registry import check

__all__: list[str] = []


async def refuses_transactions(lab: Lab) -> bool:
    """Tell whether this binding has no transactions; its refusal has been asserted then."""
    if not lab.refused(Power.TRANSACTION):
        return False
    with lab.refusal("transaction"):
        async with lab.sender.transaction():
            pass
    return True


@check(16)
async def what_is_committed_is_seen_together_and_not_before(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    exchange = lab.exchange()
    routed, direct = lab.queue("routed", exchange.where()), lab.queue("direct")
    kept = [Kept(lab, queue, str) for queue in (routed, direct)]
    async with lab.application(*(each.function for each in kept)):
        async with lab.sender.transaction() as transaction:
            await transaction.send(exchange, "event", subject="x")
            await transaction.send_many(direct, numbered("job", 20))
            await lab.quiet()
            assert [len(each.messages) for each in kept] == [0, 0], "seen before the commit"
        await kept[0].gets_just(1)
        await kept[1].gets_just(20)
    assert kept[1].payloads == numbered("job", 20)


@check(16)
async def what_is_aborted_is_never_seen(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        with raises(Boom):
            async with lab.sender.transaction() as transaction:
                await transaction.send_many(queue, numbered("aborted", 10))
                raise Boom
        await lab.sender.send(queue, "sentinel")
        await kept.gets_just(1)
    assert kept.payloads == ["sentinel"]


@check(1, 16)
async def a_transaction_with_one_bad_destination_is_nothing(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    queue, absent = lab.queue(), lab.queue("absent")
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        with raises(SendRefused):
            async with lab.sender.transaction() as transaction:
                await transaction.send(queue, "with the bad one")
                await transaction.send(absent, "the bad one")
        await lab.sender.send(queue, "sentinel")
        await kept.gets_just(1)
    assert kept.payloads == ["sentinel"]


@check(16)
async def a_transaction_settles_the_delivery_that_it_answers(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    source, target = lab.queue("source"), lab.queue("target")
    await lab.declare(source, target)
    await lab.sender.send(source, "question")
    async with lab.sender.receiver(source) as receiver:
        (delivery,) = await receiver.take(timeout=lab.patience)
        async with lab.sender.transaction(source=delivery) as transaction:
            await transaction.send(target, "answer")
        with raises(AlreadySettled):
            await delivery.settle(ACCEPT)
    both = [Kept(lab, queue, str) for queue in (source, target)]
    async with lab.application(*(each.function for each in both)):
        await both[1].gets_just(1)
        assert both[0].payloads == [], "the source was not settled"


@check(16)
async def an_aborted_transaction_leaves_its_delivery_open(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    source, target = lab.queue("source"), lab.queue("target")
    await lab.declare(source, target)
    await lab.sender.send_many(source, ["settled", "left"])
    async with lab.sender.receiver(source, max_in_flight=2) as receiver:
        for _ in range(2):
            (delivery,) = await receiver.take(timeout=lab.patience)
            with raises(Boom):
                async with lab.sender.transaction(source=delivery) as transaction:
                    await transaction.send(target, "aborted")
                    raise Boom
            if delivery.payload == "settled":
                await delivery.settle(ACCEPT)
    both = [Kept(lab, queue, str) for queue in (source, target)]
    async with lab.application(*(each.function for each in both)):
        (message,) = await both[0].gets_just(1)
        assert both[1].payloads == [], "what was aborted is seen"
    assert (message.payload, message.attempt) == ("left", 1)


@check(16)
async def a_handler_may_answer_in_a_transaction(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    source, target = lab.queue("source"), lab.queue("target")

    @listener(source, concurrency=4)
    async def relays(delivery: Delivery[str], template: MessageTemplate) -> None:
        async with template.transaction(source=delivery) as transaction:
            await transaction.send(target, f"{delivery.payload} once")

    kept = Kept(lab, target, str)
    async with lab.application(relays, kept.function):
        await lab.sender.send_many(source, numbered("job", 20))
        await kept.gets_just(20)
        await lab.until(lambda: lab.is_settled(source), "all sources settled")
    assert sorted(kept.payloads) == [f"{payload} once" for payload in numbered("job", 20)]


@check(16)
async def a_transaction_that_has_ended_takes_no_more(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        async with lab.sender.transaction() as transaction:
            await transaction.send(queue, "in time")
        with raises(Closed):
            await transaction.send(queue, "too late")
        await kept.gets_just(1)


@check(16)
async def transactions_side_by_side_do_not_mix(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        async with lab.sender.transaction() as committed:
            with raises(Boom):
                async with lab.sender.transaction() as aborted:
                    await committed.send(queue, "committed")
                    await aborted.send(queue, "aborted")
                    await lab.sender.send(queue, "plain")
                    raise Boom
            await kept.gets(1)
            await lab.quiet()
            assert kept.payloads == ["plain"]
        await kept.gets_just(2)
    assert kept.payloads == ["plain", "committed"]


@check(3, 16, needs=(Fault.CUT,), limit=10)
async def a_connection_lost_in_a_transaction_leaves_all_or_nothing(lab: Lab) -> None:
    if await refuses_transactions(lab):
        return
    one, two = lab.queue("one"), lab.queue("two")
    kept = [Kept(lab, queue, str) for queue in (one, two)]
    sure: list[str] = []
    async with lab.application(*(each.function for each in kept)):
        for payload in numbered("cut", 5):
            with may_raise(MessagingError) as lost:
                async with lab.sender.transaction() as transaction:
                    await transaction.send(one, payload)
                    await lab.harness.cut_connections()
                    await transaction.send(two, payload)
            if lost.found is None:
                sure.append(payload)
        await lab.until(lambda: all(set(sure) <= set(each.payloads) for each in kept), "what was committed")
        await lab.quiet()
        await lab.until(lambda: set(kept[0].payloads) == set(kept[1].payloads), "the same in both queues")
