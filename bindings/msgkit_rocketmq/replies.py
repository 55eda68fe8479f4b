"""Answers: a broker brings each to the client that asked, and says when that is gone."""

import asyncio
from asyncio import Future, Task
from collections.abc import Callable

from msgkit.clock import Clock
from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import Closed, MessagingError, SendUnknown, Unroutable
from msgkit.reaching import Address
from msgkit.spi.pauses import pause
from msgkit_rocketmq.client import brokers
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import ClientError, Refused
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.properties import escaped
from msgkit_rocketmq.client.records import Record
from msgkit_rocketmq.client.replying import Answer, Asker, answer, answered, reply_topic
from msgkit_rocketmq.client.sending import GROUP, Outgoing
from msgkit_rocketmq.mapping import Addressee, client_address, client_of, encoded, understood
from msgkit_rocketmq.outcomes import failure, helps_to_try

__all__ = ["Replies"]

#: Milliseconds, which only say to a broker how long somebody waits of whom it is not known.
_PATIENCE = 60_000
_GONE = frozenset({Response.SYSTEM_ERROR, Response.TOPIC_NOT_EXIST})


class Replies:
    """Answers that come to one client, and those that it sends."""

    def __init__(self, broker: str, clock: Clock, cluster: Cluster, *, within: float) -> None:
        self._broker = broker
        self._clock = clock
        self._cluster = cluster
        self._within = within
        self._loop = asyncio.get_running_loop()
        self._on_reply: Callable[[Envelope], None] = _nobody
        self._address: str | None = None
        self._sending: dict[Task[Receipt], Future[Receipt]] = {}

    async def listen(self, on_reply: Callable[[Envelope], None]) -> str:
        """Return where answers for this client are to be sent.

        :raises ClientError: when brokers cannot be told that it waits for them
        """
        if self._address is None:
            presence = self._cluster.presence
            self._on_reply = on_reply
            self._cluster.on(Request.PUSH_REPLY_MESSAGE_TO_CLIENT, self._came)
            await presence.produce(GROUP)
            first, *_ = await brokers.masters(self._cluster)
            self._address = client_address((await brokers.settings(self._cluster, first)).cluster, presence.client)
        return self._address

    async def _came(self, _: Address, brought: Frame) -> None:
        found = answered(brought)
        addressee = Addressee(Kind.REPLY, self._address or "")
        self._on_reply(understood(self._record(found), addressee)._replace(reply_to=None))

    def _record(self, found: Answer) -> Record:
        now = int(self._clock.now() * 1000)
        return Record("", 0, 0, 0, 0, now, now, 0, 0, found.body, dict(found.properties), "")

    # -- the other side

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        """Bring an answer to who asked; see `Binding.send`."""
        future: Future[Receipt] = self._loop.create_future()
        task = self._loop.create_task(self._send(envelope))
        self._sending[task] = future
        task.add_done_callback(self._sent)
        return future

    def _sent(self, task: Task[Receipt]) -> None:
        future = self._sending.pop(task)
        error = SendUnknown("the connection was closed") if task.cancelled() else task.exception()
        if future.done():
            return
        if error is None:
            future.set_result(task.result())
        else:
            future.set_exception(error)

    async def _send(self, envelope: Envelope) -> Receipt:
        whom = client_of(envelope.destination)
        if whom is None:
            raise Unroutable(f"{envelope.destination!r} is no address of a client of RocketMQ")
        cluster, client = whom
        asker = Asker(client, escaped(envelope.correlation_id or ""), str(_PATIENCE), reply_topic(cluster))
        message = encoded(envelope._replace(correlation_id=None))
        until, failures = self._loop.time() + self._within, 0
        while True:
            try:
                return await self._brought(envelope, asker, message)
            except ClientError as error:
                failures += 1
                if not helps_to_try(error) or self._loop.time() >= until:
                    raise _failure(envelope, error) from error
            await asyncio.sleep(pause(failures))

    async def _brought(self, envelope: Envelope, asker: Asker, message: Outgoing) -> Receipt:
        """Have the first broker bring it that knows the asker: after a while each does."""
        route = await self._cluster.route(asker.topic)
        places = {place.broker: place for place in reversed(route.to_write)}
        for place in places.values():
            try:
                await answer(self._cluster, place, asker, message, within=self._within)
            except Refused as error:
                if error.code != Response.SYSTEM_ERROR:
                    raise
            else:
                return Receipt(envelope.message_id, envelope.destination, self._broker)
        raise Refused(Response.SYSTEM_ERROR, f"nobody is there any more to whom {envelope.destination!r} belongs")

    async def close(self) -> None:
        tasks = tuple(self._sending)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _nobody(_: Envelope) -> None:
    raise Closed("nobody waits for answers")


def _failure(envelope: Envelope, error: ClientError) -> MessagingError:
    if isinstance(error, Refused) and error.code in _GONE:
        return Unroutable(f"answer {envelope.message_id}: {error}")
    return failure(envelope, error)
