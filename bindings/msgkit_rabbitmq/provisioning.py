"""Topology: what is there, what is not, and what differs; and what is made of it."""

import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from msgkit.envelope import Kind
from msgkit.errors import SendRefused, TopologyMismatch, Unroutable
from msgkit.spi import Plan, PlanAction, PlanEntry, ProvisionMode, QueueSpec, Topology
from msgkit.spi.absent import absent
from msgkit.spi.addresses import address
from msgkit.values import Option
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.capabilities import Version
from msgkit_rabbitmq.delays import DUE_EXCHANGE, READY, SINK, due_binding
from msgkit_rabbitmq.desk import Desk, desk, difference
from msgkit_rabbitmq.layout import (
    ExchangeForm,
    QueueForm,
    RouteForm,
    check_histories,
    exchange_forms,
    foreign,
    queue_forms,
)
from msgkit_rabbitmq.management import Management
from msgkit_rabbitmq.wire import NOT_FOUND, ChannelClosed, Connection, OutOfReach

__all__ = ["Provisioner", "Restored"]

_log = logging.getLogger("msgkit.rabbitmq")
_QUEUE = "queue"
_ALL_DELAYS = "delays", f"{READY}.*"
_MAKING = (ProvisionMode.CREATE, ProvisionMode.PRUNE)
_UNSEEN = "AMQP cannot tell whether it is there; with the option management it is looked for"


class Restored(NamedTuple):
    """What was found when all was declared again."""

    #: The anonymous queues that had been removed.
    gone: Sequence[str]
    #: What is there now in place of what was declared, or None.
    wrong: str | None
    #: What cannot be reached for now, or None.
    away: str | None = None


