"""The embedded broker with all its faults, for the conformance suite."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

from msgkit.application import Application
from msgkit.clock import SystemClock
from msgkit.testing.conformance.harness import Harness
from msgkit.testing.conformance.processes import Emulated, Process
from msgkit.topology import Queue
from msgkit_memory.clients import Client
from msgkit_memory.options import ANONYMOUS_SURVIVES
from msgkit_memory.server import Broker

__all__ = ["MemoryHarness"]


class _Shifted(SystemClock):
    """A clock that can be put forward."""

    shift = 0.0

    def now(self) -> float:
        return super().now() + self.shift


class MemoryHarness(Harness):
    """One broker of this process, under a name of its own."""

    patience = 3.0
    silence = 0.15

    _numbers = 0

    def __init__(self) -> None:
        MemoryHarness._numbers += 1
        self._url = f"memory://conformance-{MemoryHarness._numbers}"
        self._clock = _Shifted()
        self._broker = Broker.at(self._url, clock=self._clock)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Broker.forget(self._url)

    @property
    def url(self) -> str:
        return self._url

    async def spawn(self, app: str, env: Mapping[str, str]) -> Process:
        others = set(self._broker.clients)

        async def sever(_app: Application) -> None:
            with self._broker.lock:
                for client in mine:
                    client.banned = True
                    self._broker.cut(client, "its process was killed", crashed=True)

        process = await Emulated.start(app, env, self.settings(drain=0.0), sever)
        mine: set[Client] = set(self._broker.clients) - others
        return process

    async def heal(self) -> None:
        self._broker.faults.heal()

    async def expired(self, queue: Queue[str]) -> int:
        return self._broker.expired().get(queue.name, 0)

    async def cut_connections(self) -> None:
        self._broker.faults.disconnect()

    async def stop(self) -> None:
        self._broker.faults.stop()

    async def kill(self) -> None:
        self._broker.faults.kill()

    async def start(self) -> None:
        self._broker.faults.start()

    async def pause(self) -> None:
        self._broker.faults.pause()

    async def resume(self) -> None:
        self._broker.faults.resume()

    async def lose_confirm(self, *, stored: bool) -> None:
        self._broker.faults.lose_confirms(stored=stored)

    async def refuse(self, destination: str, n: int) -> None:
        # Whatever is sent next: checks see to it that it is to that destination.
        del destination
        self._broker.faults.refuse(n)

    async def revoke(self, queue: Queue[str], within: float = 1.0) -> None:
        await self._broker.faults.revoke(within, queue.name)

    async def expire_leases(self, queue: Queue[str]) -> None:
        self._broker.faults.expire(queue.name)

    async def outstay(self, queue: Queue[str]) -> None:
        del queue
        await self.stop()
        self._clock.shift += ANONYMOUS_SURVIVES + 1
        await asyncio.sleep(0)
        await self.start()

    async def fail_settlements(self, n: int) -> None:
        self._broker.faults.fail_settlements(n)

    async def slow(self, seconds: float) -> None:
        self._broker.faults.slow(seconds)
