"""The name servers, which know where brokers and topics are: each is as good as the others."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Connection, Door
from msgkit_rocketmq.client.connections import Connections
from msgkit_rocketmq.client.errors import ClientError, NotWritten, Refused, Unanswered, Unfit, Unreadable
from msgkit_rocketmq.client.frames import Frame, Value, checked
from msgkit_rocketmq.client.routes import Route, masters_in, route_in

__all__ = ["Names"]

T = TypeVar("T")

_NOTHING: Mapping[str, Value] = MappingProxyType({})


class Names:
    def __init__(self, door: Door, servers: Sequence[Address]) -> None:
        self._servers = servers
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(door, _greet, on_request=_leave_it, on_lost=_forget)

    async def ask(self, request: Request, fields: Mapping[str, Value], within: float) -> Frame:
        """Return what the first of them answers that answers at all.

        :raises NotWritten: when nobody does; `Unfit`, when it would not help to ask again
        :raises Refused: when the answer is no
        """
        return await self._first(request, fields, within, lambda answer: answer)

    async def tell(self, request: Request, fields: Mapping[str, Value], within: float) -> None:
        """Have each of them do something that is there.

        :raises NotWritten: when none is
        :raises Refused: when one says no
        """
        deadline = self._loop.time() + within
        asked = (self._ask(each, request, fields, deadline) for each in self._servers)
        failed = [each for each in await asyncio.gather(*asked, return_exceptions=True) if not isinstance(each, Frame)]
        lasting = [each for each in failed if not isinstance(each, NotWritten | Unanswered)]
        if lasting or len(failed) == len(self._servers):
            raise (lasting or failed)[0]

    async def route(self, topic: str, within: float) -> Route:
        """Return where a topic is.

        :raises Refused: with `TOPIC_NOT_EXIST`, when there is none
        :raises NotWritten: when nobody knows
        """
        try:
            return await self._first(
                Request.GET_ROUTEINFO_BY_TOPIC, {"topic": topic}, within, lambda answer: route_in(topic, answer.body)
            )
        except Refused as error:
            if error.code == Response.TOPIC_NOT_EXIST:
                # Where no broker is known, nobody knows of topics either.
                await self.masters(within)
            raise

    async def masters(self, within: float) -> Mapping[str, Address]:
        """Return where the master of each broker is; there is one at least.

        :raises NotWritten: when nobody knows
        """
        return await self._first(Request.GET_BROKER_CLUSTER_INFO, _NOTHING, within, self._some_masters)

    def _some_masters(self, answer: Frame) -> Mapping[str, Address]:
        found = masters_in(answer.body)
        if not found:
            where = ", ".join(map(str, self._servers))
            raise NotWritten(f"no broker is registered with the name server {where}: does its namesrvAddr lead there?")
        return found

    async def _first(
        self, request: Request, fields: Mapping[str, Value], within: float, read: Callable[[Frame], T]
    ) -> T:
        """Return what the first of them says that knows.

        One that has just started does not know yet what there is: so nothing is missing unless all of them say so.
        """
        failed: list[ClientError] = []
        for server, deadline in self._turns(within):
            try:
                return read(await self._ask(server, request, fields, deadline))
            except Refused as error:
                if error.code != Response.TOPIC_NOT_EXIST:
                    raise
                failed.append(error)
            except (NotWritten, Unanswered, Unreadable) as error:
                failed.append(error)
        raise _told(failed)

    def _turns(self, within: float) -> Iterator[tuple[Address, float]]:
        """Yield them, connected ones first, and until when each may take: of the time that is left an equal share."""
        end = self._loop.time() + within
        order = sorted(self._servers, key=lambda each: self._connections.connected(each) is None)
        for left, server in zip(range(len(order), 0, -1), order, strict=True):
            now = self._loop.time()
            yield server, now + (end - now) / left

    async def _ask(self, server: Address, request: Request, fields: Mapping[str, Value], deadline: float) -> Frame:
        connection = await self._connections.to(server, deadline)
        return checked(await connection.ask(request, fields, b"", deadline))

    async def close(self) -> None:
        await self._connections.close()


def _told(failed: Sequence[ClientError]) -> ClientError:
    """Return what is to be told when none of them knew."""
    for each in failed:
        if isinstance(each, Refused):
            return each
    told = "; ".join(dict.fromkeys(map(str, failed)))
    return Unfit(told) if all(isinstance(each, Unfit) for each in failed) else NotWritten(told)


async def _greet(connection: Connection, deadline: float) -> None:
    found = await connection.ask(Request.GET_BROKER_CLUSTER_INFO, _NOTHING, b"", deadline)
    if found.code == Response.REQUEST_CODE_NOT_SUPPORTED:
        msg = f"what answers at {connection.address} is a broker; name servers listen at port 9876, as a rule"
        raise Unfit(msg)


def _leave_it(connection: Connection, asked: Frame) -> None:
    """Leave a question alone; name servers ask none."""


def _forget(connection: Connection) -> None:
    """Leave a loss alone; the next question shows it."""
