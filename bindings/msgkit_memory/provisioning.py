"""Topology: what is there, what is not, and what differs. Called under the server's lock."""

from collections.abc import Iterable, Iterator, Mapping

from msgkit.errors import TopologyMismatch
from msgkit.spi import (
    ExchangeSpec,
    Plan,
    PlanAction,
    PlanEntry,
    ProvisionMode,
    QueueSpec,
    Topology,
)
from msgkit.topology import ExchangeKind
from msgkit.values import Option
from msgkit_memory.content import Content
from msgkit_memory.exchanges import RouteKey, route_key

__all__ = ["make", "provision"]

_MAKING = (ProvisionMode.CREATE, ProvisionMode.PRUNE)


def provision(content: Content, topology: Topology, mode: ProvisionMode) -> Plan:
    """Do as `Binding.provision` does; what is refused changes nothing."""
    anonymous = Topology({}, _queues(topology, anonymous=True))
    wanted = anonymous if mode is ProvisionMode.ASSUME else topology
    plan = Plan(tuple(_survey(content, wanted)))
    if mode is not ProvisionMode.PLAN:
        _refuse(content, wanted, mode)
        make(content, wanted if mode in _MAKING else anonymous)
    if mode is ProvisionMode.PRUNE:
        for spec in topology.queues.values():
            for key in _stale(content, spec):
                content.exchanges[key.exchange].remove(spec.name, key)
    return plan


def make(content: Content, topology: Topology) -> None:
    """Make what is missing."""
    for name, kind in _kinds(topology):
        if name not in content.exchanges:
            content.add_exchange(name, kind)
    for spec in topology.queues.values():
        queue = content.queues.get(spec.name)
        if queue is None:
            content.add_queue(spec)
            continue
        for route in spec.routes:
            if route_key(route) not in content.exchanges[route.exchange].routes_of(spec.name):
                content.add_route(route, queue)


def _refuse(content: Content, topology: Topology, mode: ProvisionMode) -> None:
    """Refuse what differs and, where nothing may be made, what is missing.

    :raises TopologyMismatch: naming all of it
    """
    wrong = [
        f"{entry.what} {entry.name!r}: {entry.detail}"
        for entry in _survey(content, topology)
        if entry.action is PlanAction.DIFFERS
    ]
    if mode not in _MAKING:
        named = Topology(_exchanges(topology), _queues(topology, anonymous=False))
        wrong += [
            f"{entry.what} {entry.name!r} does not exist"
            for entry in _survey(content, named)
            if entry.action is PlanAction.CREATE
        ]
    if wrong:
        raise TopologyMismatch("; ".join(wrong))


def _survey(content: Content, topology: Topology) -> Iterator[PlanEntry]:
    for name, kind in _kinds(topology):
        there = content.exchanges.get(name)
        if there is None:
            yield PlanEntry(PlanAction.CREATE, "exchange", name, f"kind={kind!r}")
        elif there.kind != kind:
            yield PlanEntry(PlanAction.DIFFERS, "exchange", name, _differs("kind", kind, there.kind))
        else:
            yield PlanEntry(PlanAction.EXISTS, "exchange", name)
    for exchange in topology.exchanges.values():
        yield from _ignored(exchange.name, exchange.options)
    for queue in topology.queues.values():
        yield _survey_queue(content, queue)
        yield from _survey_routes(content, queue)
        yield from _ignored(queue.name, queue.options)


def _survey_queue(content: Content, spec: QueueSpec) -> PlanEntry:
    there = content.queues.get(spec.name)
    if there is None:
        return PlanEntry(PlanAction.CREATE, "queue", spec.name, _described(spec))
    differences = [
        _differs(name, declared, found)
        for name, declared, found in (
            ("ordered", spec.ordered, there.ordered),
            ("priorities", spec.priorities, there.priorities),
        )
        if declared != found
    ]
    if differences:
        return PlanEntry(PlanAction.DIFFERS, "queue", spec.name, "; ".join(differences))
    return PlanEntry(PlanAction.EXISTS, "queue", spec.name)


def _survey_routes(content: Content, spec: QueueSpec) -> Iterator[PlanEntry]:
    for route in spec.routes:
        key = route_key(route)
        exchange = content.exchanges.get(route.exchange)
        there = exchange is not None and key in exchange.routes_of(spec.name)
        action = PlanAction.EXISTS if there else PlanAction.CREATE
        yield PlanEntry(action, "route", f"{key} -> {spec.name}")
    for key in _stale(content, spec):
        detail = "nobody declares it here any more; pruning takes it away"
        yield PlanEntry(PlanAction.STALE, "route", f"{key} -> {spec.name}", detail)


def _stale(content: Content, spec: QueueSpec) -> list[RouteKey]:
    declared = {route_key(route) for route in spec.routes}
    there = [key for one in content.exchanges.values() for key in one.routes_of(spec.name)]
    return [key for key in there if key not in declared]


def _ignored(name: str, options: Iterable[Option]) -> Iterator[PlanEntry]:
    for option in options:
        whose = ", ".join(f"{scheme}://" for scheme in option.schemes) or "another broker"
        detail = f"{type(option).__name__} is for {whose}"
        yield PlanEntry(PlanAction.IGNORED, "option", name, detail)


def _differs(argument: str, declared: object, there: object) -> str:
    return f"{argument}={declared!r} is declared, but {argument}={there!r} is there"


def _described(spec: QueueSpec) -> str:
    said: dict[str, object] = {
        "ordered": spec.ordered or None,
        "priorities": spec.priorities,
        "start": None if spec.start == "latest" else spec.start,
    }
    return ", ".join(f"{name}={value!r}" for name, value in said.items() if value is not None)


def _kinds(topology: Topology) -> dict[tuple[str, ExchangeKind], None]:
    """Return all exchanges: those declared, and those that are only routed from."""
    kinds: dict[tuple[str, ExchangeKind], None] = {}
    for spec in topology.exchanges.values():
        kinds[spec.name, spec.kind] = None
    for queue in topology.queues.values():
        for route in queue.routes:
            kinds[route.exchange, route.kind] = None
    return kinds


def _exchanges(topology: Topology) -> Mapping[str, ExchangeSpec]:
    return {name: ExchangeSpec(name=name, kind=kind) for name, kind in _kinds(topology)}


def _queues(topology: Topology, *, anonymous: bool) -> Mapping[str, QueueSpec]:
    return {name: spec for name, spec in topology.queues.items() if spec.anonymous is anonymous}
