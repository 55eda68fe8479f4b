"""Applications that run in processes of their own, and may be killed there."""

import asyncio
from collections.abc import Mapping

from msgkit.application import Application
from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.settings import Settings
from msgkit.testing.conformance.handlers import Behaviour, Handler, accept, fails
from msgkit.testing.conformance.journal import Journal
from msgkit.testing.conformance.ledger import Ledger
from msgkit.topology import Queue

__all__ = ["consumer", "environment"]


def environment(
    queue: Queue[str],
    name: str,
    behave: str = "accepts",
    *,
    concurrency: int = 1,
    attempts: int = 5,
) -> dict[str, str]:
    """Return what tells `consumer` what to do; the queue must be one that is sent to directly."""
    return {
        "WRITER": name,
        "QUEUE": queue.name,
        "ORDERED": str(queue.ordered),
        "BEHAVE": behave,
        "CONCURRENCY": str(concurrency),
        "ATTEMPTS": str(attempts),
    }


def consumer(settings: Settings, env: Mapping[str, str], ledger: Ledger) -> Application:
    """Return an application that handles one queue: it accepts, hangs, or fails."""
    ordered = {"True": True, "False": False}.get(env["ORDERED"], "strict")
    queue = Queue(env["QUEUE"], str, ordered="strict" if ordered == "strict" else bool(ordered))
    handler = Handler(
        queue=queue,
        consumer=env["WRITER"],
        journal=Journal(ledger),
        retry=Backoff(int(env["ATTEMPTS"]), first=0.05),
    )
    handler.does(_BEHAVIOURS[env["BEHAVE"]], concurrency=int(env["CONCURRENCY"]))
    return Application([handler.function], settings=settings)


async def _hang(_message: Message[str]) -> None:
    await asyncio.Event().wait()


_BEHAVIOURS: Mapping[str, Behaviour] = {"accepts": accept, "hangs": _hang, "fails": fails()}
