"""What the embedded broker keeps."""

from collections.abc import Mapping
from types import MappingProxyType

from msgkit.spi import (
    NATIVE,
    Capabilities,
    DelayLimits,
    Emulated,
    Order,
    Power,
    Refused,
    Shared,
    Support,
)
from msgkit_memory.log import RETAIN_BYTES

__all__ = ["capabilities"]

#: A delay ends in the turn of the loop in which it is due; a busy loop makes long turns.
_LATENESS = 0.05


def capabilities(retain: int) -> Capabilities:
    """Return what a broker keeps whose destinations keep so many messages for replay."""
    return Capabilities(
        broker="memory",
        durable=False,
        shared=Shared.PROCESS,
        order=Order.KEY,
        delay=DelayLimits(lateness=_LATENESS, clock="broker"),
        powers=MappingProxyType(_powers(retain)),
    )


def _powers(retain: int) -> Mapping[Power, Support]:
    powers: dict[Power, Support] = dict.fromkeys(Power, NATIVE)
    powers[Power.START] = powers[Power.REPLAY] = _replay(retain)
    return powers


def _replay(retain: int) -> Support:
    if not retain:
        return Refused("it was told to retain nothing", "use memory://?retain=1000 or more")
    megabytes = RETAIN_BYTES // 1024**2
    return Emulated(
        f"a log of the last {retain:,} messages of each destination, at most {megabytes} MiB",
        "their memory",
    )
