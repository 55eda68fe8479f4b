"""Animals that make, change or tell of a topology what they should not."""

from dataclasses import replace

from msgkit.errors import TopologyMismatch
from msgkit.spi import (
    Plan,
    PlanAction,
    PlanEntry,
    ProvisionMode,
    QueueSpec,
    Topology,
)
from tests.zoo.animal import Animal, caught_by

__all__: list[str] = []


class _Modes(Animal):
    modes: dict[ProvisionMode, ProvisionMode] = {}  # noqa: RUF012 -- replaced, never changed

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        return await super().provision(topology, self.modes.get(mode, mode))


@caught_by("a_plan_says_what_is_missing_and_makes_nothing")
class MakesWhatItPlans(_Modes):
    """Makes what it was only asked about."""

    modes = {ProvisionMode.PLAN: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by("an_application_that_verifies_runs_on_what_others_declared")
class MakesWhatItVerifies(_Modes):
    """Makes what is missing where nothing may be made."""

    modes = {ProvisionMode.VERIFY: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by("assuming_declares_nothing_and_works_on_what_is_there")
class MakesWhatItAssumes(_Modes):
    """Makes what was said to be there."""

    modes = {ProvisionMode.ASSUME: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by("verifying_refuses_what_is_missing_and_makes_nothing")
class VerifiesNothing(_Modes):
    """Takes for there what it should look at."""

    modes = {ProvisionMode.VERIFY: ProvisionMode.ASSUME}  # noqa: RUF012 -- as above


@caught_by("a_route_that_drifts_loses_nothing_of_what_it_kept")
class PrunesUnasked(_Modes):
    """Takes away every route that an application does not know."""

    modes = {ProvisionMode.CREATE: ProvisionMode.PRUNE}  # noqa: RUF012 -- as above


@caught_by("a_stale_route_is_told_and_goes_only_when_pruned")
class PrunesNothing(_Modes):
    """Keeps stale routes that it was asked to take away."""

    modes = {ProvisionMode.PRUNE: ProvisionMode.CREATE}  # noqa: RUF012 -- as above


@caught_by("a_declared_queue_gets_everything_long_before_anybody_listens")
class EmptiesWhatIsThere(Animal):
    """Makes a queue anew each time that it is declared."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        if mode is ProvisionMode.CREATE:
            with self.broker.lock:
                for name in topology.queues:
                    self.broker.content.queues[name].purge()
        return plan


@caught_by("what_differs_is_refused_by_name_or_done")
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


@caught_by("options_of_other_brokers_are_listed_and_do_no_harm")
class HidesWhatItIgnores(_Plans):
    """Does not say which options mean nothing to it."""

    hides = PlanAction.IGNORED


@caught_by("a_stale_route_is_told_and_goes_only_when_pruned")
class HidesWhatIsStale(_Plans):
    """Does not say which routes nobody declares any more."""

    hides = PlanAction.STALE


@caught_by("a_prefix_stands_before_every_name")
class HidesWhatIsMissing(_Plans):
    """Does not say what would be made."""

    hides = PlanAction.CREATE


@caught_by("declaring_twice_changes_nothing_and_keeps_what_waits")
class MakesEverythingAgain(Animal):
    """Says of what is there that it was made."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        entries = [replace(each, action=self.action(each)) for each in plan.entries]
        return Plan(tuple(entries))

    def action(self, entry: PlanEntry) -> PlanAction:
        return PlanAction.CREATE if entry.action is PlanAction.EXISTS else entry.action


@caught_by(
    "many_may_declare_the_same_at_once",
    "declaring_under_a_consumer_disturbs_nobody",
    "two_names_that_the_broker_could_confuse_are_two_or_refused",
)
class ForbidsCompany(Animal):
    """Lets nobody declare what somebody else has declared."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        there = self.broker.content.queues
        if mode is ProvisionMode.CREATE and (known := [n for n in topology.queues if n in there]):
            raise TopologyMismatch(f"{known} exist already")
        return await super().provision(topology, mode)


@caught_by("a_queue_may_start_with_all_there_is")
class StartsAtTheEnd(Animal):
    """Ignores where a queue is to start."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, start="latest")


@caught_by("a_queue_may_start_at_a_moment")
class StartsAtTheBeginning(Animal):
    """Takes every start that is not the end for the beginning."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return queue if queue.start == "latest" else replace(queue, start="earliest")


@caught_by("where_a_queue_started_counts_only_once")
class StartsOver(Animal):
    """Goes back to where a queue starts each time that it is declared."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        for queue in topology.queues.values():
            if mode is ProvisionMode.CREATE and queue.start == "earliest":
                await self.seek(queue, "earliest")
        return plan


@caught_by("a_declaration_that_is_refused_stops_no_consumer")
class StopsAllOverAMismatch(Animal):
    """Delivers nothing any more when something is declared that differs."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        try:
            return await super().provision(topology, mode)
        except TopologyMismatch:
            with self.broker.lock:
                for queue in self.broker.content.queues.values():
                    for taker in queue.takers:
                        queue.bench(taker)
            raise
