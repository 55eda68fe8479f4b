"""What a delivery happened under: what the binding promises, and the faults that touched it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from msgkit.testing.conformance.ledger.records import Content, Fault, Promises, Settled, Stopped

__all__ = ["Conditions", "Handling"]

_DOWN = ("broker-stop", "broker-kill")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handling:
    """One delivery from its begin to its end, as far as it came."""

    token: str
    queue: str
    consumer: str
    message_id: str
    attempt: int
    start: float
    content: Content
    how: Settled = "none"
    #: For ever, where it was killed.
    end: float = inf
    after: float = 0.0

    @property
    def final(self) -> bool:
        return self.how in {"accepted", "rejected"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditions:
    """The promises and the faults, and what they excuse."""

    promises: Promises
    faults: Sequence[Fault]
    stops: Sequence[Stopped]
    tolerance: float

    def exposure(self, handling: Handling) -> Fault | None:
        """Return the first fault that it was in flight at, or was settled too shortly before."""
        return self._fault(handling.consumer, handling.start, handling.end + self.promises.settle_window)

    def during(self, consumer: str, at: float) -> Fault | None:
        """Return the fault that touches the consumer at that time."""
        return self._fault(consumer, at, at)

    def live_until(self, handling: Handling) -> float:
        """Return when it ends, or when a fault takes it from its consumer."""
        fault = self.exposure(handling)
        return handling.end if fault is None else min(handling.end, fault.began)

    def forks_of(self, since: float, due: float) -> Sequence[float]:
        """Return when the broker went down while it held a message for later: it may hand that on twice."""
        until = due + self.promises.settle_window
        return [
            fault.began
            for fault in self.faults
            if self.promises.forks and fault.kind in _DOWN and self._meets(fault, since, until)
        ]

    def disturbed(self, consumer: str, since: float, until: float) -> bool:
        """Tell whether the consumer was stopped or touched by a fault in that time."""
        return self._fault(consumer, since, until) is not None or any(
            stop.consumer == consumer and since <= stop.at <= until for stop in self.stops
        )

    def disturbances(self, since: float, until: float) -> int:
        """Count the faults and stops in that time, whomever they touch."""
        faults = sum(self._meets(fault, since, until) for fault in self.faults)
        return faults + sum(since <= stop.at <= until for stop in self.stops)

    def _fault(self, consumer: str, since: float, until: float) -> Fault | None:
        return next(
            (
                fault
                for fault in self.faults
                if (fault.consumers is None or consumer in fault.consumers) and self._meets(fault, since, until)
            ),
            None,
        )

    def _meets(self, fault: Fault, since: float, until: float) -> bool:
        ended = inf if fault.ended is None else fault.ended
        return fault.began <= until + self.tolerance and since <= ended + self.tolerance
