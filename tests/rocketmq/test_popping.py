import asyncio
import time
from contextlib import suppress

import pytest

from msgkit_rocketmq.client import brokers
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import Refused
from msgkit_rocketmq.client.popping import MOST, Filter, Popping, Source, wait
from msgkit_rocketmq.client.sending import Outgoing, send, send_all
from msgkit_rocketmq.client.settling import accept, accept_all, lend
from msgkit_rocketmq.client.taking import Taken
from tests.rocketmq.operating import bodies, made, new_place, sent, share, taken

pytestmark = pytest.mark.broker

#: The lateness of a broker that looks every few seconds for what nobody has settled.
LATE = 7.0


async def nothing(cluster: Cluster, source: Source) -> bool:
    return not await Popping(cluster).pop(source, lease=10)


async def has_new(cluster: Cluster, source: Source) -> bool:
    """Tell whether something is there within a second."""
    return await wait(cluster, source, patience=1)


# -- taking


async def test_what_was_lent_is_lent_to_nobody_else(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"1", b"2", b"3")
    first = await taken(cluster, source, 2, most=2)
    others = await taken(cluster, source, 1)
    assert bodies([*first, *others]) == [b"1", b"2", b"3"]
    assert {each.attempt for each in [*first, *others]} == {1}
    assert await nothing(cluster, source)


async def test_each_group_takes_all_of_a_topic(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name, queues=4)
    sources = [await made(cluster, place, f"{name}-{n}") for n in range(2)]
    for queue in range(4):
        await sent(cluster, place._replace(queue=queue), b"%d" % queue)
    for source in sources:
        assert sorted(bodies(await taken(cluster, source, 4))) == [b"0", b"1", b"2", b"3"]


async def test_more_than_brokers_hand_out_is_asked_of_nobody(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await send_all(cluster, place, [Outgoing(b"x", {})] * (MOST + 8))
    await brokers.caught_up(cluster, place.broker)
    assert len(await taken(cluster, source, MOST, most=1000)) == MOST


async def test_one_queue_alone_may_be_taken_from(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name, queues=2)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"0")
    await sent(cluster, place._replace(queue=1), b"1")
    assert bodies(await taken(cluster, source._replace(queue=1))) == [b"1"]
    assert bodies(await taken(cluster, source._replace(queue=0))) == [b"0"]


@pytest.mark.parametrize(
    ("kind", "expression"), [("TAG", "red || blue.sky"), ("SQL92", "n BETWEEN 1 AND 2 AND colour IS NOT NULL")]
)
async def test_a_filter_leaves_the_others_out(cluster: Cluster, name: str, kind: str, expression: str) -> None:
    place = await new_place(cluster, name)
    source = (await made(cluster, place, name))._replace(
        filter=Filter("SQL92" if kind == "SQL92" else "TAG", expression)
    )
    for number, tag in enumerate(("green", "red", "blue.sky", "blue")):
        await send(cluster, place, Outgoing(tag.encode(), {"TAGS": tag, "n": str(number), "colour": tag}))
    assert bodies(await taken(cluster, source, 2)) == [b"red", b"blue.sky"]


