"""Bindings that are broken on purpose, and the checks that find out: a check that no animal fails proves nothing."""

from tests.zoo import (
    burying,
    competing,
    connections,
    contents,
    deals,
    declaring,
    naming,
    ordering,
    powers,
    retrying,
    routing,
    sending,
    settling,
    timing,
    writing,
)
from tests.zoo.animal import ZOO, Animal
from tests.zoo.cage import Cage, fault_found, visit

__all__ = [
    "ZOO",
    "Animal",
    "Cage",
    "burying",
    "competing",
    "connections",
    "contents",
    "deals",
    "declaring",
    "fault_found",
    "naming",
    "ordering",
    "powers",
    "retrying",
    "routing",
    "sending",
    "settling",
    "timing",
    "visit",
    "writing",
]
