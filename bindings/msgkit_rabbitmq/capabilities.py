"""What RabbitMQ keeps, by its version and by what we were told of it."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from msgkit.errors import ConfigurationError
from msgkit.spi import NATIVE, Capabilities, DelayLimits, Emulated, Order, Power, Refused, Shared, Support
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.delays import LONGEST

__all__ = ["Version", "capabilities", "version_of"]

Version = tuple[int, int]
_OLDEST: Version = (3, 10)
#: A delay is rounded up to 100 ms, and each level that it takes hands it on.
_LATENESS = 1.0
#: What is on its way in the socket when the connection is lost.
_SETTLE_WINDOW = 1.0
_LEVELS = Emulated("levels of 100 ms times a power of two, shared by all queues", "a hop for each bit of the delay")

_LOOKING = Emulated(
    "declaring passively",
    "a round trip, and half a second for a queue that is empty and has no consumers; only what is ready is counted",
)
_HISTORY = Emulated(
    "a stream beside each queue that has RabbitQueue(history=…); without it a queue forgets what was accepted",
    "every message is kept twice; what was sent to the queue itself is not kept, and what still waits in it stays",
)


def version_of(server: Mapping[str, object]) -> Version:
    """Return the broker's version.

    :raises ConfigurationError: when it is too old, or another kind of broker
    """
    product, text = server.get("product"), str(server.get("version", ""))
    numbers = [int(part) for part in text.split(".")[:2] if part.isdecimal()]
    if product != "RabbitMQ" or len(numbers) < len(_OLDEST):
        msg = f"the broker is {product or 'nothing known'} {text}, and no RabbitMQ"
        raise ConfigurationError(msg)
    version = (numbers[0], numbers[1])
    if version < _OLDEST:
        msg = f"RabbitMQ {text} is too old: delays need 3.10, where quorum queues let messages expire"
        raise ConfigurationError(msg)
    return version


def capabilities(settings: RabbitSettings) -> Capabilities:
    """Return what is kept."""
    hold = settings.consumer_timeout
    return Capabilities(
        broker="RabbitMQ",
        durable=True,
        shared=Shared.NETWORK,
        order=Order.FAILOVER,
        settle_window=_SETTLE_WINDOW,
        max_hold=None if math.isinf(hold) else hold,
        delay=DelayLimits(longest=LONGEST, lateness=_LATENESS, clock="sender"),
        forks=True,
        holds=True,
        powers=MappingProxyType(_powers(settings)),
    )


def _powers(settings: RabbitSettings) -> Mapping[Power, Support]:
    return {
        Power.ORDERED: NATIVE,
        Power.STRICT: Refused(
            "it cannot tell whether dead letters of a key wait", "use ordered=True, or dead_letters=False"
        ),
        Power.DELAY: _LEVELS,
        Power.DELIVER_AT: _LEVELS,
        Power.PRIORITY: NATIVE,
        Power.REQUIRE_ROUTE: NATIVE,
        Power.HEADERS_EXCHANGE: NATIVE,
        Power.ANONYMOUS: NATIVE,
        Power.REQUEST: NATIVE,
        Power.TRANSACTION: Refused(
            "its tx answers that all is well when a full queue has dropped a message",
            "use send_many() or pipeline(), which say of each message what became of it",
        ),
        Power.PREPARE: Refused("it has no half messages"),
        Power.START: Refused("a queue holds nothing from before it was declared"),
        Power.REPLAY: _HISTORY,
        Power.BROWSE: Refused(
            "to look at a message is to take it, which counts as a crash", "use receiver(), or the management page"
        ),
        Power.INSPECT: _LOOKING,
        Power.PRUNE: NATIVE
        if settings.management is not None
        else Refused("AMQP cannot tell which routes are there", "set the option management, such as http://host:15672"),
    }
