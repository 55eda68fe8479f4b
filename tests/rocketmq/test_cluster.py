"""A cluster whose name servers and brokers say what a test has them say."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import NotWritten, Refused, TooOld, Unanswered, Unfit
from msgkit_rocketmq.client.frames import Frame, encode
from msgkit_rocketmq.client.presence import Interest
from tests.rocketmq.peers import NO_TOPIC, Said, answered, asked, cluster_of, peer, route_to
from tests.serving import Peer

ROUTE, CLUSTER, OFFSET = Request.GET_ROUTEINFO_BY_TOPIC, Request.GET_BROKER_CLUSTER_INFO, Request.GET_MAX_OFFSET


class Told:
    """A name server that says what is true now."""

    def __init__(self, **masters: Address) -> None:
        self.masters = masters
        self.has_topic = True
        #: What it was asked.
        self.asked: list[int] = []

    @property
    def said(self) -> dict[Request, Said]:
        return {ROUTE: self._route, CLUSTER: self._cluster}

    async def _route(self, asked: Frame) -> Frame:
        self.asked.append(asked.code)
        return route_to(**self.masters) if self.has_topic else NO_TOPIC

    async def _cluster(self, asked: Frame) -> Frame:
        self.asked.append(asked.code)
        return cluster_of(**self.masters)


class Beats:
    """A broker that hears who is there."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Frame] = asyncio.Queue()

    async def __call__(self, asked: Frame) -> Frame:
        self.heard.put_nowait(asked)
        return Frame(0)


@asynccontextmanager
async def cluster(names: Address, timeout: float = 5.0) -> AsyncGenerator[Cluster]:
    found = Cluster(Door(timeout=timeout), [names], client="me")
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        await found.close()


@asynccontextmanager
async def facing(said: Mapping[Request, Said] | Peer, timeout: float = 5.0) -> AsyncGenerator[tuple[Address, Cluster]]:
    """Be a client of a cluster with one broker, which is at the address that is yielded, too."""
    async with peer(said) as broker, peer(Told(a=broker).said) as names, cluster(names, timeout) as ours:
        yield broker, ours


# -- asking


async def test_a_broker_is_asked_where_the_name_server_says_it_is() -> None:
    async with facing({OFFSET: Frame(0, {"offset": "7"})}) as (broker, ours):
        route = await ours.route("t")
        assert route.writable[0].broker == "a"
        answer = await ours.ask(route.masters["a"], OFFSET, {"topic": "t", "queueId": 0})
        assert answer.fields == {"offset": "7"}
        assert await ours.version(broker) == 479


async def test_a_broker_is_connected_once_however_many_ask_at_once() -> None:
    beats = Beats()
    async with facing({Request.HEART_BEAT: beats, OFFSET: Frame(0)}) as (broker, ours):
        await asyncio.gather(*(ours.ask(broker, OFFSET) for _ in range(20)))
        assert beats.heard.qsize() == 1


async def test_an_answer_is_a_failure_unless_it_is_accepted() -> None:
    async with facing({OFFSET: Frame(Response.QUERY_NOT_FOUND, remark="none yet")}) as (broker, ours):
        with pytest.raises(Refused, match="query not found: none yet"):
            await ours.ask(broker, OFFSET)
        assert (await ours.ask(broker, OFFSET, accepts={Response.QUERY_NOT_FOUND})).remark == "none yet"


async def test_a_broker_that_is_not_there_is_told_at_once_and_tried_again_by_and_by() -> None:
    async with peer({}) as broker:
        pass
    async with peer(Told(a=broker).said) as names, cluster(names) as ours:
        begin = asyncio.get_running_loop().time()
        for _ in range(4):
            with pytest.raises(NotWritten, match=f"{broker}"):
                await ours.ask(broker, OFFSET)
        assert asyncio.get_running_loop().time() - begin > 0.3
        with pytest.raises(NotWritten, match=f"{broker}"):
            await ours.ask(broker, OFFSET, within=0.05)


