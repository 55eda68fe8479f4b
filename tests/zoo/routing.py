"""Animals that bring messages to the wrong place."""

from asyncio import Future
from dataclasses import replace

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import TopologyMismatch
from msgkit.patterns import compile_pattern
from msgkit.spi import (
    Plan,
    PlanAction,
    PlanEntry,
    ProvisionMode,
    QueueSpec,
    RouteSpec,
    Topology,
)
from msgkit.topology import ExchangeKind
from tests.zoo.animal import Animal, caught_by

__all__: list[str] = []


class _Routes(Animal):
    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, routes=tuple(self.route(route) for route in queue.routes))

    def route(self, route: RouteSpec) -> RouteSpec:
        return route


class _Subjects(_Routes):
    def out(self, envelope: Envelope) -> Envelope:
        subject = envelope.subject
        return envelope if subject is None else envelope._replace(subject=self.subject(subject))

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, subject=self.subject(route.subject))

    def subject(self, subject: str) -> str:
        return subject


class _Kinds(_Routes):
    def kind(self, kind: ExchangeKind) -> ExchangeKind:
        return kind

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, kind=self.kind(route.kind))

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        exchanges = {
            name: replace(exchange, kind=self.kind(exchange.kind)) for name, exchange in topology.exchanges.items()
        }
        return await super().provision(Topology(exchanges, topology.queues), mode)


@caught_by()
class TakesAHashForAWord(_Routes):
    """Matches one word by `#`."""

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, subject=route.subject.replace("#", "*"))


@caught_by()
class TakesAStarForAnything(_Routes):
    """Matches any number of words by `*`."""

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, subject=route.subject.replace("*", "#"))


@caught_by()
class SkipsEmptyWords(_Subjects):
    """Takes two dots for one."""

    def subject(self, subject: str) -> str:
        return ".".join(filter(None, subject.split(".")))


@caught_by()
class FoldsSubjects(_Subjects):
    """Takes small letters for great ones."""

    def subject(self, subject: str) -> str:
        return subject.lower()


@caught_by()
class ReadsSubjectsAsPatterns(_Subjects):
    """Takes what is left of a bracket for all there is."""

    def subject(self, subject: str) -> str:
        return subject.partition("[")[0].replace("+", "")


@caught_by()
class KnowsOnlyAscii(_Subjects):
    """Writes a question mark for every character that it does not know."""

    def subject(self, subject: str) -> str:
        return subject.encode("ascii", "replace").decode()


@caught_by()
class CutsLongSubjects(_Subjects):
    """Looks at the first 127 characters of a subject."""

    def subject(self, subject: str) -> str:
        return subject[:127]


@caught_by()
class MatchesDirectly(_Kinds):
    """Takes the subject of a direct route for a pattern."""

    def kind(self, kind: ExchangeKind) -> ExchangeKind:
        return "topic" if kind == "direct" else kind


@caught_by()
class FansOutBySubject(_Kinds):
    """Asks for the subject of what is for everybody."""

    def kind(self, kind: ExchangeKind) -> ExchangeKind:
        return "direct" if kind == "fanout" else kind


@caught_by()
class FansOutToOne(Animal):
    """Gives what is for everybody to one of them."""

    def out(self, envelope: Envelope) -> Envelope:
        exchange = self.broker.content.exchanges.get(envelope.destination)
        if envelope.kind is not Kind.EXCHANGE or exchange is None:
            return envelope
        with self.broker.lock:
            queues = exchange.match(envelope)
        if len(queues) < 2:
            return envelope
        one = queues[len(envelope.message_id) % len(queues)]
        return envelope._replace(kind=Kind.QUEUE, destination=one.name)


@caught_by()
class AsksForAnyHeader(Animal):
    """Takes one header of those that a route asks for as enough."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        routes = [
            replace(route, headers={name: value}) for route in queue.routes for name, value in route.headers.items()
        ]
        plain = [route for route in queue.routes if not route.headers]
        return replace(queue, routes=(*plain, *routes))


@caught_by()
class CopiesForEachRoute(Animal):
    """Gives a queue as many copies as it has routes that match."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sent = super().send(envelope)
        exchange = self.broker.content.exchanges.get(envelope.destination)
        if envelope.kind is Kind.EXCHANGE and exchange is not None and exchange.kind == "topic":
            for name, queue in self.broker.content.queues.items():
                routes = exchange.routes_of(name)
                fits = [key for key in routes if _fits(key.subject, envelope)]
                for _ in fits[1:]:
                    with self.broker.lock:
                        queue.put(envelope)
        return sent


def _fits(pattern: str, envelope: Envelope) -> bool:
    return compile_pattern(pattern)(envelope.subject or "")