class Provisioner:
    """Brings about what is declared, and remembers it, to declare it again."""

    def __init__(self, settings: RabbitSettings, version: Version) -> None:
        self._version = version
        self._management = Management(settings) if settings.management is not None else None
        self._exchanges: dict[str, ExchangeForm] = {}
        self._queues: dict[str, QueueForm] = {}
        self._routes: dict[str, tuple[RouteForm, ...]] = {}
        self._anonymous: set[str] = set()
        #: What is bound to where delayed messages come due.
        self._due: set[tuple[Kind, str]] = set()
        #: Those that were not there when they were declared again, and of which nobody was told yet.
        self._gone: set[str] = set()
        #: Was a quorum queue or a stream made that the broker may not have written down?
        self._is_unwritten = self._has_new_streams = False
        #: Is it for us to make what delays need?
        self._makes = True

    async def provision(self, connection: Connection, topology: Topology, mode: ProvisionMode) -> Plan:
        """Do as `Binding.provision` does; what is refused changes nothing.

        :raises OutOfReach: when something of it is there, and cannot be looked at for now
        """
        check_histories(topology)
        anonymous = Topology({}, {name: spec for name, spec in topology.queues.items() if spec.anonymous})
        wanted = anonymous if mode is ProvisionMode.ASSUME else topology
        async with desk(connection) as asked:
            plan = Plan(tuple([entry async for entry in self._survey(asked, wanted)]))
            if mode is ProvisionMode.PLAN:
                return plan
            _refuse(plan, wanted, mode)
            self._makes = mode in _MAKING
            await self._make(asked, topology if self._makes else anonymous, plan)
            await self._write_down(asked)
            if mode is ProvisionMode.PRUNE:
                await self._prune(asked, topology)
        return plan

    async def again(self, connection: Connection) -> "Restored":
        """Declare all of it again."""
        wrong: list[str] = []
        away: list[str] = []
        async with desk(connection) as asked:
            # What one of them has become keeps nobody from the others.
            for exchange in tuple(self._exchanges.values()):
                try:
                    await asked.declare(exchange)
                except TopologyMismatch as error:
                    wrong.append(str(error))
            for queue in tuple(self._queues.values()):
                try:
                    if not await asked.has(queue) and queue.owned:
                        if queue.name not in self._gone | self._anonymous:
                            _log.error("queue %r was gone, with all that was in it, and is made again", queue.name)
                        self._gone.add(queue.name)
                        self._note_new(queue)
                    await asked.declare(queue)
                    for route in self._routes[queue.name]:
                        await asked.bind(route)
                except OutOfReach as error:
                    away.append(str(error))
                except ChannelClosed as error:
                    wrong.append(f"queue {queue.name!r}: {difference(error)}")
                except TopologyMismatch as error:
                    wrong.append(str(error))
            away += await self._bind_all_due(asked)
            await self._write_down(asked)
        gone, self._gone = self._gone & self._anonymous, set()
        return Restored(sorted(gone), "; ".join(wrong) or None, "; ".join(away) or None)

    def _note_new(self, queue: QueueForm) -> None:
        self._is_unwritten |= queue.is_replicated
        self._has_new_streams |= queue.is_history

    async def _write_down(self, asked: Desk) -> None:
        if self._is_unwritten:
            await asked.settle(streams=self._has_new_streams)
            self._is_unwritten = self._has_new_streams = False

    async def bind_due(self, connection: Connection, kind: Kind, destination: str) -> None:
        """Have delayed messages find a destination when they are due.

        :raises SendRefused: when there is no such destination, or no delays and none are to be made
        :raises OutOfReach: when it is there, and cannot be bound for now
        """
        async with desk(connection) as asked:
            has_delays = await asked.has_delays()
            if not has_delays and not self._makes:
                raise SendRefused(f"delays need exchange {READY!r} and more: topology=create makes it, once")
            try:
                if not has_delays:
                    self._is_unwritten = True
                    await asked.make_delays()
                    await self._write_down(asked)
                await self._bind_due(asked, kind, destination)
            except (ChannelClosed, TopologyMismatch) as error:
                raise _undeliverable(error, f"{kind.value} {destination!r}") from error

    async def _bind_due(self, asked: Desk, kind: Kind, destination: str) -> None:
        due = due_binding(address(kind, destination))
        if kind is Kind.EXCHANGE:
            await asked.bind_exchange(destination, DUE_EXCHANGE, due)
            await asked.bind(RouteForm(DUE_EXCHANGE, SINK, "", due))
        else:
            await asked.bind(RouteForm(DUE_EXCHANGE, destination, "", due))
        self._due.add((kind, destination))

    async def _bind_all_due(self, asked: Desk) -> list[str]:
        """Bind all of it again, since it may have been made again; return what says that it is out of reach."""
        away: list[str] = []
        for kind, destination in tuple(self._due):
            try:
                await self._bind_due(asked, kind, destination)
            except OutOfReach as error:
                away.append(str(error))
            except (ChannelClosed, TopologyMismatch) as error:
                _log.warning("nothing that is delayed can come to %s %r: %s", kind.value, destination, error)
                if destination not in (self._exchanges if kind is Kind.EXCHANGE else self._queues):
                    # Who sends there later again hears of it.
                    self._due.discard((kind, destination))
        return away

    # -- looking

    async def _survey(self, asked: Desk, topology: Topology) -> AsyncIterator[PlanEntry]:
        for exchange in exchange_forms(topology).values():
            yield await _surveyed(asked, exchange)
        for spec in topology.exchanges.values():
            for entry in _ignored(spec.name, spec.options):
                yield entry
        for queue in topology.queues.values():
            for form, routes in queue_forms(queue, self._version):
                entry = await _surveyed(asked, form)
                yield entry
                is_there = entry.action is not PlanAction.CREATE
                async for route in self._survey_routes(form.name, routes, is_there=is_there, is_ours=queue.anonymous):
                    yield route
            for ignored in _ignored(queue.name, queue.options):
                yield ignored
        if _needs_delays(topology):
            action = PlanAction.EXISTS if await asked.has_delays() else PlanAction.CREATE
            yield PlanEntry(action, *_ALL_DELAYS, "exchanges and quorum queues that all queues share")

    async def _survey_routes(
        self, queue: str, declared: Sequence[RouteForm], *, is_there: bool, is_ours: bool
    ) -> AsyncIterator[PlanEntry]:
        if not is_there or self._management is None or is_ours:
            action = PlanAction.EXISTS if is_there else PlanAction.CREATE
            for route in declared:
                yield PlanEntry(action, "route", str(route), _UNSEEN if is_there and not is_ours else "")
            return
        found = await self._bound(self._management, queue)
        there, wanted = {_identity(route) for route in found}, {_identity(route) for route in declared}
        for route in declared:
            action = PlanAction.EXISTS if _identity(route) in there else PlanAction.CREATE
            yield PlanEntry(action, "route", str(route))
        for route in found:
            if _identity(route) not in wanted:
                detail = "nobody declares it here any more; pruning takes it away"
                yield PlanEntry(PlanAction.STALE, "route", str(route), detail)

    async def _bound(self, management: Management, queue: str) -> list[RouteForm]:
        return [
            RouteForm(bound.source, queue, bound.key, bound.arguments)
            for bound in await management.bindings_of(queue)
            if bound.source != DUE_EXCHANGE
        ]

    # -- making

    async def _make(self, asked: Desk, topology: Topology, plan: Plan) -> None:
        """Make it, and remember what was made."""
        new = {(entry.what, entry.name) for entry in plan.entries if entry.action is PlanAction.CREATE}
        exchanges = exchange_forms(topology) if topology.exchanges or self._makes else {}
        for exchange in exchanges.values():
            await asked.declare(exchange)
        self._exchanges.update(exchanges)
        for spec in topology.queues.values():
            # Its history first: it holds all that the queue does.
            for form, routes in reversed(tuple(queue_forms(spec, self._version))):
                if (_QUEUE, form.name) in new:
                    self._note_new(form)
                await asked.declare(form)
                for route in routes:
                    await asked.bind(route)
                self._queues[form.name], self._routes[form.name] = form, routes
            if spec.anonymous:
                self._anonymous.add(spec.name)
        if _ALL_DELAYS in new:
            self._is_unwritten = True
            await asked.make_delays()
        due = [(Kind.EXCHANGE, each.name) for each in exchanges.values() if each.owned]
        due += [(Kind.QUEUE, each.name) for each in topology.queues.values() if self._is_kept(each)]
        if due and await asked.has_delays():
            # What was deleted and is made again has messages on their way that nobody binds it for otherwise.
            for kind, destination in due:
                # Who may not leaves it to those who send there later.
                with suppress(ChannelClosed, TopologyMismatch):
                    await self._bind_due(asked, kind, destination)

    def _is_kept(self, queue: QueueSpec) -> bool:
        return not queue.anonymous and self._queues[queue.name].owned

    async def _prune(self, asked: Desk, topology: Topology) -> None:
        if self._management is None:
            return
        for spec in topology.queues.values():
            for form, routes in queue_forms(spec, self._version):
                wanted = {_identity(route) for route in routes}
                for route in await self._bound(self._management, form.name):
                    if _identity(route) not in wanted:
                        await asked.unbind(route)


