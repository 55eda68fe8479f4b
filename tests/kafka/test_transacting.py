"""One producer of transactions, and who gets it next when whoever had it does not wait for its end."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from msgkit.envelope import new_id
from msgkit.errors import DeliveryLost, SendRefused
from msgkit_kafka.blame import Blame, blame
from msgkit_kafka.groups import Groups
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire.logs import LATEST
from msgkit_kafka.wire.subscriptions import Partition
from tests.kafka.slow import Slow
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]


class Another:
    """A settler whose delivery is another's by now."""

    @property
    def membership(self) -> Membership:
        return cast("Membership", self)

    @property
    def group(self) -> str:
        return "another"

    async def begun(self) -> None: ...

    def points(self) -> Mapping[Partition, Point]:
        raise DeliveryLost("it was taken back")


async def cancel_again_and_again(task: "asyncio.Task[None]") -> None:
    for _ in range(5):
        task.cancel()
        # So that it hears of each one.
        for _ in range(5):
            await asyncio.sleep(0)


async def is_another_lent(producers: Producers, ever: list[object]) -> bool:
    with producers.one() as producer:
        return producer not in ever


@pytest.mark.parametrize("settled", [[], [Another()]], ids=["commit", "abort"])
async def test_a_producer_is_not_lent_again_before_its_transaction_has_ended_however_often_its_user_is_cancelled(
    slow: Slow, settled: list[Another]
) -> None:
    topic = await slow.new_topic()
    producers = Producers(slow, f"slow-{new_id()}")
    seen, lent = asyncio.Event(), list[object]()

    async def use() -> None:
        with producers.one() as producer:
            lent.append(producer)
            assert not await producer.missing([topic])
            await producer.commit([Placed(topic, (None, b"x", [], 0), None)], settled, seen.set)

    async with asyncio.timeout(30):
        using = asyncio.create_task(use())
        await slow.is_asked.wait()
        await cancel_again_and_again(using)
        assert not using.done()
        assert await is_another_lent(producers, lent)
        slow.may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert seen.is_set() == (not settled)
        assert not await is_another_lent(producers, lent)

        async def is_ended() -> bool:
            # The record is there, and the mark that it is whole, or that it never was.
            return list((await Groups(slow).ends([Partition(topic, 0)], LATEST)).values()) == [2]

        await until(is_ended)


async def test_who_was_fenced_begins_anew_and_what_it_wrote_is_not_at_fault(slow: Slow) -> None:
    topic, name = await slow.new_topic(), f"fenced-{new_id()}"
    slow.may_go_on.set()
    placed, seen = [Placed(topic, (None, b"x", [], 0), None)], list[str]()
    async with asyncio.timeout(30):
        with Producers(slow, name).one() as first:
            await first.commit(placed, [], lambda: seen.append("first"))
            with Producers(slow, name).one() as other:
                await other.ready()
            with pytest.raises(SendRefused) as refused:
                await first.commit(placed, [], lambda: seen.append("never"))
            assert blame(refused.value) is Blame.TIME
            await first.commit(placed, [], lambda: seen.append("again"))
    assert seen == ["first", "again"]
