"""Sending, with what came of it written down."""

from collections.abc import Callable, Iterable
from typing import Any

from msgkit.errors import SendRefused
from msgkit.message import Message
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import content_of
from msgkit.testing.conformance.journal import Journal
from msgkit.testing.conformance.ledger.records import Outcome
from msgkit.testing.conformance.routing import expiry, routed
from msgkit.topology import Destination, Queue

__all__ = ["send_recorded"]


async def send_recorded(
    to: Destination[Any],
    message: Message[str] | Message[bytes],
    *,
    via: MessageTemplate,
    journal: Journal,
    queues: Iterable[Queue[Any]],
    sender: str,
    poison: bool = False,
) -> None:
    """Send a message that `queues` may be routed to; raises what the template raises."""
    with journal.writing() as ledger:
        now = journal.now()
        ledger.attempt(
            message.id,
            to.name,
            content_of(message),
            queues=routed(to, message, queues),
            at=now,
            sender=sender,
            poison=poison,
            **expiry(message, now),
        )
    outcome: Outcome = "unknown"
    try:
        await via.send(to, message)
        outcome = "confirmed"
    except SendRefused:
        outcome = "refused"
        raise
    finally:
        with journal.writing() as ledger:
            note: Callable[[str], None] = getattr(ledger, outcome)
            note(message.id)
