"""A plan, for people: what is to be declared, what differs, and what each broker can do."""

from collections.abc import Iterator, Sequence

from msgkit.application import PlannedBroker
from msgkit.spi import Capabilities, Plan, PlanAction, Power

__all__ = ["is_done", "plan_lines", "print_plan"]

_MARKS = {
    PlanAction.CREATE: "+",
    PlanAction.EXISTS: " ",
    PlanAction.DIFFERS: "!",
    PlanAction.STALE: "-",
    PlanAction.IGNORED: "·",
}


def print_plan(planned: Sequence[PlannedBroker]) -> None:
    """Print a plan, at once: whoever reads its beginning may not wait for the end."""
    print("\n".join(plan_lines(planned)))


def is_done(planned: Sequence[PlannedBroker], *, pruned: bool) -> bool:
    """Is nothing left to do? What was to be made and taken away was, where a plan was carried out by pruning."""
    if not pruned:
        return all(plan.clean for _, _, plan in planned)
    return all(entry.action is not PlanAction.DIFFERS for _, _, plan in planned for entry in plan.entries)


def plan_lines(planned: Sequence[PlannedBroker]) -> Iterator[str]:
    for name, capabilities, plan in planned:
        yield f"broker {name!r}: {capabilities.broker}"
        yield from _entries(plan)
        yield from _capabilities(capabilities)
        yield ""


def _entries(plan: Plan) -> Iterator[str]:
    for entry in plan.entries:
        detail = f": {entry.detail}" if entry.detail else ""
        yield f"  {_MARKS[entry.action]} {entry.action.value:<8} {entry.what} {entry.name}{detail}"


def _capabilities(capabilities: Capabilities) -> Iterator[str]:
    yield "  capabilities"
    yield f"    {'outlives a restart':<50} {'yes' if capabilities.durable else 'no'}"
    yield f"    {'shared by':<50} one {capabilities.shared.value}"
    yield f"    {'ordered queues':<50} by {capabilities.order.value}"
    for power in Power:
        yield f"    {power.value:<50} {capabilities.support(power)}"
