"""The brokers of a cluster: which there are, who leads what, and connections to them."""

import asyncio
import random
from asyncio import Task
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from msgkit.reaching import Address
from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.connection import Connection, Door
from msgkit_kafka.wire.doors import SASL_AUTHENTICATE, SASL_HANDSHAKE, Proof, Way
from msgkit_kafka.wire.errors import BrokerError, Code, LoginRefused, NotWritten, WireError, checked
from msgkit_kafka.wire.groups import FIND_COORDINATOR, FindCoordinator
from msgkit_kafka.wire.topics import METADATA, AskMetadata, Metadata, TopicState

__all__ = ["Cluster", "Credentials", "Topic"]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A", bound=tuple[Any, ...])


class Credentials(Protocol):
    """One login: what is said first, and to each challenge."""

    @property
    def mechanism(self) -> str: ...
    def first(self) -> bytes: ...
    def next(self, challenge: bytes, /) -> bytes | None: ...


class Topic:
    """What is known of one topic: of each partition its leader, or none at the moment."""

    __slots__ = ("leaders",)

    def __init__(self, state: TopicState) -> None:
        size = 1 + max((each.number for each in state.partitions), default=-1)
        self.leaders: list[int] = [-1] * size
        for each in state.partitions:
            self.leaders[each.number] = each.leader

    @property
    def size(self) -> int:
        """How many partitions it has."""
        return len(self.leaders)


