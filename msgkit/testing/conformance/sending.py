"""Sending, with what came of it written down."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

from msgkit.errors import SendRefused, SendUnknown
from msgkit.message import Message, SendOptions
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import content_of
from msgkit.testing.conformance.journal import Journal
from msgkit.testing.conformance.ledger.records import Outcome
from msgkit.testing.conformance.routing import expiry, routed
from msgkit.topology import Destination, Queue

__all__ = ["Sending"]


class _How(TypedDict, total=False):
    via: MessageTemplate | None
    sender: str
    poison: bool


class Sending:
    """Sends over a template of its own, or over another.

    A message is expected at the queues that are declared when it is sent.
    """

    journal: Journal
    #: What everything is sent with.
    sender: MessageTemplate

    def __init__(self) -> None:
        self.declared: dict[str, Queue[Any]] = {}

    async def send(
        self,
        to: Destination[str],
        payload: str,
        /,
        *,
        via: MessageTemplate | None = None,
        sender: str = "lab",
        **options: Unpack[SendOptions],
    ) -> Message[str]:
        """Send and record; raises what the template raises.

        Order is judged among the messages of one `sender`.
        """
        message = Message(payload, **options)
        await self._send(to, message, via=via, sender=sender)
        return message

    async def send_all(self, to: Destination[str], payloads: Sequence[str], /, **options: Unpack[SendOptions]) -> None:
        """Send one after the other."""
        for payload in payloads:
            await self.send(to, payload, **options)

    async def send_poison(self, to: Queue[str], body: bytes, /, **options: Unpack[SendOptions]) -> Message[bytes]:
        """Send bytes that no handler of text can be given, and record them as such."""
        message = Message(body, **options)
        await self._send(Queue(to.name, bytes), message, poison=True)
        return message

    async def offer(
        self,
        to: Destination[str],
        payload: str,
        /,
        *,
        sender: str = "lab",
        **options: Unpack[SendOptions],
    ) -> Outcome:
        """Send and record, and return what came of it."""
        try:
            await self.send(to, payload, sender=sender, **options)
        except SendRefused:
            return "refused"
        except SendUnknown:
            return "unknown"
        return "confirmed"

    async def _send(self, to: Destination[Any], message: Message[str] | Message[bytes], **how: Unpack[_How]) -> None:
        self._attempt(to, message, how)
        outcome: Outcome = "unknown"
        try:
            await (how.get("via") or self.sender).send(to, message, **_timeout(message))
            outcome = "confirmed"
        except SendRefused:
            outcome = "refused"
            raise
        finally:
            with self.journal.writing() as ledger:
                note: Callable[[str], None] = getattr(ledger, outcome)
                note(message.id)

    def _attempt(self, to: Destination[Any], message: Message[str] | Message[bytes], how: _How) -> None:
        with self.journal.writing() as ledger:
            now = self.journal.now()
            terms = expiry(message, now)
            terms["sender"] = how.get("sender", "lab")
            terms["poison"] = how.get("poison", False)
            queues = routed(to, message, self.declared.values())
            ledger.attempt(message.id, to.name, content_of(message), queues=queues, at=now, **terms)


def _timeout(message: Message[str] | Message[bytes]) -> SendOptions:
    """A message does not carry how long its sender waits."""
    options = message.options
    return SendOptions(timeout=options["timeout"]) if "timeout" in options else SendOptions()
