"""The brokers of a cluster: where topics are, and what is asked of whom."""

import asyncio
import os
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from secrets import token_hex
from types import MappingProxyType

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Connection, Door
from msgkit_rocketmq.client.connections import Connections
from msgkit_rocketmq.client.errors import NotWritten, Refused, TooOld, Unanswered, Unfit
from msgkit_rocketmq.client.frames import Frame, Value, checked
from msgkit_rocketmq.client.incoming import Handler, Incoming
from msgkit_rocketmq.client.names import Names
from msgkit_rocketmq.client.presence import Presence
from msgkit_rocketmq.client.routes import Route
from msgkit_rocketmq.client.routing import Routing

__all__ = ["Cluster"]

_NOTHING: Mapping[str, Value] = MappingProxyType({})
#: Seconds for what is answered at once.
_WITHIN = 5.0
#: What RocketMQ 5.0.0 calls its version.
_OLDEST = 413
_ADVERTISED = "; brokers are where they say that they are, by brokerIP1 in their settings"
#: Answers of a broker that is not, or not any more, who it was taken for.
_ELSEWHERE = frozenset(
    {
        Response.NO_PERMISSION,
        Response.NOT_LEADER_FOR_QUEUE,
        Response.SERVICE_NOT_AVAILABLE,
        Response.TOPIC_NOT_EXIST,
    }
)


class Cluster:
    """Connections are made when they are wanted, one for each broker, and made again when they are lost.

    Each broker that is connected knows who we are, and is asked time and again whether it is still there.
    """

    def __init__(
        self,
        door: Door,
        names: Sequence[Address],
        *,
        client: str | None = None,
        on_lost: Callable[[Address, str], None] | None = None,
    ) -> None:
        """Know the name servers; nobody is asked yet.

        :param client: what brokers are to know us by; nobody else may have the same
        :param on_lost: hears the address of each broker whose connection is lost, and why
        """
        self._door = door
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._names = Names(door, names)
        self._routing = Routing(self._names)
        self._incoming = Incoming()
        self._brokers = Connections(
            door, self._greet, on_request=self._incoming.take, on_lost=self._lost, hint=_ADVERTISED
        )
        self.presence = Presence(
            client or f"{os.getpid()}@{token_hex(8)}", self._ask_known, self._everybody, every=door.timeout / 2
        )

    # -- brokers

    async def ask(
        self,
        address: Address,
        request: Request,
        fields: Mapping[str, Value] = _NOTHING,
        body: bytes = b"",
        *,
        within: float = _WITHIN,
        accepts: Container[int] = (),
    ) -> Frame:
        """Return what a broker answers.

        :param within: seconds for all of it, a connection included
        :param accepts: answers that are none of a failure, beside `SUCCESS`
        :raises NotWritten: when there was no connection, `Unfit` if there will never be any
        :raises Unanswered: when it left, and no answer came
        :raises Refused: when the answer is no
        """
        deadline = self._loop.time() + within
        try:
            connection = self._brokers.connected(address) or await self._brokers.to(address, deadline)
            return checked(await connection.ask(request, fields, body, deadline), accepts)
        except (NotWritten, Unanswered):
            self._routing.doubt(address)
            raise
        except Refused as error:
            if error.code in _ELSEWHERE:
                self._routing.doubt(address)
            raise

    async def tell(
        self,
        address: Address,
        request: Request,
        fields: Mapping[str, Value] = _NOTHING,
        body: bytes = b"",
        *,
        within: float = _WITHIN,
    ) -> None:
        """Return when it is written; no answer comes.

        :raises NotWritten: when there was no connection
        """
        deadline = self._loop.time() + within
        connection = await self._brokers.to(address, deadline)
        await connection.tell(request, fields, body, deadline)

    def on(self, request: Request, handler: Handler) -> None:
        """Have a handler do what brokers ask. When it returns, they hear that it is done."""
        self._incoming.on(request, handler)

    async def version(self, address: Address, *, within: float = _WITHIN) -> int:
        """Return what a broker calls its version: a number that grows.

        :raises NotWritten: when there is no connection
        """
        return (await self._brokers.to(address, self._loop.time() + within)).version

    # -- name servers

    async def ask_names(
        self, request: Request, fields: Mapping[str, Value] = _NOTHING, *, within: float = _WITHIN
    ) -> Frame:
        """Return what the first of the name servers answers that answers at all.

        :raises NotWritten: when nobody does; `Unfit`, when it would not help to ask again
        :raises Refused: when the answer is no
        """
        return await self._names.ask(request, fields, within)

    async def tell_names(
        self, request: Request, fields: Mapping[str, Value] = _NOTHING, *, within: float = _WITHIN
    ) -> None:
        """Have every name server do something that is there.

        :raises NotWritten: when none is
        :raises Refused: when one says no
        """
        await self._names.tell(request, fields, within)

    async def route(self, topic: str, *, fresh: bool = False) -> Route:
        """Return where a topic is: as it was heard last, unless that has been found wrong since, or is too old.

        :param fresh: whether to ask in any case
        :raises Refused: with `TOPIC_NOT_EXIST`, when there is none
        :raises NotWritten: when nobody knows
        """
        return await self._routing.route(topic, fresh=fresh)

    async def masters(self, *, fresh: bool = False) -> Mapping[str, Address]:
        """Return where the master of each broker is, by the broker's name; there is one at least.

        :param fresh: whether to ask in any case
        :raises NotWritten: when nobody knows
        """
        return await self._routing.masters(fresh=fresh)

    # -- for the connections

    async def _greet(self, connection: Connection, deadline: float) -> None:
        self.presence.begin()
        answer = await connection.ask(Request.HEART_BEAT, _NOTHING, self.presence.said, deadline)
        if answer.code == Response.NO_PERMISSION:
            # It may be one of the groups that is not allowed; and that is for those to hear who want to belong to it.
            answer = await connection.ask(Request.HEART_BEAT, _NOTHING, self.presence.nobody, deadline)
        if answer.code == Response.NO_PERMISSION:
            raise Unfit(f"the broker at {connection.address} does not let us in: {answer.remark}")
        if answer.code == Response.REQUEST_CODE_NOT_SUPPORTED:
            raise Unfit(f"what answers at {connection.address} is no broker")
        if answer.version < _OLDEST:
            raise TooOld(f"the broker at {connection.address} is older than RocketMQ 5.0: nothing older will do")

    async def _ask_known(self, address: Address, request: Request, fields: Mapping[str, Value], body: bytes) -> Frame:
        return await self.ask(address, request, fields, body, within=self._door.timeout / 2)

    async def _everybody(self) -> Collection[Address]:
        """Return where brokers are, as far as anybody knows: name servers that have just started do not know of all."""
        connected = {each.address for each in self._brokers.open}
        try:
            return connected.union((await self.masters()).values())
        except NotWritten:
            if connected:
                return connected
            raise

    def _lost(self, connection: Connection) -> None:
        self._routing.doubt(connection.address)
        if self._on_lost is not None:
            self._on_lost(connection.address, connection.why)

    # -- the end

    async def close(self) -> None:
        """Say goodbye to the brokers that are there, and end all connections."""
        await self.presence.close([each.address for each in self._brokers.open])
        await self._incoming.close()
        await self._brokers.close()
        await self._routing.close()
        await self._names.close()