async def test_an_unreachable_broker_is_told_with_the_setting_that_says_where_it_is() -> None:
    async with peer({}) as broker:
        pass
    async with peer(Told(a=broker).said) as names, cluster(names) as ours:
        with pytest.raises(NotWritten, match="brokerIP1"):
            await ours.ask(broker, OFFSET)


async def test_a_broker_before_5_0_is_refused_when_it_is_connected() -> None:
    async with facing({Request.HEART_BEAT: Frame(0, version=399)}) as (broker, ours):
        with pytest.raises(TooOld, match=f"the broker at {broker} is older than RocketMQ 5.0"):
            await ours.ask(broker, OFFSET)


async def test_a_name_server_is_told_from_a_broker() -> None:
    unknown = Frame(Response.REQUEST_CODE_NOT_SUPPORTED)
    async with facing({Request.HEART_BEAT: unknown}) as (broker, ours):
        with pytest.raises(Unfit, match="is no broker"):
            await ours.ask(broker, OFFSET)


async def test_whose_credentials_are_refused_hears_it_when_it_is_connected() -> None:
    refused = Frame(Response.NO_PERMISSION, remark="check signature failed")
    async with facing({Request.HEART_BEAT: refused}) as (broker, ours):
        with pytest.raises(Unfit, match="does not let us in: check signature failed"):
            await ours.ask(broker, OFFSET)


# -- what is known of routes


async def test_a_route_is_asked_for_once_while_it_holds_however_many_want_it() -> None:
    async with peer({OFFSET: Frame(0)}) as broker:
        told = Told(a=broker)
        async with peer(told.said) as names, cluster(names) as ours:
            routes = await asyncio.gather(*(ours.route("t") for _ in range(20)))
            assert len({id(each) for each in routes}) == 1
            await ours.route("t")
            assert told.asked.count(ROUTE) == 1
            await ours.route("t", fresh=True)
            assert told.asked.count(ROUTE) == 2


async def test_a_route_to_a_broker_that_is_gone_is_asked_for_again() -> None:
    async with peer({OFFSET: Frame(0)}) as new:
        async with peer({}) as old:
            pass
        told = Told(a=old)
        async with peer(told.said) as names, cluster(names) as ours:
            assert (await ours.route("t")).masters == {"a": old}
            assert await ours.masters() == {"a": old}
            told.masters = {"a": new}
            assert (await ours.route("t")).masters == {"a": old}
            with pytest.raises(NotWritten):
                await ours.ask(old, OFFSET)
            assert (await ours.route("t")).masters == {"a": new}
            assert await ours.masters() == {"a": new}


@pytest.mark.parametrize("code", [Response.TOPIC_NOT_EXIST, Response.NO_PERMISSION, Response.SERVICE_NOT_AVAILABLE])
async def test_a_route_to_a_broker_that_does_not_serve_it_is_asked_for_again(code: Response) -> None:
    async with peer({OFFSET: Frame(code)}) as broker:
        told = Told(a=broker)
        async with peer(told.said) as names, cluster(names) as ours:
            await ours.route("t")
            with pytest.raises(Refused):
                await ours.ask(broker, OFFSET)
            await ours.route("t")
            assert told.asked.count(ROUTE) == 2


async def test_what_is_known_is_used_while_name_servers_are_away() -> None:
    async with peer({OFFSET: Frame(Response.SERVICE_NOT_AVAILABLE)}) as broker, AsyncExitStack() as stack:
        names = await stack.enter_async_context(peer(Told(a=broker).said))
        async with cluster(names) as ours:
            route, masters = await ours.route("t"), await ours.masters()
            await stack.aclose()
            with pytest.raises(Refused):
                await ours.ask(broker, OFFSET)
            assert (await ours.route("t"), await ours.masters()) == (route, masters)
            with pytest.raises(NotWritten):
                await ours.route("t", fresh=True)
            with pytest.raises(NotWritten):
                await ours.route("another")


