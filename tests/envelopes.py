"""Envelopes that each binding writes in its broker's form and reads again: one that says all, one that says little."""

from msgkit.envelope import Envelope, Kind

__all__ = ["JOB", "NOW", "ORDER"]

NOW = 1_715_947_200.2509
ORDER = Envelope(
    body=b'{"total": 3}',
    destination="orders",
    kind=Kind.EXCHANGE,
    message_id="m-1",
    headers={"trace": "abc", "größe": "zwölf"},
    key="customer-7",
    subject="placed.eu",
    content_type="application/json",
    type="OrderPlaced",
    sent_at=1_715_947_200.125461,
    correlation_id="c-1",
    reply_to="answers",
    attempt=3,
    expires_at=1_715_947_260.5,
    priority=4,
)
JOB = Envelope(b"", "jobs", Kind.QUEUE, "m-2", sent_at=NOW)
