"""What is declared against what is there."""

from collections.abc import Iterator, Sequence

from msgkit.errors import TopologyMismatch
from msgkit.spi import Plan, PlanAction, PlanEntry, ProvisionMode, Topology
from msgkit.values import Option
from samples.shelf.broker import Shelf, ShelfQueue

__all__ = ["provision"]

_REFUSED = {
    ProvisionMode.CREATE: {PlanAction.DIFFERS},
    ProvisionMode.VERIFY: {PlanAction.DIFFERS, PlanAction.CREATE},
}


def provision(shelf: Shelf, topology: Topology, mode: ProvisionMode) -> Plan:
    entries = () if mode is ProvisionMode.ASSUME else tuple(_compare(shelf, topology))
    refused = _REFUSED.get(mode, set[PlanAction]())
    if wrong := [entry for entry in entries if entry.action in refused]:
        raise TopologyMismatch("; ".join(map(_wrong, wrong)))
    if mode is ProvisionMode.CREATE:
        _create(shelf, topology)
    return Plan(entries)


def _compare(shelf: Shelf, topology: Topology) -> Iterator[PlanEntry]:
    for name, exchange in topology.exchanges.items():
        there = shelf.exchanges.get(name)
        if there in (None, exchange.kind):
            yield PlanEntry(_action(is_there=there is not None), "exchange", name)
        else:
            yield PlanEntry(PlanAction.DIFFERS, "exchange", name, f"kind={there!r} is there")
        yield from _ignored(name, exchange.options)
    for name, queue in topology.queues.items():
        yield PlanEntry(_action(is_there=name in shelf.queues), "queue", name)
        for route in queue.routes:
            what = f"{route.exchange} {route.subject} -> {name}"
            yield PlanEntry(_action(is_there=(route, name) in shelf.routes), "route", what)
        yield from _ignored(name, queue.options)


def _ignored(name: str, options: Sequence[Option]) -> Iterator[PlanEntry]:
    for option in options:
        yield PlanEntry(PlanAction.IGNORED, "option", name, type(option).__name__)


def _action(*, is_there: bool) -> PlanAction:
    return PlanAction.EXISTS if is_there else PlanAction.CREATE


def _wrong(entry: PlanEntry) -> str:
    return f"{entry.what} {entry.name!r}: {entry.detail or 'does not exist'}"


def _create(shelf: Shelf, topology: Topology) -> None:
    for name, exchange in topology.exchanges.items():
        shelf.exchanges[name] = exchange.kind
    for name, queue in topology.queues.items():
        shelf.queues.setdefault(name, ShelfQueue())
        for route in queue.routes:
            shelf.add_route(route, name)
