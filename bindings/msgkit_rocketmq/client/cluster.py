"""The brokers of a cluster: where topics are, and what is asked of whom."""

from collections.abc import Awaitable, Callable, Container, Mapping
from types import MappingProxyType

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.frames import Frame, Value
from msgkit_rocketmq.client.routes import Route

__all__ = ["Cluster", "Handler"]

#: Is given the address of a broker, and what that asks.
Handler = Callable[[Address, Frame], Awaitable[None]]
_NOTHING: Mapping[str, Value] = MappingProxyType({})
#: Seconds for what the broker answers at once.
_WITHIN = 5.0


class Cluster:
    """Connections are made when they are wanted, one for each broker, and made again when they are lost."""

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
        raise NotImplementedError

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
        raise NotImplementedError

    def on(self, request: Request, handler: Handler) -> None:
        """Have a handler do what brokers ask. When it returns, they hear that it is done."""
        raise NotImplementedError

    # -- name servers

    async def ask_names(
        self, request: Request, fields: Mapping[str, Value] = _NOTHING, *, within: float = _WITHIN
    ) -> Frame:
        """Return what the first of the name servers answers that answers at all.

        :raises NotWritten: when nobody does
        :raises Refused: when the answer is no
        """
        raise NotImplementedError

    async def tell_names(
        self, request: Request, fields: Mapping[str, Value] = _NOTHING, *, within: float = _WITHIN
    ) -> None:
        """Have every name server do something.

        :raises NotWritten: when one is not there
        :raises Refused: when one says no
        """
        raise NotImplementedError

    async def route(self, topic: str, *, fresh: bool = False) -> Route:
        """Return where a topic is: as it was heard last, unless that has been found wrong since, or is too old.

        :param fresh: whether to ask in any case
        :raises Refused: with `TOPIC_NOT_EXIST`, when there is none
        :raises NotWritten: when nobody knows
        """
        raise NotImplementedError

    async def masters(self, *, fresh: bool = False) -> Mapping[str, Address]:
        """Return where the master of each broker is, by the broker's name; there is one at least.

        :raises NotWritten: when nobody knows
        """
        raise NotImplementedError
