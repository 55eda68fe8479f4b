"""One suite that every binding passes on its real broker: promises, faults and a ledger."""

from msgkit.testing.conformance.harness import Fault, Harness
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import CHECKS, Check, Skipped, check

__all__ = ["CHECKS", "Check", "Fault", "Harness", "Lab", "Skipped", "check"]
