"""Animals that call things by names of their own."""

from asyncio import Future
from dataclasses import replace

from msgkit.envelope import Envelope, Kind
from msgkit.spi import (
    Dead,
    Plan,
    ProvisionMode,
    QueueSpec,
    RawDelivery,
    RawSettlement,
    Topology,
)
from tests.zoo.animal import Animal, Line, caught_by

__all__: list[str] = []


class _Names(Animal):
    def named(self, name: str) -> str:
        return name

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.kind is Kind.REPLY:
            return envelope
        return envelope._replace(destination=self.named(envelope.destination))

    def spec(self, queue: QueueSpec) -> QueueSpec:
        routes = [replace(route, exchange=self.named(route.exchange)) for route in queue.routes]
        dead = queue.dead_letters
        return replace(
            queue,
            name=self.named(queue.name),
            routes=tuple(routes),
            dead_letters=None if dead is None else self.named(dead),
        )

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        exchanges = [replace(exchange, name=self.named(exchange.name)) for exchange in topology.exchanges.values()]
        named = {exchange.name: exchange for exchange in exchanges}
        return await super().provision(Topology(named, topology.queues), mode)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Dead):
            how = Dead(self.out(how.copy))
        return super().settle(line, raw, how)


@caught_by("prefixes_keep_programs_apart")
class DropsPrefixes(_Names):
    """Forgets what stands before the last dot of a name."""

    def named(self, name: str) -> str:
        return name.rpartition(".")[2]


@caught_by("names_that_look_alike_get_their_own_messages")
class ConfusesNames(_Names):
    """Writes a dash for every character that it does not like."""

    def named(self, name: str) -> str:
        return "".join(each if each.isalnum() and each.isascii() else "-" for each in name)
