"""What nobody took when it was due: sent to where it was due once more, by whoever comes up.

A node that starts may hand on what came due while it was down before it knows again who is bound to it.
"""

import asyncio
import logging
from collections import deque
from functools import partial

from msgkit.errors import BrokerUnavailable
from msgkit_rabbitmq.counting import ready_in
from msgkit_rabbitmq.delays import DUE_EXCHANGE, LOST
from msgkit_rabbitmq.reach import reached
from msgkit_rabbitmq.wire import NOT_FOUND, Channel, ChannelClosed, Connection, Delivered, MalformedTable, WireError

__all__ = ["send_home"]

_log = logging.getLogger("msgkit.rabbitmq")
#: So many at a time of those who lie there, which are the ones that came first.
_MOST = 1000
_AT_ONCE = 100
#: Seconds without any of them, after which others have them.
_SILENCE = 2.0
#: Seconds before each look: what a node hands on that has only just started may come there later, and such a node may
#: say for a while that nothing is there.
_LOOKS = (0.0, 2.0, 8.0, 20.0)


async def send_home(connection: Connection, wait: float) -> None:
    """Send on what lies there, and what comes there soon; what still finds nobody comes back.

    :param wait: seconds for which a broker that starts may be out of reach of it
    """
    try:
        for pause in _LOOKS:
            await asyncio.sleep(pause)
            if sent := await reached(partial(_sent_home, connection), wait):
                _log.warning("%d messages had found no queue when they were due, and were sent there once more", sent)
    except ChannelClosed as error:
        # Nobody has delayed anything here yet, or this is not ours to do.
        _log.log(logging.DEBUG if error.code == NOT_FOUND else logging.WARNING, "%r is left alone: %s", LOST, error)
    except (BrokerUnavailable, WireError) as error:
        _log.info("%r is left alone for now: %s", LOST, error)


async def _sent_home(connection: Connection) -> int:
    channel = await connection.channel(confirms=True)
    try:
        lying = min(await ready_in(LOST, channel), _MOST)
        return await _Forwarding(channel).of(lying) if lying else 0
    finally:
        await channel.close()


class _Forwarding:
    """Each message ends here when the broker has it there."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        channel.on_confirm = self._confirmed
        channel.on_closed = self._lost
        #: The numbers of those that are not confirmed, and their tags.
        self._open: deque[tuple[int, int]] = deque()
        self._left = 0
        self._stored = 0
        self._moved = asyncio.Event()
        self._error: WireError | None = None

    async def of(self, number: int) -> int:
        """Send on the first of them; return how many were there."""
        self._left = number
        await self._channel.qos(_AT_ONCE)
        await self._channel.consume(LOST, "homeless", self._came, lambda: None)
        while self._left or self._open:
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), _SILENCE)
            except TimeoutError:
                break
            if self._error is not None:
                raise self._error
        return self._stored

    def _came(self, message: Delivered) -> None:
        # What comes beyond them goes back with the channel.
        if self._left:
            self._left -= 1
            key = message.key.encode()
            try:
                number = self._channel.publish(DUE_EXCHANGE.encode(), key, message.properties, message.body)
            except MalformedTable as error:
                _log.error("a message in %r cannot be sent on: %s", LOST, error)
            else:
                self._open.append((number, message.tag))

    def _confirmed(self, number: int, multiple: bool, stored: bool) -> None:  # noqa: FBT001 -- the channel's shape
        ended = [each for each in self._open if each[0] == number or (multiple and each[0] < number)]
        for each in ended:
            self._open.remove(each)
            if stored:
                self._stored += 1
                self._channel.ack(each[1])
        self._moved.set()

    def _lost(self, error: WireError) -> None:
        self._error = error
        self._moved.set()
