"""Several name servers, of which some know more than others, and some are not there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import NotWritten, Refused, Unfit
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.names import Names
from tests.rocketmq.peers import NO_TOPIC, Said, cluster_of, peer, route_to

BROKER = Address("127.0.0.1", 10911)
ROUTE, CLUSTER = Request.GET_ROUTEINFO_BY_TOPIC, Request.GET_BROKER_CLUSTER_INFO
KNOWING: dict[Request, Said] = {CLUSTER: cluster_of(a=BROKER), ROUTE: route_to(a=BROKER)}
#: As one that has just started.
EMPTY: dict[Request, Said] = {CLUSTER: cluster_of(), ROUTE: NO_TOPIC}


async def never(_: Frame) -> None:
    return None


@asynccontextmanager
async def names(*servers: Address) -> AsyncGenerator[Names]:
    found = Names(Door(timeout=5.0), servers)
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        await found.close()


@asynccontextmanager
async def nobody() -> AsyncGenerator[Address]:
    """Yield where nobody listens."""
    async with peer({}) as address:
        pass
    yield address


async def test_one_that_is_not_there_does_not_matter() -> None:
    async with nobody() as gone, peer(KNOWING) as there, names(gone, there) as asked:
        assert await asked.masters(5.0) == {"a": BROKER}
        assert (await asked.route("t", 5.0)).masters == {"a": BROKER}


async def test_one_that_does_not_answer_leaves_time_for_the_others() -> None:
    silent: dict[Request, Said] = {CLUSTER: never}
    async with peer(silent) as mute, peer(KNOWING) as there, names(mute, there) as asked:
        assert await asked.masters(4.0) == {"a": BROKER}


async def test_what_one_does_not_know_yet_another_may_know() -> None:
    async with peer(EMPTY) as new, peer(KNOWING) as old, names(new, old) as asked:
        assert (await asked.route("t", 5.0)).masters == {"a": BROKER}
        assert await asked.masters(5.0) == {"a": BROKER}


async def test_a_topic_that_nobody_knows_does_not_exist() -> None:
    said: dict[Request, Said] = {CLUSTER: cluster_of(a=BROKER), ROUTE: NO_TOPIC}
    async with peer(said) as one, peer(said) as other, names(one, other) as asked:
        with pytest.raises(Refused) as refused:
            await asked.route("t", 5.0)
        assert refused.value.code == Response.TOPIC_NOT_EXIST


async def test_where_no_broker_is_known_nothing_is_said_of_topics() -> None:
    async with peer(EMPTY) as new, names(new) as asked:
        for ask in (asked.masters(5.0), asked.route("t", 5.0)):
            with pytest.raises(NotWritten, match=f"no broker is registered with the name server {new}"):
                await ask


async def test_where_nobody_is_each_is_named() -> None:
    async with nobody() as one, nobody() as other, names(one, other) as asked:
        with pytest.raises(NotWritten, match=f"{one}.*; .*{other}") as failed:
            await asked.masters(5.0)
        assert not isinstance(failed.value, Unfit)


async def test_a_broker_is_told_from_a_name_server() -> None:
    async with peer({}) as broker, names(broker) as asked:
        with pytest.raises(Unfit, match=f"what answers at {broker} is a broker; name servers listen at port 9876"):
            await asked.masters(5.0)


async def test_what_comes_and_cannot_be_read_is_told() -> None:
    async with peer({CLUSTER: Frame(0, body=b"{")}) as odd, names(odd) as asked:
        with pytest.raises(NotWritten, match="JSON cannot be read"):
            await asked.masters(5.0)


async def test_all_that_are_there_are_told() -> None:
    told: list[str] = []

    async def hear(asked: Frame) -> Frame:
        told.append(asked.fields["topic"])
        return Frame(0)

    said: dict[Request, Said] = {**KNOWING, Request.DELETE_TOPIC_IN_NAMESRV: hear}
    async with peer(said) as one, nobody() as gone, peer(said) as other, names(one, gone, other) as asked:
        await asked.tell(Request.DELETE_TOPIC_IN_NAMESRV, {"topic": "t"}, 5.0)
        assert told == ["t", "t"]


async def test_one_that_says_no_is_heard_and_so_is_that_none_is_there() -> None:
    no: dict[Request, Said] = {**KNOWING, Request.DELETE_TOPIC_IN_NAMESRV: Frame(Response.NO_PERMISSION)}
    yes: dict[Request, Said] = {**KNOWING, Request.DELETE_TOPIC_IN_NAMESRV: Frame(0)}
    async with peer(yes) as one, peer(no) as other, names(one, other) as asked:
        with pytest.raises(Refused, match="no permission"):
            await asked.tell(Request.DELETE_TOPIC_IN_NAMESRV, {"topic": "t"}, 5.0)
    async with nobody() as gone, names(gone) as asked:
        with pytest.raises(NotWritten):
            await asked.tell(Request.DELETE_TOPIC_IN_NAMESRV, {"topic": "t"}, 5.0)