async def test_a_topic_that_was_deleted_is_found_missing() -> None:
    async with peer({OFFSET: NO_TOPIC}) as broker:
        told = Told(a=broker)
        async with peer(told.said) as names, cluster(names) as ours:
            await ours.route("t")
            told.has_topic = False
            with pytest.raises(Refused):
                await ours.ask(broker, OFFSET)
            for _ in range(2):
                with pytest.raises(Refused, match="topic not exist"):
                    await ours.route("t")
            told.has_topic = True
            assert (await ours.route("t")).masters == {"a": broker}


# -- presence


async def test_every_broker_hears_who_is_there_and_hears_it_again() -> None:
    one, other = Beats(), Beats()
    async with (
        peer({Request.HEART_BEAT: one}) as a,
        peer({Request.HEART_BEAT: other}) as b,
        peer(Told(a=a, b=b).said) as names,
        cluster(names, timeout=1.0) as ours,
    ):
        await ours.presence.produce("makers")
        await ours.presence.consume("takers", [Interest("t", "x || y", version=5)])
        for broker in (one, other):
            said = json.loads((await broker.heard.get()).body)
            while not said["consumerDataSet"]:
                said = json.loads((await broker.heard.get()).body)
            assert said["clientID"] == "me"
            assert said["producerDataSet"] == [{"groupName": "makers"}]
            (group,) = said["consumerDataSet"]
            (interest,) = group["subscriptionDataSet"]
            assert (group["groupName"], group["messageModel"]) == ("takers", "CLUSTERING")
            assert (interest["topic"], interest["subString"], interest["subVersion"]) == ("t", "x || y", 5)
            assert interest["tagsSet"] == ["x", "y"]
            assert json.loads((await broker.heard.get()).body) == said


async def test_a_broker_that_name_servers_do_not_know_yet_hears_it_as_long_as_it_is_connected() -> None:
    beats = Beats()
    async with peer({Request.HEART_BEAT: beats}) as broker, peer(Told().said) as names, cluster(names) as ours:
        await ours.version(broker)
        await beats.heard.get()
        await ours.presence.produce("makers")
        assert json.loads((await beats.heard.get()).body)["producerDataSet"] == [{"groupName": "makers"}]


async def test_a_broker_hears_who_is_there_before_anything_else_is_asked_of_it() -> None:
    beats = Beats()
    async with (
        peer({Request.HEART_BEAT: beats, OFFSET: beats}) as broker,
        peer(Told().said) as names,
        cluster(names) as ours,
    ):
        with pytest.raises(NotWritten, match="no broker is registered"):
            await ours.presence.produce("makers")
        await ours.ask(broker, OFFSET)
        first, second = await beats.heard.get(), await beats.heard.get()
        assert (first.code, second.code) == (Request.HEART_BEAT, OFFSET)
        assert json.loads(first.body)["producerDataSet"] == [{"groupName": "makers"}]


async def test_brokers_hear_who_leaves() -> None:
    beats, farewells = Beats(), Beats()
    async with facing({Request.HEART_BEAT: beats, Request.UNREGISTER_CLIENT: farewells}) as (_, ours):
        await ours.presence.produce("makers")
        await ours.presence.consume("takers", [])
        await ours.presence.leave("takers")
        assert (await farewells.heard.get()).fields == {"clientID": "me", "consumerGroup": "takers"}
        assert json.loads(ours.presence.said)["consumerDataSet"] == []
        await ours.close()
        assert (await farewells.heard.get()).fields == {"clientID": "me", "producerGroup": "makers"}


async def test_a_broker_that_does_not_allow_a_group_is_heard() -> None:
    async def judge(asked: Frame) -> Frame:
        is_forbidden = json.loads(asked.body)["producerDataSet"]
        return Frame(Response.NO_PERMISSION if is_forbidden else 0)

    async with facing({Request.HEART_BEAT: judge}) as (broker, ours):
        await ours.version(broker)
        with pytest.raises(Refused, match="no permission"):
            await ours.presence.produce("makers")


