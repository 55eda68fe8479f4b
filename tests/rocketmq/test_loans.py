"""What is lent, and what becomes of it when a broker is asked for longer and is not heard again."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import ClientError
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.loans import Loan, Loans
from msgkit_rocketmq.returning import Returning
from tests.rocketmq.peers import answered, asked, peer
from tests.rocketmq.test_accepting import lent

LEASE = 1.0


class HangsUp:
    """A broker that hears what is asked, and hangs up."""

    def __init__(self) -> None:
        self.heard = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            question = await asked(reader)
            if question.code == Request.CHANGE_MESSAGE_INVISIBLETIME:
                self.heard += 1
                return
            writer.write(answered(question, Frame(Response.SUCCESS, version=479)))


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster(Door(), [Address("127.0.0.1", 1)])
    yield cluster
    await cluster.close()


async def test_what_a_broker_may_have_prolonged_is_not_asked_for_again_and_is_lost_when_it_ends(
    cluster: Cluster,
) -> None:
    broker, lost = HangsUp(), asyncio.Queue[Loan]()
    async with peer(broker.serve) as at, asyncio.timeout(20):
        loans = Loans(cluster, LEASE, lost.put_nowait)
        loan = lent(at, LEASE)
        loans.add(loan)
        assert await lost.get() is loan
        assert not loan.is_open
        await loans.close()
    assert broker.heard == 1


async def test_what_a_broker_may_have_prolonged_comes_back_by_itself(cluster: Cluster) -> None:
    broker, done = HangsUp(), asyncio.Queue[ClientError | None]()
    async with peer(broker.serve) as at, asyncio.timeout(20):
        loan, returning = lent(at), Returning(cluster)
        loan.is_unsure = True
        returning.put(loan, 0, done.put_nowait)
        assert await done.get() is None
        await returning.finish(1)
    assert broker.heard == 0
