"""What a benchmark found: one form for all of them, as a table or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

__all__ = ["Report", "compared"]

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One benchmark: its results, and the runs that they come from.

    `notes` are the sentences that a reader is after; `also` was measured on the same occasion.
    """

    benchmark: str
    unit: str
    results: Figures
    runs: Sequence[Figures]
    notes: tuple[str, ...] = ()
    also: tuple["Report", ...] = ()

    def and_also(self, *others: "Report") -> "Report":
        return replace(self, also=(*self.also, *others))

    def as_dict(self) -> dict[str, object]:
        form: dict[str, object] = {
            "benchmark": self.benchmark,
            "unit": self.unit,
            "results": _rounded(self.results),
            "runs": [_rounded(run) for run in self.runs],
        }
        if self.also:
            form["also"] = [report.as_dict() for report in self.also]
        return form

    def __str__(self) -> str:
        rows = self._spread() if self.runs[0].keys() == self.results.keys() else self._runs()
        lines = [f"{self.benchmark}, {self.unit}", "", *_table(rows), "", *self.notes]
        return "\n\n".join(["\n".join(lines).rstrip(), *map(str, self.also)])

    def _spread(self) -> list[list[str]]:
        if len(self.runs) == 1:
            return [["", "each"], *([name, _told(value)] for name, value in self.results.items())]
        rows = [["", "median", "least", "most"]]
        for name, value in self.results.items():
            all_of_it = [run[name] for run in self.runs]
            rows.append([name, *map(_told, (value, min(all_of_it), max(all_of_it)))])
        return rows

    def _runs(self) -> list[list[str]]:
        return [list(self.runs[0]), *([_told(value) for value in run.values()] for run in self.runs)]


def compared(benchmark: str, unit: str, runs: Sequence[Figures], *notes: str) -> Report:
    """Return a report of runs that each measured all of those compared: the result is the median."""
    results = {name: median(run[name] for run in runs) for name in runs[0]}
    return Report(benchmark=benchmark, unit=unit, results=results, runs=runs, notes=notes)


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"  # noqa: PLR2004 -- three digits tell enough


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place or cell[:1].isdigit() else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
