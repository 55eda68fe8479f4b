"""What a binding's tests bring: a broker to reach, to stop and to hurt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Self, Unpack

from msgkit.brokers import binding_for
from msgkit.settings import Settings, SettingsValues
from msgkit.spi import Binding, BindingOptions
from msgkit.testing.conformance.processes import Process, Subprocess
from msgkit.topology import Queue
from msgkit.values import Option

__all__ = ["Fault", "Harness"]


class Fault(Enum):
    """What a harness can do to its broker; the value is the method that does it."""

    CUT = "cut_connections"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    LOSE_CONFIRM = "lose_confirm"
    REFUSE = "refuse"
    REVOKE = "revoke"
    EXPIRE = "expire_leases"
    FAIL_SETTLEMENTS = "fail_settlements"
    SLOW = "slow"
    OUTSTAY = "outstay"
    SPAWN = "spawn"


class Harness(ABC):
    """One broker for checks: `async with` starts it, and ends it with all that it holds.

    A binding's tests write one class, with `url` and with those faults that its broker can be
    made to have. A fault is offered by overriding its method; the checks that need one which
    is not offered are skipped, naming the method. What a fault did is undone by `heal`.
    """

    #: Seconds until a promise counts as broken. Everything that a check waits for ends by then.
    patience: float = 3.0
    #: Seconds of silence after which nothing more is expected.
    silence: float = 0.25
    #: Seconds by which times may differ between those who record them, and between the end of a
    #: handler and the arrival of its settlement.
    tolerance: float = 0.02
    #: Seconds by which what is delayed may be later than is declared, after the broker was down.
    afterwards: float = 0.0
    #: What a queue needs to be read again, where the broker does not keep everything anyway.
    rereadable: Sequence[Option] = ()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find the broker: through the proxy, if there is one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    @property
    def faults(self) -> frozenset[Fault]:
        """What this harness can do: the faults whose methods it has, and processes of their own."""
        return frozenset(fault for fault in Fault if fault is Fault.SPAWN or self._overrides(fault.value))

    @property
    def emulates_processes(self) -> bool:
        return self._overrides("spawn")

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Harness, method)

    def settings(self, **changes: Unpack[SettingsValues]) -> Settings:
        """Return settings for this broker, with a check's changes; nothing of the environment."""
        values: SettingsValues = {
            "url": self.url,
            "drain": self.patience,
            "wait_for_broker": self.patience,
            **changes,
        }
        return Settings(**values)

    def binding(self, client: str) -> Binding:
        """Return a binding of its own, not connected, for checks that go below the face."""
        return binding_for(self.url)(BindingOptions(url=self.url, client=client, wait=self.patience))

    async def spawn(self, app: str, env: Mapping[str, str]) -> Process:
        """Start a consumer that can be killed; `app` is a `module:factory` as in `processes`.

        Where a broker is shared within one process only, override this to run the factory
        here (`processes.Emulated`), and let go of the client at once when it is killed.
        """
        return await Subprocess.start(app, {"MSGKIT_URL": self.url, **env})

    async def heal(self) -> None:
        """Undo every fault, so that the next check finds the broker well."""
        return

    async def expired(self, queue: Queue[str]) -> int:
        """Return how many messages of a queue the broker itself has dropped as expired."""
        del queue
        return 0

    async def cut_connections(self) -> None:
        """Break every connection at once; clients may connect again right away."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop the broker in an orderly way; what is durable is kept."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start the broker again after `stop` or `kill`; returns when it can be reached."""
        raise NotImplementedError

    async def kill(self) -> None:
        """Kill the broker without a warning; `start` brings it back with what it had confirmed."""
        raise NotImplementedError

    async def pause(self) -> None:
        """Freeze the broker, or swallow what goes to and from it; connections stay open."""
        raise NotImplementedError

    async def resume(self) -> None:
        """Let the broker go on after `pause`."""
        raise NotImplementedError

    async def lose_confirm(self, *, stored: bool) -> None:
        """Leave the next send without an answer, its message stored or not."""
        raise NotImplementedError

    async def refuse(self, destination: str, n: int) -> None:
        """Refuse the next `n` sends; checks see to it that they are to this destination."""
        raise NotImplementedError

    async def revoke(self, queue: Queue[str], within: float = 1.0) -> None:
        """Take a queue's deliveries back, as at a rebalance: who finishes in time may."""
        raise NotImplementedError

    async def expire_leases(self, queue: Queue[str]) -> None:
        """Give a queue's unsettled deliveries to others at once: nobody renewed their leases."""
        raise NotImplementedError

    async def outstay(self, queue: Queue[str]) -> None:
        """Keep the client of an anonymous queue away for longer than its queue is kept."""
        raise NotImplementedError

    async def fail_settlements(self, n: int) -> None:
        """Let the next `n` settlements fail; what they were for stays unsettled."""
        raise NotImplementedError

    async def slow(self, seconds: float) -> None:
        """Let every answer of the broker take so much longer; 0 ends it."""
        raise NotImplementedError
