"""Topology below the face: what a client of its own would make of some declarations."""

import re
from typing import Any

from msgkit.naming import Naming
from msgkit.spi import Plan, PlanAction, ProvisionMode
from msgkit.testing.conformance.lab import Lab
from msgkit.topology import Destination

__all__ = ["entries", "provision"]


async def provision(lab: Lab, mode: ProvisionMode, *destinations: Destination[Any]) -> Plan:
    """Have another client declare destinations in a mode; it is gone when this returns."""
    (topology,) = Naming(lab.settings()).topologies(destinations).values()
    async with lab.binding("declares") as binding:
        return await binding.provision(topology, mode)


def entries(plan: Plan, action: PlanAction, *names: str) -> list[str]:
    """Return what is said of each entry with this action that is of all these names."""
    found = (entry for entry in plan.entries if entry.action is action)
    texts = [f"{entry.what} {entry.name} {entry.detail}" for entry in found]
    return [text for text in texts if all(_names(text, name) for name in names)]


def _names(text: str, name: str) -> bool:
    """Tell whether a text holds a name whole: that of a queue is part of its dead letters'."""
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) is not None
