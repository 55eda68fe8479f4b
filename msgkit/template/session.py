"""A template while it is connected: its links, and what is known of each destination."""

import asyncio
from collections import defaultdict
from typing import Any, Literal

from msgkit.brokers import Link, Links
from msgkit.clock import Clock
from msgkit.conversion import Conversion
from msgkit.converter import Converter
from msgkit.envelope import Envelope, Kind, Receipt, new_id
from msgkit.errors import ConfigurationError
from msgkit.interception import Send, SendInterceptor, around_sending
from msgkit.naming import Naming, require_topology
from msgkit.policy import GiveUp
from msgkit.settings import Settings
from msgkit.settlement import Reject
from msgkit.spi import ProvisionMode
from msgkit.template.confirming import DEFAULT_TIMEOUT, confirmed, reached
from msgkit.template.outgoing import Outgoing, check_destinations, no_destination
from msgkit.template.requesting import ERROR_HEADER, REASON_HEADER, Requester
from msgkit.topology import Destination
from msgkit.values import check_body

__all__ = ["Session"]

#: Destinations may be made on the spot, one for each tenant: what is known of them may not fill the memory.
_DESTINATIONS = 4096


class Session:
    """Everything that a template needs while it is connected; closed once, and then done with."""

    def __init__(self, settings: Settings, clock: Clock, interceptors: tuple[SendInterceptor, ...]) -> None:
        self.settings = settings
        self.clock = clock
        self.links = Links(settings, clock)
        self.naming = Naming(settings)
        self.conversion = Conversion.installed()
        self.interceptors = interceptors
        #: Who it was connected for: the template itself, an application, or both, the latter as a guest.
        self.user: Literal["template", "application", "guest"] = "template"
        self.outgoing: dict[Destination[Any], Outgoing] = {}
        self._loop = asyncio.get_running_loop()
        self._requesters: dict[str, Requester] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def refuse_other_loops(self) -> None:
        """Refuse what would wait for ever: what is connected lives on one event loop."""
        if asyncio.get_running_loop() is not self._loop:
            msg = (
                "the template is connected on another event loop; make one for each loop, and leave it there: "
                "`async with MessageTemplate() as template`"
            )
            raise ConfigurationError(msg)

    async def prepare(self, to: Destination[Any]) -> Outgoing:
        """Return a destination ready to be sent to, its broker connected."""
        return self._known(to) or await self._made(to)

    async def reach(self, to: Destination[Any], timeout: float) -> tuple[Outgoing, float]:
        """Do as `prepare` does, in the time that a message to it has; return the time that is left, too.

        :raises SendRefused: when its broker cannot be reached by then
        """
        known = self._known(to)
        return (known, timeout) if known is not None else await reached(self._made(to), str(to), timeout)

    def _known(self, to: Destination[Any]) -> Outgoing | None:
        self.refuse_other_loops()
        if not isinstance(to, Destination):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
            raise no_destination(to)
        return self.outgoing.get(to)

    async def _made(self, to: Destination[Any]) -> Outgoing:
        link = await self.link_of(to)
        made = Outgoing(to, link=link, naming=self.naming, conversion=self.conversion, clock=self.clock)
        if len(self.outgoing) >= _DESTINATIONS:
            self.outgoing.clear()
        self.outgoing[to] = made
        return made

    async def link_of(self, destination: Destination[Any]) -> Link:
        return await self.links.get(self.naming.broker(destination))

    async def send(
        self,
        outgoing: Outgoing,
        envelope: Envelope,
        timeout: float,
        written: asyncio.Event | None = None,
    ) -> Receipt:
        """Send through the interceptors; `written` is set when the message is on its way."""
        binding = outgoing.link.binding

        async def inner(envelope: Envelope) -> Receipt:
            future = outgoing.write(envelope)
            if written is not None:
                written.set()
            return future.result() if future.done() else await confirmed(binding, envelope, future, timeout)

        return await self.around(inner)(envelope)

    def around(self, inner: Send) -> Send:
        return around_sending(self.interceptors, inner) if self.interceptors else inner

    async def declare(self, destinations: tuple[Destination[Any], ...], mode: ProvisionMode | None = None) -> None:
        """Have destinations be there, with what they need: their routes' exchanges, their dead letters."""
        check_destinations(destinations, "declare()")
        for name, topology in self.naming.topologies(destinations).items():
            link = await self.links.get(name)
            require_topology(link.capabilities, topology)
            await link.declare(topology, mode)

    async def requester(self, link: Link, who: str) -> Requester:
        name = link.broker.name
        async with self._turns[name]:
            if name not in self._requesters:
                self._requesters[name] = await Requester.open(link, who)
            return self._requesters[name]

    async def answer(
        self, request: Envelope, payload: object, broker: str, converter: Converter | None = None
    ) -> Receipt:
        """Send an answer to whoever asked, written as what comes to its queue is, where that can write it.

        :raises ConfigurationError: when nobody asked for one
        :raises SendFailed: when it does not arrive
        """
        kind = type(payload)
        encoder = self.conversion.encoder(kind, converter if converter and converter.encodes(kind) else None)
        headers = {encoder.type_header: encoder.type_name} if encoder.type_header and encoder.type_name else {}
        body = encoder.encode(payload)
        check_body(body, "a reply")
        answer = self._answer(request)._replace(
            body=body, headers=headers, content_type=encoder.content_type, type=encoder.type_name
        )
        return await self._send_answer(answer, broker)

    async def answer_failure(self, request: Envelope, why: GiveUp, broker: str) -> Receipt:
        """Tell whoever asked that there will be no answer; only what a `Reject` says is told of the reason."""
        said = (why.error is None and why.reason) or ""
        kind = type(why.error).__name__ if why.error is not None else Reject.__name__
        answer = self._answer(request)._replace(headers={ERROR_HEADER: kind, REASON_HEADER: said})
        return await self._send_answer(answer, broker)

    def _answer(self, request: Envelope) -> Envelope:
        if request.reply_to is None:
            msg = f"message {request.message_id} asks for no answer: it was sent, not requested"
            raise ConfigurationError(msg)
        return Envelope(
            body=b"",
            destination=request.reply_to,
            kind=Kind.REPLY,
            message_id=new_id(),
            correlation_id=request.correlation_id or request.message_id,
            sent_at=self.clock.now(),
            expires_at=request.expires_at,
        )

    async def _send_answer(self, answer: Envelope, broker: str) -> Receipt:
        link = await self.links.get(broker)

        async def inner(envelope: Envelope) -> Receipt:
            future = link.binding.send(envelope)
            return await confirmed(link.binding, envelope, future, DEFAULT_TIMEOUT)

        return await self.around(inner)(answer)

    @property
    def late_answers(self) -> int:
        return sum(requester.late for requester in self._requesters.values())

    async def close(self, deadline: float) -> None:
        for requester in self._requesters.values():
            requester.close()
        self.outgoing.clear()
        await self.links.close(deadline)