class Cluster:
    """Connections are made when they are wanted, one for each broker and purpose, and made again when they are lost.

    A broker answers the questions of one connection one after the other: so what waits has a purpose of its own.
    """

    def __init__(
        self,
        door: Door,
        servers: Sequence[tuple[str, int]],
        login: Callable[[], Awaitable[Credentials | None]] | None = None,
        on_lost: Callable[[int, str, Connection], None] | None = None,
    ) -> None:
        self._door = door
        self._servers = [Address(*server) for server in servers]
        self._login = login
        #: Hears which broker was lost, and for which purpose.
        self._on_lost = on_lost
        self._nodes: dict[int, Address] = {}
        self._connections: dict[tuple[int, str], Connection] = {}
        self._opening: dict[tuple[int, str], Task[Connection]] = {}
        self._controller = -1
        self._closed = False
        self.cluster: str | None = None
        #: What was last heard of the topics that somebody asked for.
        self.topics: dict[str, Topic] = {}

    @property
    def nodes(self) -> Mapping[int, Address]:
        return self._nodes

    @property
    def is_closed(self) -> bool:
        """Is it of no use any more to ask again?"""
        return self._closed

    # -- connections

    def connected(self, node: int, purpose: str) -> Connection | None:
        """Return the connection if there is one now."""
        found = self._connections.get((node, purpose))
        return found if found is not None and found.is_open else None

    async def connection(self, node: int, purpose: str = "asking") -> Connection:
        """Return the connection, made if need be.

        :raises NotWritten: when the broker is not there, or nobody knows where it is
        :raises LoginRefused: when it does not want us
        """
        if (found := self.connected(node, purpose)) is not None:
            return found
        server = self._nodes.get(node)
        if server is None:
            raise NotWritten(f"broker {node} is not known")
        return await self._made(server, (node, purpose))

    async def _made(self, server: Address, at: tuple[int, str]) -> Connection:
        if self._closed:
            raise NotWritten("closed by ourselves")
        opening = self._opening.get(at)
        if opening is None:
            opening = self._opening[at] = asyncio.get_running_loop().create_task(self._open(server, at))
            opening.add_done_callback(lambda _: self._opening.pop(at, None))
        await asyncio.wait([opening])
        if opening.cancelled():
            raise NotWritten("closed by ourselves")
        return opening.result()

    async def _open(self, server: Address, at: tuple[int, str]) -> Connection:
        def lost(connection: Connection) -> None:
            if self._connections.get(at) is connection:
                del self._connections[at]
                if self._on_lost is not None:
                    self._on_lost(*at, connection)

        connection = await Connection.open(*server, self._door, lost)
        try:
            if self._login is not None and (credentials := await self._login()) is not None:
                await self._log_in(connection, credentials, server)
        except BaseException as error:
            connection.abort(str(error))
            raise
        self._connections[at] = connection
        return connection

    async def _log_in(self, connection: Connection, credentials: Credentials, server: Address) -> None:
        ways = await connection.ask(SASL_HANDSHAKE, Way(credentials.mechanism))
        if ways.error == Code.UNSUPPORTED_SASL_MECHANISM:
            offered = ", ".join(ways.mechanisms) or "none"
            raise LoginRefused(f"Kafka at {server} does not offer {credentials.mechanism}, but {offered}")
        if ways.error == Code.ILLEGAL_SASL_STATE:
            raise LoginRefused(f"Kafka at {server} asks nobody for a login there: take another port, or say none")
        checked(ways.error)
        said: bytes | None = credentials.first()
        while said is not None:
            verdict = await connection.ask(SASL_AUTHENTICATE, Proof(said))
            if verdict.error == Code.SASL_AUTHENTICATION_FAILED:
                raise LoginRefused(f"Kafka at {server} refuses the user or the password: {verdict.text}")
            checked(verdict.error, verdict.text)
            said = credentials.next(bytes(verdict.data))

    # -- asking

    async def ask(
        self, node: int, api: Api[Q, A], question: Q, *, purpose: str = "asking", patience: float | None = 0.0
    ) -> A:
        connection = await self.connection(node, purpose)
        return await connection.ask(api, question, patience=patience)

    async def ask_any(self, api: Api[Q, A], question: Q) -> A:
        """Ask whoever answers.

        :raises NotWritten: when nobody does
        """
        places = [*self._nodes, *range(-1, -1 - len(self._servers), -1)]
        connected = [place for place in places if self.connected(place, "asking") is not None]
        others = [place for place in places if place not in connected]
        random.shuffle(connected)
        why: list[str] = []
        for place in (*connected, *others):
            try:
                connection = await self._at(place)
                return await connection.ask(api, question)
            except BrokerError:
                raise
            except WireError as error:
                if isinstance(error, LoginRefused) and place < 0:
                    raise
                why.append(str(error))
        raise NotWritten("; ".join(dict.fromkeys(why)))

    async def _at(self, place: int) -> Connection:
        if place >= 0:
            return await self.connection(place)
        if (found := self.connected(place, "asking")) is not None:
            return found
        return await self._made(self._servers[-1 - place], (place, "asking"))

    async def refresh(self, topics: Sequence[str]) -> Metadata:
        """Ask which brokers there are, and who leads these topics.

        :raises NotWritten: when nobody answers
        """
        found = await self.ask_any(METADATA, AskMetadata(topics))
        if found.nodes:
            self._nodes = {each.number: Address(each.host, each.port) for each in found.nodes}
            self._controller, self.cluster = found.controller, found.cluster
        for each in found.topics:
            if each.error == Code.NONE:
                self.topics[each.name] = Topic(each)
            elif each.error == Code.UNKNOWN_TOPIC_OR_PARTITION:
                self.topics.pop(each.name, None)
        return found

    async def ask_controller(self, api: Api[Q, A], question: Q, *, patience: float = 0.0) -> A:
        """Ask the one that changes what there is."""
        if self._controller not in self._nodes:
            await self.refresh([])
        return await self.ask(self._controller, api, question, patience=patience)

    async def coordinator(self, name: str, kind: int) -> int:
        """Return who coordinates a group, or a transaction.

        :raises BrokerError: when that is nobody at the moment
        """
        found = await self.ask_any(FIND_COORDINATOR, FindCoordinator(name, kind))
        checked(found.error, found.text)
        self._nodes.setdefault(found.node, Address(found.host, found.port))
        return found.node

    # -- the end

    async def done_with(self, purpose: str) -> None:
        """Close the connections that were for one purpose only."""
        for at in [at for at in self._opening if at[1] == purpose]:
            self._opening[at].cancel()
        done = [self._connections.pop(at) for at in list(self._connections) if at[1] == purpose]
        await asyncio.gather(*(each.close() for each in done))

    async def close(self) -> None:
        self._closed = True
        opening = tuple(self._opening.values())
        for each in opening:
            each.cancel()
        connections, self._connections = self._connections, {}
        await asyncio.gather(*(each.close() for each in connections.values()))
        await asyncio.gather(*opening, return_exceptions=True)