async def test_a_broker_that_is_silent_is_taken_for_gone_while_nothing_is_asked_of_it_but_to_wait() -> None:
    went_silent = asyncio.Event()

    async def beat(_: Frame) -> Frame | None:
        return None if went_silent.is_set() else Frame(0)

    async def wait(_: Frame) -> None:
        went_silent.set()

    async with facing({Request.HEART_BEAT: beat, Request.NOTIFICATION: wait}, timeout=1.0) as (broker, ours):
        with pytest.raises(Unanswered, match="nothing was heard"):
            await ours.ask(broker, Request.NOTIFICATION, within=60)


# -- being asked


CHECK, REPLY = Request.CHECK_TRANSACTION_STATE, Request.PUSH_REPLY_MESSAGE_TO_CLIENT


def asking(question: Frame, answers: "asyncio.Queue[Frame]") -> Peer:
    """Return a broker that asks something as soon as somebody is there, and hears what is answered."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0)))
        writer.write(encode(question))
        while True:
            answers.put_nowait(await asked(reader))

    return serve


async def test_what_a_broker_asks_comes_to_who_looks_after_it_and_is_answered_when_it_is_done() -> None:
    answers: asyncio.Queue[Frame] = asyncio.Queue()
    heard: list[tuple[Address, str]] = []

    async def handle(address: Address, question: Frame) -> None:
        heard.append((address, question.fields["topic"]))

    async with facing(asking(Frame(REPLY, {"topic": "t"}, opaque=9), answers)) as (broker, ours):
        ours.on(REPLY, handle)
        await ours.version(broker)
        answer = await answers.get()
        assert (answer.opaque, answer.code) == (9, Response.SUCCESS)
        assert heard == [(broker, "t")]


async def test_what_nobody_looks_after_is_answered_so() -> None:
    answers: asyncio.Queue[Frame] = asyncio.Queue()
    async with facing(asking(Frame(Request.GET_CONSUMER_RUNNING_INFO, opaque=9), answers)) as (broker, ours):
        await ours.version(broker)
        assert (await answers.get()).code == Response.REQUEST_CODE_NOT_SUPPORTED


async def test_what_failed_is_answered_so_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    answers: asyncio.Queue[Frame] = asyncio.Queue()

    async def fail(_: Address, __: Frame) -> None:
        raise LookupError("a secret")

    async with facing(asking(Frame(REPLY, opaque=9), answers)) as (broker, ours):
        ours.on(REPLY, fail)
        await ours.version(broker)
        answer = await answers.get()
        assert (answer.code, answer.remark) == (Response.SYSTEM_ERROR, "LookupError")
        assert f"what the broker at {broker} asked (326) failed" in caplog.text


async def test_what_is_still_being_done_ends_with_the_cluster() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(_: Address, __: Frame) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with facing(asking(Frame(CHECK, is_oneway=True), asyncio.Queue())) as (broker, ours):
        ours.on(CHECK, work)
        await ours.version(broker)
        await began.wait()
        await ours.close()
        assert ended.is_set()


# -- the end


async def test_a_lost_broker_is_heard_with_the_reason_and_our_own_end_is_not() -> None:
    lost: asyncio.Queue[tuple[Address, str]] = asyncio.Queue()

    async def hang_up(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0)))
        await asked(reader)

    def on_lost(address: Address, why: str) -> None:
        lost.put_nowait((address, why))

    async with peer(hang_up) as broker, peer({}) as other, asyncio.timeout(20):
        found = Cluster(Door(), [broker], on_lost=on_lost)
        await found.version(other)
        with pytest.raises(Unanswered):
            await found.ask(broker, OFFSET)
        assert await lost.get() == (broker, "the other side hung up")
        await found.close()
        assert lost.empty()
        with pytest.raises(NotWritten, match="closed by ourselves"):
            await found.ask(other, OFFSET)
