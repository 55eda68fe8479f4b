"""How much is in a queue, where the broker takes nothing for an answer that it does not have."""

import asyncio
import time

from msgkit.errors import BrokerUnavailable
from msgkit_rabbitmq.wire import Channel

__all__ = ["ready_in"]

#: So many times in a row a queue must be said to be empty.
_SURE = 4
#: Seconds between two of them: a queue that has just been started anew was said to be empty for half a second.
_PAUSE = 0.2
#: Seconds after which a broker no longer waits for the queue (0.25), and says that it is empty.
_UNHEARD = 0.2
_PATIENCE = 10.0


async def ready_in(queue: str, channel: Channel) -> int:
    """Return how many messages wait in a queue.

    :raises BrokerUnavailable: when the broker does not get to know that itself
    """
    empty, deadline = 0, time.monotonic() + _PATIENCE
    # How far it is to the broker.
    began = time.monotonic()
    await channel.qos(1)
    way = time.monotonic() - began
    while time.monotonic() < deadline:
        asked = time.monotonic()
        state = await channel.declare_queue(queue, passive=True)
        if state.is_certain:
            return state.messages
        empty = empty + 1 if time.monotonic() - asked < way + _UNHEARD else 0
        if empty == _SURE:
            return 0
        await asyncio.sleep(_PAUSE)
    raise BrokerUnavailable(
        f"RabbitMQ does not say how much is in queue {queue!r}: the node that keeps it does not answer"
    )