@caught_by()
class SendsToTheNeighbours(Animal):
    """Gives what is sent to a queue to all queues of its exchange."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sent = super().send(envelope)
        content = self.broker.content
        if envelope.kind is Kind.QUEUE:
            for exchange in content.exchanges.values():
                if exchange.routes_of(envelope.destination):
                    for name, queue in content.queues.items():
                        if name != envelope.destination and exchange.routes_of(name):
                            with self.broker.lock:
                                queue.put(envelope)
        return sent


@caught_by()
class MixesUpNames(Animal):
    """Takes an exchange and a queue of one name for one thing."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        namesake = self.broker.content.queues.get(envelope.destination)
        if envelope.kind is Kind.EXCHANGE and namesake is not None:
            with self.broker.lock:
                namesake.put(envelope)
        return super().send(envelope)


@caught_by()
class HasOneRoute(Animal):
    """Reads only the first route of a queue."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, routes=queue.routes[:1])


@caught_by()
class NeedsASubject(Animal):
    """Drops what is about nothing."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if envelope.kind is Kind.EXCHANGE and envelope.subject is None:
            return self.confirm(envelope)
        return super().send(envelope)


# -- declaring


class _Modes(Animal):
    modes: dict[ProvisionMode, ProvisionMode] = {}  # noqa: RUF012 -- replaced, never changed

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        return await super().provision(topology, self.modes.get(mode, mode))


@caught_by()
class MakesWhatItPlans(_Modes):
    """Makes what it was only asked about."""

    modes = {ProvisionMode.PLAN: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by()
class MakesWhatItVerifies(_Modes):
    """Makes what is missing where nothing may be made."""

    modes = {ProvisionMode.VERIFY: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by()
class MakesWhatItAssumes(_Modes):
    """Makes what was said to be there."""

    modes = {ProvisionMode.ASSUME: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by()
class VerifiesNothing(_Modes):
    """Takes for there what it should look at."""

    modes = {ProvisionMode.VERIFY: ProvisionMode.ASSUME}  # noqa: RUF012 -- as above


@caught_by()
class PrunesUnasked(_Modes):
    """Takes away every route that an application does not know."""

    modes = {ProvisionMode.CREATE: ProvisionMode.PRUNE}  # noqa: RUF012 -- as above


@caught_by()
class PrunesNothing(_Modes):
    """Keeps stale routes that it was asked to take away."""

    modes = {ProvisionMode.PRUNE: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by()
class EmptiesWhatIsThere(Animal):
    """Makes a queue anew each time that it is declared."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        if mode is ProvisionMode.CREATE:
            with self.broker.lock:
                for name in topology.queues:
                    self.broker.content.queues[name].purge()
        return plan


@caught_by()
class LooksAway(Animal):
    """Lets what differs be, and says nothing."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        try:
            return await super().provision(topology, mode)
        except TopologyMismatch:
            return Plan(())


class _Plans(Animal):
    hides: PlanAction

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        return Plan(tuple(entry for entry in plan.entries if entry.action is not self.hides))


@caught_by()
class HidesWhatItIgnores(_Plans):
    """Does not say which options mean nothing to it."""

    hides = PlanAction.IGNORED


@caught_by()
class HidesWhatIsStale(_Plans):
    """Does not say which routes nobody declares any more."""

    hides = PlanAction.STALE


@caught_by()
class HidesWhatIsMissing(_Plans):
    """Does not say what would be made."""

    hides = PlanAction.CREATE


@caught_by()
class MakesEverythingAgain(Animal):
    """Says of what is there that it was made."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        entries = [replace(each, action=self.action(each)) for each in plan.entries]
        return Plan(tuple(entries))

    def action(self, entry: PlanEntry) -> PlanAction:
        return PlanAction.CREATE if entry.action is PlanAction.EXISTS else entry.action


@caught_by()
class ForbidsCompany(Animal):
    """Lets nobody declare what somebody else has declared."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        there = self.broker.content.queues
        if mode is ProvisionMode.CREATE and (known := [n for n in topology.queues if n in there]):
            raise TopologyMismatch(f"{known} exist already")
        return await super().provision(topology, mode)


@caught_by()
class StartsAtTheEnd(Animal):
    """Ignores where a queue is to start."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, start="latest")


@caught_by()
class StartsAtTheBeginning(Animal):
    """Takes every start that is not the end for the beginning."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return queue if queue.start == "latest" else replace(queue, start="earliest")


@caught_by()
class StartsOver(Animal):
    """Goes back to where a queue starts each time that it is declared."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        for queue in topology.queues.values():
            if mode is ProvisionMode.CREATE and queue.start == "earliest":
                await self.seek(queue, "earliest")
        return plan
