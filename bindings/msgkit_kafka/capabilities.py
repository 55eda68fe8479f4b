"""What Kafka keeps, whatever its version and settings."""

from collections.abc import Mapping
from types import MappingProxyType

from msgkit.spi import NATIVE, Capabilities, DelayLimits, Emulated, Order, Power, Refused, Shared, Support
from msgkit_kafka.delays import LONGEST

__all__ = ["CAPABILITIES"]

#: Between a settlement and its commit.
_SETTLE_WINDOW = 1.0
_LATENESS = 1.0
_LEVELS = Emulated(
    "topics that wait 100 ms times a power of two, shared by all queues", "a hop for each bit of the delay"
)
_POWERS: Mapping[Power, Support] = {
    Power.ORDERED: NATIVE,
    Power.STRICT: Refused(
        "it cannot tell whether dead letters of a key wait", "use ordered=True, or dead_letters=False"
    ),
    Power.DELAY: _LEVELS,
    Power.DELIVER_AT: _LEVELS,
    Power.PRIORITY: Refused(
        "a partition is read in the order in which it was written", "use a queue for each priority"
    ),
    Power.REQUIRE_ROUTE: Refused("a topic does not know who reads it", "send to the queue itself"),
    Power.HEADERS_EXCHANGE: Emulated("filters in the consumers", "the transport of what is not for them"),
    Power.ANONYMOUS: NATIVE,
    Power.REQUEST: Emulated("one topic for all answers", "the transport of answers to others"),
    Power.TRANSACTION: NATIVE,
    Power.PREPARE: Refused("it has no half messages"),
    Power.START: NATIVE,
    Power.REPLAY: NATIVE,
    Power.BROWSE: Emulated("reading beside the group", "the transport of all that waits, and of what is not for it"),
    Power.INSPECT: Emulated("the distance between what is committed and the end", "questions to each broker"),
    Power.PRUNE: Refused(
        "routes are filters in the consumers: none is left behind",
        "a start declares what is missing",
    ),
}
CAPABILITIES = Capabilities(
    broker="Kafka",
    durable=True,
    shared=Shared.NETWORK,
    order=Order.KEY,
    settle_window=_SETTLE_WINDOW,
    delay=DelayLimits(longest=LONGEST, lateness=_LATENESS, clock="sender"),
    leases=True,
    parted=True,
    settles_sends=True,
    holds=True,
    powers=MappingProxyType(_POWERS),
)
