"""Messages as deliveries: what the core is handed, and what is kept of where it came from."""

from msgkit.envelope import Envelope, Kind, new_id
from msgkit.errors import DeliveryLost, TopologyMismatch
from msgkit.spi import RawDelivery
from msgkit.spi.returns import Returns
from msgkit_rabbitmq.mapping import Taken, understood
from msgkit_rabbitmq.wire import (
    NOT_FOUND,
    Channel,
    ChannelClosed,
    Connection,
    ConnectionLost,
    Delivered,
    MalformedTable,
    Properties,
    decode_properties,
)

__all__ = ["Handle", "channel_to", "id_of", "opened", "taken", "taken_back"]

_WORN = 4
#: Whoever leaves an ordered queue gives back what it holds as it is, which others cannot tell from a crash; in a
#: deployment that happens as often as there are processes. So it takes more of them for one crash.
_HANDOVERS = 5


async def channel_to(queue: str, connection: Connection) -> Channel:
    """Return a channel for a queue that is there.

    :raises TopologyMismatch: when it does not exist
    :raises OutOfReach: when it exists, and is not served
    """
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, passive=True)
    except ChannelClosed as error:
        if error.code == NOT_FOUND:
            raise TopologyMismatch(f"queue {queue!r} does not exist") from error
        raise
    except BaseException:
        channel.leave()
        raise
    if not channel.is_open:
        raise ConnectionLost("the channel was lost before it was used")
    return channel


class Handle:
    """Where a delivery came from, and how it is settled."""

    __slots__ = ("is_worn", "place", "properties", "scope", "size", "tag")

    def __init__(self, scope: object, tag: int, properties: Properties, size: int, *, is_worn: bool) -> None:
        self.scope = scope
        self.tag = tag
        #: Was it given back so often that the broker's count would soon speak against it?
        self.is_worn = is_worn
        self.properties = properties
        self.size = size
        #: Where it stands among all that its consumer hands out.
        self.place = 0


def taken(
    message: Delivered, queue: str, scope: object, returns: Returns, *, ordered: bool
) -> tuple[RawDelivery, Handle]:
    """Return a message as the core is handed it."""
    envelope, properties, returned = opened(message, queue)
    crashes = max(0, returned - returns.count(queue, envelope.message_id)) if returned else 0
    crashes = crashes // _HANDOVERS if ordered else crashes
    handle = Handle(scope, message.tag, properties, len(message.body), is_worn=returned >= _WORN)
    return RawDelivery(envelope, envelope.attempt, crashes, envelope.key, scope, handle), handle


def opened(message: Delivered, queue: str) -> Taken:
    """Return what is in a message: its bytes alone, where no more can be read."""
    try:
        return understood(message, queue)
    except MalformedTable:
        # The bytes are handled, or are poison; either way they are not lost.
        return Taken(Envelope(message.body, queue, Kind.QUEUE, new_id()), Properties(), returned=0)


def id_of(message: Delivered) -> str:
    try:
        return decode_properties(message.properties).message_id or ""
    except MalformedTable:
        return ""


def taken_back(delivery: RawDelivery) -> DeliveryLost:
    return DeliveryLost(f"message {delivery.envelope.message_id} was taken back by the broker")