def _needs_delays(topology: Topology) -> bool:
    return any(not spec.anonymous for spec in topology.queues.values())


async def _surveyed(asked: Desk, form: ExchangeForm | QueueForm) -> PlanEntry:
    """Look, and then declare what is there once more, which changes nothing and tells whether it is the same."""
    what, name = "exchange" if isinstance(form, ExchangeForm) else _QUEUE, form.name
    try:
        if await asked.has(form):
            await asked.declare(form)
            return PlanEntry(PlanAction.EXISTS, what, name)
    except ChannelClosed as error:
        return PlanEntry(PlanAction.DIFFERS, what, name, difference(error))
    except TopologyMismatch as error:
        return PlanEntry(PlanAction.DIFFERS, what, name, str(error).partition(": ")[2])
    if not form.owned:
        return PlanEntry(PlanAction.DIFFERS, what, name, "it is somebody else's, and it is not there")
    return PlanEntry(PlanAction.CREATE, what, name, str(form))


def _refuse(plan: Plan, topology: Topology, mode: ProvisionMode) -> None:
    """Refuse what differs and, where nothing may be made, what is missing.

    :raises TopologyMismatch: naming all of it
    """
    ours = {name for name, spec in topology.queues.items() if spec.anonymous}
    wrong = [f"{entry.what} {entry.name!r}: {entry.detail}" for entry in plan.entries if _differs(entry)]
    if mode not in _MAKING:
        wrong += [
            f"{entry.what} {entry.name!r} does not exist"
            for entry in plan.entries
            if entry.action is PlanAction.CREATE and entry.name.rpartition(" -> ")[2] not in ours
        ]
    if wrong:
        raise TopologyMismatch("; ".join(wrong))


def _differs(entry: PlanEntry) -> bool:
    return entry.action is PlanAction.DIFFERS


def _undeliverable(error: ChannelClosed | TopologyMismatch, what: str) -> SendRefused:
    cause = error if isinstance(error, ChannelClosed) else error.__cause__
    if isinstance(cause, ChannelClosed) and cause.code == NOT_FOUND:
        return Unroutable(absent(what))
    return SendRefused(f"{what} cannot be sent to later: {error}")


def _identity(route: RouteForm) -> tuple[str, str, str]:
    return route.source, route.key, json.dumps(dict(route.arguments), sort_keys=True, default=str)


def _ignored(name: str, options: Iterable[Option]) -> Iterator[PlanEntry]:
    for option in foreign(options):
        whose = ", ".join(f"{scheme}://" for scheme in option.schemes) or "another broker"
        yield PlanEntry(PlanAction.IGNORED, "option", name, f"{type(option).__name__} is for {whose}")
