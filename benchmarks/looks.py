"""What a service holds, looked at now and then: what grows shows between the first look and the last."""

import gc
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage

from benchmarks.report import Report

__all__ = ["LOOKS", "look", "report"]

#: So often it is looked, evenly.
LOOKS = 10

_STATM = Path("/proc/self/statm")


def look(**when: float) -> dict[str, float]:
    """Return what is held now, behind what is said of when that is."""
    gc.collect()
    return {**when, "rss_kib": _resident() / 1024, "blocks": sys.getallocatedblocks()}


def _resident() -> int:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * getpagesize()
    # Elsewhere only the most that it ever was can be had, which will do to see it grow.
    most = getrusage(RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def report(benchmark: str, each: str, runs: Sequence[Mapping[str, float]], *notes: str) -> Report:
    """Return what grew for each of those that a run counts first."""
    first, last = runs[0], runs[-1]
    counted = next(iter(first))
    passed = last[counted] - first[counted]
    grown = (last["rss_kib"] - first["rss_kib"]) * 1024 / passed
    blocks = last["blocks"] - first["blocks"]
    note = f"from the first look to the last: {grown:+.2f} bytes a {each}, and {blocks:+,.0f} memory blocks in all"
    return Report(benchmark=benchmark, unit=f"bytes/{each}", results={"msgkit": grown}, runs=runs, notes=(note, *notes))
