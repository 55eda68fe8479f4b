"""Doing what must not end half done."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["to_the_end"]

_log = logging.getLogger("msgkit.kafka")


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it, however often whoever waits for it is cancelled: he is when it is done, because of what it failed with."""
    doing = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        failure = None if doing.cancelled() else doing.exception()
        if failure is not None:
            _log.warning("what nobody waits for any more failed: %s", failure)
        raise cancelled from failure
    doing.result()
