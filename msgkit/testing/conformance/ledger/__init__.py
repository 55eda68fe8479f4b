"""The oracle: a ledger of what was sent and what came, judged by rules; pure, without I/O."""

from msgkit.testing.conformance.ledger.recorder import Ledger
from msgkit.testing.conformance.ledger.records import Content, Promises, content
from msgkit.testing.conformance.ledger.verdicts import RULES, Finding, Report

__all__ = ["RULES", "Content", "Finding", "Ledger", "Promises", "Report", "content"]
