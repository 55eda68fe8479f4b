"""What a RocketMQ keeps, by what its brokers say of themselves."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgkit.errors import ConfigurationError
from msgkit.spi import NATIVE, Capabilities, DelayLimits, Emulated, Order, Power, Refused, Shared, Support
from msgkit.values import MAX_BODY
from msgkit_rocketmq.client.brokers import Settings
from msgkit_rocketmq.halves import time_to_answer, time_to_decide

__all__ = ["capabilities"]

#: Seconds for a broker to write down how far groups have come, when it is time.
_WRITING = 1.0
#: How late what is tried again may be: brokers look through what was lent in rounds, unless they keep it at hand.
_LATENESS, _LATENESS_AT_HAND = 8.0, 2.5
#: Brokers delete what is older, taken or not. It is a setting of theirs, and this is what it is if nobody changes it.
_RETENTION = 72 * 3600.0
#: Bytes that a message may have beside its body, and a dead letter more than it.
_MORE = 64 * 1024
_LOOKING = Emulated(
    "the distance between what was lent and the end",
    "questions to each broker; what is in hand, or waits to be tried again, is not counted",
)
_LOOKING_ONLY = Emulated(
    _LOOKING.how, f"{_LOOKING.cost}; purging is refused unless useServerSideResetOffset=true on every broker"
)
_REPLAY = Emulated(
    "moving the group to another offset",
    "up to 15 s until those hear of it who wait for new messages; what was tried again as a copy comes twice",
)
_UNMOVED = Refused("its brokers move no groups that are taking messages", "set useServerSideResetOffset=true on them")
_UNDECIDED = Refused(
    "its brokers may ask about what was decided, since they write that down too late",
    "set transactionTimeOut and transactionCheckInterval higher than transactionOpBatchInterval",
)
_POWERS: Mapping[Power, Support] = {
    Power.ORDERED: NATIVE,
    Power.STRICT: Refused(
        "it cannot tell whether dead letters of a key wait", "use ordered=True, or dead_letters=False"
    ),
    Power.DELAY: NATIVE,
    Power.DELIVER_AT: NATIVE,
    Power.PRIORITY: Refused("a queue is read in the order in which it was written", "use a queue for each priority"),
    Power.REQUIRE_ROUTE: Refused("a topic does not know who reads it", "send to the queue itself"),
    Power.HEADERS_EXCHANGE: Emulated("filters in the consumers", "the transport of what is not for them"),
    Power.ANONYMOUS: Emulated("a group for each process", "a group that stays for a while when its process dies"),
    Power.TRANSACTION: Refused(
        "it commits one message at a time, and no settlement",
        "use send_many() or pipeline(), which say of each message what became of it",
    ),
    Power.REQUEST: NATIVE,
    Power.START: NATIVE,
    Power.BROWSE: Emulated("reading beside the group", "the transport of all that waits, and of what is not for it"),
    Power.PRUNE: Refused("routes are filters of consumers: none is left behind", "a start declares what is missing"),
}


def capabilities(brokers: Sequence[Settings]) -> Capabilities:
    """Return what is kept where all of these are.

    :raises ConfigurationError: when one of them lends no messages
    """
    if not all(broker.lends for broker in brokers):
        msg = "RocketMQ lends messages to consumers only with its timers: set timerWheelEnable=true on every broker"
        raise ConfigurationError(msg)
    at_hand = all(broker.keeps_leases for broker in brokers)
    return Capabilities(
        broker="RocketMQ",
        durable=True,
        shared=Shared.NETWORK,
        order=Order.QUEUE,
        settle_window=max(broker.writes_every for broker in brokers) + _WRITING,
        retention=_RETENTION,
        delay=DelayLimits(
            longest=float(min(broker.longest_delay for broker in brokers)),
            lateness=_LATENESS_AT_HAND if at_hand else _LATENESS,
            clock="broker",
        ),
        max_body=min(MAX_BODY, min(broker.largest_message for broker in brokers) - _MORE),
        forks=True,
        exact_attempts=False,
        leases=True,
        powers=MappingProxyType({**_POWERS, **_powers(brokers)}),
    )


def _powers(brokers: Sequence[Settings]) -> Mapping[Power, Support]:
    """Return what hangs on how brokers are set."""
    moves = all(broker.moves_groups for broker in brokers)
    decides = all(time_to_decide(broker) > 0 and time_to_answer(broker) > 0 for broker in brokers)
    return {
        Power.REPLAY: _REPLAY if moves else _UNMOVED,
        Power.INSPECT: _LOOKING if moves else _LOOKING_ONLY,
        Power.PREPARE: NATIVE if decides else _UNDECIDED,
    }
