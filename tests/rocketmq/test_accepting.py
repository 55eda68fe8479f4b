"""Telling brokers what was accepted, and what becomes of it where they are slow, away or unwilling."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.accepting import Acceptances
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.handles import Handle
from msgkit_rocketmq.client.places import Broker
from msgkit_rocketmq.client.records import Record
from msgkit_rocketmq.client.settling import Share
from msgkit_rocketmq.client.taking import Taken
from msgkit_rocketmq.loans import Loan
from tests.rocketmq.peers import Said, peer

HANDLE = Handle(7, 1000, 30_000, 3, "0", "a", 0, 7)


class Told:
    """A broker that answers one after the other, and the last again and again."""

    def __init__(self, *answers: Frame) -> None:
        self._answers = list(answers)
        #: When each was lent that it was told of.
        self.heard = asyncio.Queue[int]()

    async def answer(self, asked: Frame) -> Frame:
        for each in json.loads(asked.body)["acks"]:
            self.heard.put_nowait(each["pt"])
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@asynccontextmanager
async def accepting(answer: Said) -> AsyncGenerator[tuple[Acceptances, Loan]]:
    """Have one message in hand that can be accepted."""
    said: Mapping[Request, Said] = {Request.BATCH_ACK_MESSAGE: answer}
    async with peer(said) as broker, asyncio.timeout(20):
        cluster = Cluster(Door(), [Address("127.0.0.1", 1)])
        yield Acceptances(cluster), lent(broker)
        await cluster.close()


def lent(broker: Address, ends_in: float = 30.0) -> Loan:
    record = Record("t", 0, 7, 900, 0, 1, 2, 0, 0, b"", {}, "7F000001")
    share = Share(Broker("a", broker), "t", "g")
    return Loan(Taken(record, HANDLE, 1), share, asyncio.get_running_loop().time() + ends_in)


async def test_a_broker_that_is_busy_is_told_until_it_has_heard() -> None:
    broker = Told(Frame(Response.SYSTEM_BUSY), Frame(Response.SUCCESS))
    async with accepting(broker.answer) as (acceptances, loan):
        acceptances.put(loan)
        await acceptances.finish(5)
        assert broker.heard.qsize() == 2


async def test_what_ended_while_the_broker_was_away_is_told_all_the_same() -> None:
    broker = Told(Frame(Response.SYSTEM_BUSY), Frame(Response.SUCCESS))
    async with accepting(broker.answer) as (acceptances, loan):
        loan.ends_at = 0.0
        acceptances.put(loan)
        await acceptances.finish(5)
        assert broker.heard.qsize() == 2


async def test_a_broker_that_does_not_want_to_hear_is_let_be_and_somebody_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Told(Frame(Response.TOPIC_NOT_EXIST, remark="topic[t] not exist"))
    async with accepting(broker.answer) as (acceptances, loan):
        acceptances.put(loan)
        await acceptances.finish(5)
        assert broker.heard.qsize() == 1
    assert "a hands out again what was accepted of t" in caplog.text
    assert "topic[t] not exist" in caplog.text


async def test_what_is_lent_for_longer_just_now_is_accepted_as_it_is_then() -> None:
    broker = Told(Frame(Response.SUCCESS))
    async with accepting(broker.answer) as (acceptances, loan):
        loan.renewing = renewing = asyncio.get_running_loop().create_future()
        acceptances.put(loan)
        finishing = asyncio.create_task(acceptances.finish(10))
        done, _ = await asyncio.wait([finishing], timeout=0.05)
        assert not done
        assert broker.heard.empty()
        loan.handle, loan.renewing = HANDLE._replace(popped=2000), None
        renewing.set_result(None)
        await finishing
        assert [broker.heard.get_nowait(), broker.heard.empty()] == [2000, True]


async def test_an_end_is_not_held_up_by_who_does_not_answer() -> None:
    async def nothing(_: Frame) -> None:
        await asyncio.Event().wait()

    async with accepting(nothing) as (acceptances, loan):
        acceptances.put(loan)
        begin = asyncio.get_running_loop().time()
        await acceptances.finish(0.1)
        assert asyncio.get_running_loop().time() - begin < 2
