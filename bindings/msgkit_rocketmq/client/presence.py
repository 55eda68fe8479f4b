"""How brokers know who is there: each is told time and again, and forgets who has been silent."""

import asyncio
import contextlib
import json
from asyncio import Task
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.errors import ClientError, NotWritten, Unanswered
from msgkit_rocketmq.client.frames import Value

__all__ = ["Interest", "Presence"]

#: Seconds for the brokers to hear that somebody leaves.
_FAREWELL = 1.0
#: Asks a broker.
_Ask = Callable[[Address, Request, Mapping[str, Value], bytes], Awaitable[object]]


class Interest(NamedTuple):
    """What the consumers of a group want of one topic."""

    topic: str
    expression: str = "*"
    #: "TAG" or "SQL92".
    language: str = "TAG"
    #: Of two that differ in this alone, brokers take the higher.
    version: int = 0


class Presence:
    """The groups that a client belongs to.

    Brokers ask any client of a group of producers what became of a half message, and bring answers to the client that
    asked for them. Consumers need not be known to be given messages, but others can see them then.
    """

    def __init__(
        self,
        client: str,
        ask: _Ask,
        brokers: Callable[[], Awaitable[Collection[Address]]],
        *,
        every: float,
    ) -> None:
        #: What brokers know this client by.
        self.client = client
        self._ask = ask
        self._brokers = brokers
        self._every = every
        self._producers: set[str] = set()
        self._consumers: dict[str, Sequence[Interest]] = {}
        self._telling: Task[None] | None = None

    @property
    def said(self) -> bytes:
        """What brokers are told."""
        return self._heartbeat(sorted(self._producers), self._consumers)

    @property
    def nobody(self) -> bytes:
        """What brokers are told by who belongs to no group."""
        return self._heartbeat([], {})

    def _heartbeat(self, producers: Sequence[str], consumers: Mapping[str, Sequence[Interest]]) -> bytes:
        said = {
            "clientID": self.client,
            "producerDataSet": [{"groupName": each} for each in producers],
            "consumerDataSet": [_consumers(*each) for each in consumers.items()],
        }
        return json.dumps(said, separators=(",", ":")).encode()

    def begin(self) -> None:
        """Tell from now on who is there, and so find out who is."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_always())

    async def produce(self, group: str) -> None:
        """Belong to a group of producers. Brokers that are not there now hear of it when they are.

        :raises Refused: when a broker does not allow it
        :raises NotWritten: when nobody knows which brokers there are
        """
        self._producers.add(group)
        await self._tell()

    async def consume(self, group: str, interests: Sequence[Interest]) -> None:
        """Belong to a group of consumers. Brokers that are not there now hear of it when they are.

        :raises Refused: when a broker does not allow it
        :raises NotWritten: when nobody knows which brokers there are
        """
        self._consumers[group] = interests
        await self._tell()

    async def leave(self, group: str) -> None:
        """Belong to a group no more; its name may be that of producers and of consumers.

        :raises NotWritten: when nobody knows which brokers there are
        """
        farewell = self._farewell(group)
        self._producers.discard(group)
        self._consumers.pop(group, None)
        addresses = await self._brokers()
        await self._heard(self._ask(each, Request.UNREGISTER_CLIENT, farewell, b"") for each in addresses)

    async def close(self, addresses: Sequence[Address]) -> None:
        """Leave all groups, as far as those brokers can be told."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        farewells = [self._farewell(group) for group in {*self._producers, *self._consumers}]
        asked = (self._ask(at, Request.UNREGISTER_CLIENT, each, b"") for at in addresses for each in farewells)
        with contextlib.suppress(ClientError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._heard(asked)

    def _farewell(self, group: str) -> Mapping[str, Value]:
        produces = {"producerGroup": group} if group in self._producers else {}
        consumes = {"consumerGroup": group} if group in self._consumers else {}
        return {"clientID": self.client, **produces, **consumes}

    async def _tell(self) -> None:
        said = self.said
        addresses = await self._brokers()
        await self._heard(self._ask(each, Request.HEART_BEAT, {}, said) for each in addresses)

    async def _tell_always(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            with contextlib.suppress(ClientError):
                await self._tell()

    @staticmethod
    async def _heard(asked: Iterable[Awaitable[object]]) -> None:
        """See what became of it; who is not there is told when he is back."""
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, NotWritten | Unanswered):
                raise outcome


def _consumers(group: str, interests: Sequence[Interest]) -> Mapping[str, object]:
    return {
        "groupName": group,
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
        "subscriptionDataSet": [_subscription(each) for each in interests],
        "unitMode": False,
    }


def _subscription(interest: Interest) -> Mapping[str, object]:
    by_tag = interest.language == "TAG" and interest.expression != "*"
    return {
        "topic": interest.topic,
        "subString": interest.expression,
        "expressionType": interest.language,
        "subVersion": interest.version,
        "classFilterMode": False,
        "tagsSet": [each.strip() for each in interest.expression.split("||")] if by_tag else [],
        "codeSet": [],
    }
