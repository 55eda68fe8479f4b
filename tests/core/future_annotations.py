"""Listeners whose annotations are text until they are read."""

from __future__ import annotations

from typing import Annotated

from msgkit import Header, Message, Queue, listener
from tests.core.workshop import Order

__all__ = ["seen", "take", "take_in_a_thread"]

seen: list[object] = []


@listener(Queue("later-async", Order))
async def take(message: Message[Order], trace: Annotated[str, Header("x-trace")] = "-") -> None:
    seen.append((message.payload, trace))


@listener(Queue("later-sync", Order))
def take_in_a_thread(message: Message[Order], count: Annotated[int | None, Header] = None) -> None:
    seen.append((message.payload, count))
