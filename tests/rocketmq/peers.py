"""Name servers and brokers that say what a test has them say."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.frames import Frame, decode, encode
from tests.serving import Peer, served

__all__ = ["NO_TOPIC", "Said", "answered", "answering", "asked", "cluster_of", "peer", "route_to"]

#: What is said to one request: an answer, or what becomes one; None says nothing.
Said = Frame | Callable[[Frame], Awaitable[Frame | None]]
NO_TOPIC = Frame(Response.TOPIC_NOT_EXIST, remark="No topic route info in name server for the topic")
_UNKNOWN = Frame(Response.REQUEST_CODE_NOT_SUPPORTED, remark="not supported")


async def asked(reader: StreamReader) -> Frame:
    """Return what comes next."""
    return decode(await reader.readexactly(int.from_bytes(await reader.readexactly(4))))


def answered(to: Frame, answer: Frame) -> bytes:
    return encode(answer._replace(opaque=to.opaque, is_response=True, language="JAVA"))


def answering(said: Mapping[Request, Said]) -> Peer:
    """Return a peer that answers each as it is said, in its own time; a heartbeat is answered in any case."""
    known: dict[int, Said] = {Request.HEART_BEAT: Frame(Response.SUCCESS)}
    known.update((int(request), answer) for request, answer in said.items())

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(_answer(await asked(reader), writer, known))

    return serve


async def _answer(question: Frame, writer: StreamWriter, known: Mapping[int, Said]) -> None:
    said = known.get(question.code, _UNKNOWN)
    answer = said if isinstance(said, Frame) else await said(question)
    if answer is not None and not question.is_oneway:
        writer.write(answered(question, answer))


@asynccontextmanager
async def peer(said: Mapping[Request, Said] | Peer) -> AsyncGenerator[Address]:
    """Serve so, at the address that is yielded."""
    async with served(said if callable(said) else answering(said)) as port:
        yield Address("127.0.0.1", port)


def cluster_of(**masters: Address) -> Frame:
    """Return what a name server says that knows these brokers."""
    table = {name: {"brokerName": name, "brokerAddrs": {"0": str(at)}} for name, at in masters.items()}
    return Frame(Response.SUCCESS, body=json.dumps({"brokerAddrTable": table}).encode())


def route_to(**masters: Address) -> Frame:
    """Return what a name server says of a topic that has one queue at each of these brokers."""
    brokers = [{"brokerName": name, "brokerAddrs": {"0": str(at)}} for name, at in masters.items()]
    queues = [{"brokerName": name, "perm": 6, "readQueueNums": 1, "writeQueueNums": 1} for name in masters]
    return Frame(Response.SUCCESS, body=json.dumps({"brokerDatas": brokers, "queueDatas": queues}).encode())