async def test_a_filter_that_cannot_be_parsed_is_refused(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = (await made(cluster, place, name))._replace(filter=Filter("SQL92", "a ="))
    with pytest.raises(Refused) as refused:
        await nothing(cluster, source)
    assert refused.value.code == Response.SUBSCRIPTION_PARSE_FAILED


async def test_what_is_new_wakes_who_waits(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    assert not await wait(cluster, source, patience=0.2)
    waiting = asyncio.create_task(wait(cluster, source, patience=20))
    began = time.monotonic()
    await sent(cluster, place, b"new")
    assert await waiting
    assert time.monotonic() - began < 2
    assert bodies(await taken(cluster, source)) == [b"new"]


async def test_what_comes_for_who_went_away_is_given_back(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"1", b"2")
    await wait(cluster, source, patience=5)
    popping = Popping(cluster)
    task = asyncio.create_task(popping.pop(source, lease=60))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    await popping.close()
    found = await taken(cluster, source._replace(came_back=True), 2)
    assert sorted(bodies(found)) == [b"1", b"2"]
    assert [each.attempt for each in found] == [2, 2]


async def test_going_away_where_nothing_comes_ends_quietly(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    popping = Popping(cluster)
    for asked in (source, source._replace(topic=f"{name}-absent")):
        task = asyncio.create_task(popping.pop(asked, lease=60))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await popping.close()


# -- settling


async def test_what_was_accepted_does_not_come_back(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"1", b"2", b"3", b"4")
    lent = await taken(cluster, source, 4, lease=1)
    await accept(cluster, share(source), lent[0].handle)
    await accept_all(cluster, share(source), [lent[1].handle, lent[3].handle])
    back = await taken(cluster, source._replace(came_back=True))
    assert bodies(back) == [b"3"]
    assert [each.attempt for each in back] == [2]
    assert not await has_new(cluster, source._replace(came_back=True))


async def test_what_was_given_back_returns_when_it_is_due_and_knows_how_often(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    again = source._replace(came_back=True)
    await send(cluster, place, Outgoing(b"x", {"UNIQ_KEY": name, "grüße": "→"}))
    (each,) = await taken(cluster, source)
    for attempt in (2, 3):
        began = time.monotonic()
        await lend(cluster, share(source), each.handle, 2)
        (each,) = await taken(cluster, again)
        assert 1.9 <= time.monotonic() - began <= 2 + LATE
        assert each.attempt == attempt
        assert (each.record.topic, each.record.id, each.record.body) == (name, name, b"x")
        assert each.record.properties["grüße"] == "→"
    await accept(cluster, share(source), each.handle)
    assert not await has_new(cluster, again)


async def test_who_takes_what_is_new_is_given_what_came_back_as_well(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"x")
    (each,) = await taken(cluster, source)
    await lend(cluster, share(source), each.handle, 0)
    assert await wait(cluster, source._replace(came_back=True), patience=LATE)
    (back,) = await taken(cluster, source, lease=1)
    assert (back.record.topic, back.record.body, back.attempt) == (name, b"x", 2)
    await accept_all(cluster, share(source), [back.handle])
    assert not await wait(cluster, source._replace(came_back=True), patience=1 + LATE)


async def test_what_is_lent_for_longer_is_settled_by_the_new_handle(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"1", b"2")
    lent = await taken(cluster, source, 2, lease=1)
    longer = [await lend(cluster, share(source), each.handle, 60) for each in lent]
    assert None not in longer
    assert not await wait(cluster, source._replace(came_back=True), patience=1 + LATE)
    for each in longer:
        assert each is not None
        shorter = await lend(cluster, share(source), each, 1)
        assert shorter is not None
        await accept_all(cluster, share(source), [shorter])
    assert not await wait(cluster, source._replace(came_back=True), patience=1 + LATE)


async def test_a_sender_cannot_have_another_message_settled(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await sent(cluster, place, b"victim")
    (victim,) = await taken(cluster, source, lease=1)
    # The broker takes it out of a message that is sent alone.
    await send_all(cluster, place, [Outgoing(b"forged", {"POP_CK": str(victim.handle)})])
    (forged,) = await taken(cluster, source)
    assert forged.record.properties["POP_CK"] == str(victim.handle)
    await accept_all(cluster, share(source), [forged.handle])
    (back,) = await taken(cluster, source._replace(came_back=True))
    assert back.record.body == b"victim"


async def test_what_was_forged_does_not_stay_for_ever(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name)
    await send_all(cluster, place, [Outgoing(b"forged", {"POP_CK": "0 1 1 1 0 broker-a 0 0"})])
    (forged,) = await taken(cluster, source)
    await lend(cluster, share(source), forged.handle, 0)
    assert await wait(cluster, source._replace(came_back=True), patience=LATE)
    # Beside what is new, where the broker would tell what it is settled by if that were not told already.
    (back,) = await taken(cluster, source, lease=1)
    await accept(cluster, share(source), back.handle)
    assert not await wait(cluster, source._replace(came_back=True), patience=1 + LATE)


# -- in order


async def test_in_order_a_queue_waits_for_what_was_taken_from_it(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name, queues=2)
    source = await made(cluster, place, name, in_order=True)
    await sent(cluster, place, b"1", b"2")
    await sent(cluster, place._replace(queue=1), b"other")
    lent: dict[bytes, Taken] = {}
    for each in await taken(cluster, source, 2, most=1):
        lent[each.record.body] = each
    assert set(lent) == {b"1", b"other"}
    assert await nothing(cluster, source)
    assert lent[b"1"].handle.in_order
    began = time.monotonic()
    await lend(cluster, share(source), lent[b"1"].handle, 1)
    (again,) = await taken(cluster, source, most=1)
    assert (again.record.body, again.attempt) == (b"1", 2)
    assert 0.9 <= time.monotonic() - began < 3
    await accept_all(cluster, share(source), [again.handle])
    (second,) = await taken(cluster, source, most=1)
    assert (second.record.body, second.attempt) == (b"2", 1)


async def test_in_order_what_is_done_with_is_lent_no_longer(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name, in_order=True)
    await sent(cluster, place, b"1", b"2")
    (first,) = await taken(cluster, source, most=1)
    longer = await lend(cluster, share(source), first.handle, 30)
    assert longer is not None
    await accept(cluster, share(source), longer)
    assert await lend(cluster, share(source), longer, 30) is None
    assert bodies(await taken(cluster, source, most=1)) == [b"2"]


async def test_in_order_what_was_lost_on_the_way_comes_once_more(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    source = await made(cluster, place, name, in_order=True)
    await sent(cluster, place, b"1")
    await wait(cluster, source, patience=5)
    popping = Popping(cluster)
    first = await popping.pop(source, lease=30, most=1, attempt="a")
    assert bodies(first) == [b"1"]
    assert not await popping.pop(source, lease=30, most=1, attempt="b")
    assert bodies(await popping.pop(source, lease=30, most=1, attempt="a")) == [b"1"]
