"""Answers without a queue: RabbitMQ's direct reply-to, on a channel of its own."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable

from msgkit.envelope import Envelope, Kind
from msgkit_rabbitmq.mapping import REPLIES, understood
from msgkit_rabbitmq.wire import (
    Channel,
    Connection,
    Delivered,
    MalformedTable,
    Properties,
    WireError,
    decode_properties,
    encode_properties,
)

__all__ = ["listen_for_replies"]

_log = logging.getLogger("msgkit.rabbitmq")


async def listen_for_replies(connection: Connection, on_reply: Callable[[Envelope], None]) -> str:
    """Have answers given to `on_reply`, and return where they are to be sent, for as long as the connection lives.

    The broker tells that address only to who is asked. So it is asked by ourselves: a message that goes through
    a queue of ours, and comes back with the address in it. Then anybody can use it, over whatever connection.
    """
    channel = await connection.channel()
    try:
        return await _listen(channel, on_reply)
    except BaseException:
        # Who asks again gets another one.
        channel.leave()
        raise


async def _listen(channel: Channel, on_reply: Callable[[Envelope], None]) -> str:
    address: Future[str] = asyncio.get_running_loop().create_future()

    def asked(message: Delivered) -> None:
        if not address.done():
            address.set_result(decode_properties(message.properties).reply_to or "")

    def heard(message: Delivered) -> None:
        try:
            envelope = understood(message, message.key).envelope
        except MalformedTable as error:
            _log.error("an answer cannot be read: %s", error)
            return
        on_reply(envelope._replace(kind=Kind.REPLY))

    def lost(error: WireError) -> None:
        if not address.done():
            address.set_exception(error)

    channel.on_closed = lost
    await channel.consume(REPLIES, "replies", heard, _nothing, no_ack=True)
    queue = await channel.declare_queue("", durable=False, exclusive=True, auto_delete=True)
    await channel.consume(queue.name, "asked", asked, _nothing, no_ack=True)
    channel.publish(b"", queue.name.encode(), encode_properties(Properties(reply_to=REPLIES)), b"")
    found = await address
    # The queue goes with its consumer.
    await channel.cancel("asked")
    return found


def _nothing() -> None:
    return None
