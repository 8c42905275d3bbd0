"""How often a comparison by later days calls equal versions different, and what it finds.

Differences in loss of series and days, with fixed seeds: noise of each row, a shock that all series
of a day share, an effect of a series that stays. *By series* is the bootstrap over series alone,
what a split by entities has; *by both* is what a split by time has. Bars: 5 % on each side plus
three standard errors, twice 5 % where the shock remembers 0.6 of yesterday's: blocks of days take
most of such a memory and not all of it. Run: ``make bench NAME=time_blocks``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from results import Result, finish
from steward.domain.comparison import Comparison, ComparisonSettings, compare
from steward_cli.console import table

Floats = NDArray[np.float64]

REPETITIONS = 400
EFFECT = 0.4
"""A true difference in mean loss, in standard deviations of a row's own noise."""
_FIRST = date(2026, 1, 5)
_PLAN = ComparisonSettings(
    loss="absolute_error", margin=EFFECT, confidence=0.95, bootstrap_samples=400, seed=20,
    slice_confidence=0.99, slice_minimum_rows=25,
)  # fmt: skip
_CONSOLE = Console(width=118)


@dataclass(frozen=True)
class Cell:
    """What makes differences: the spread of each part, own noise being 1.

    Attributes:
        name: For people.
        series: Series that judge.
        days: Days that judge.
        shock: Of what all series of a day share.
        memory: What a shock keeps of yesterday's.
        effect: Of what stays with a series.
        lead: Days until an outcome is known; the noise of that many days hangs together.
    """

    name: str
    series: int
    days: int
    shock: float = 0.0
    memory: float = 0.0
    effect: float = 0.0
    lead: int = 1

    def differences(self, draw: np.random.Generator) -> Floats:
        """Differences with mean 0, a row for each series."""
        shocks = np.empty(self.days)
        last = draw.normal()
        for day in range(self.days):
            shocks[day] = last
            last = self.memory * last + math.sqrt(1 - self.memory**2) * draw.normal()
        noise = draw.normal(size=(self.series, self.days + self.lead - 1))
        window = np.ones(self.lead) / math.sqrt(self.lead)
        own = np.stack([np.convolve(row, window, "valid") for row in noise])
        stays = draw.normal(size=(self.series, 1))
        return own + self.shock * shocks + self.effect * stays


CELLS = (
    Cell("rows independent", 12, 28),
    Cell("shared shocks", 12, 28, shock=0.5),
    Cell("shared shocks", 50, 28, shock=0.5),
    Cell("shared shocks", 50, 56, shock=0.5),
    Cell("shared shocks that last", 12, 28, shock=0.5, memory=0.6),
    Cell("shared shocks that last", 50, 91, shock=0.5, memory=0.6),
    Cell("series differ", 12, 28, effect=0.3),
    Cell("both", 12, 28, shock=0.5, memory=0.3, effect=0.3),
    Cell("five series, both", 5, 28, shock=0.5, memory=0.3, effect=0.3),
    Cell("one series", 1, 28),
    Cell("known a week later", 12, 56, shock=0.5, lead=7),
)


def compared(cell: Cell, differences: Floats, *, by_time: bool) -> Comparison:
    """The comparison of a champion with a constant loss and a candidate that loses this more."""
    entities = [f"s{n:02d}" for n in range(cell.series) for _ in range(cell.days)]
    days = [_FIRST + timedelta(days=n) for n in range(cell.days)] * cell.series
    champion = np.full(differences.size, 100.0)
    return compare(
        entities, np.zeros(differences.size), champion + differences.ravel(), champion,
        slices={}, settings=_PLAN, asked_on=days if by_time else None, lead_days=cell.lead,
    )  # fmt: skip


@dataclass
class Rates:
    """How often each claim was made, of equal versions and of one worse by ``EFFECT``."""

    worse: int = 0
    better: int = 0
    found: int = 0
    passed: int = 0

    def add(self, equal: Comparison, worse: Comparison) -> None:
        """Count one repetition."""
        self.worse += equal.proved_worse
        self.better += equal.superior
        self.passed += equal.verdict == "pass"
        self.found += worse.proved_worse


def rates(cell: Cell, seed: int) -> tuple[Rates, Rates]:
    """Rates by series alone and by both."""
    draw = np.random.default_rng(seed)
    before, now = Rates(), Rates()
    for _ in range(REPETITIONS):
        equal = cell.differences(draw)
        for found, by_time in ((before, False), (now, True)):
            found.add(
                compared(cell, equal, by_time=by_time),
                compared(cell, equal + EFFECT, by_time=by_time),
            )
    return before, now


def _bar(cell: Cell) -> float:
    alpha = 0.1 if cell.memory > 0.5 else 0.05
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / REPETITIONS)


def main() -> None:
    """Simulate all cells, print the table and the results."""
    results, lines = [], []
    for number, cell in enumerate(CELLS):
        before, now = rates(cell, number)
        name = f"{cell.name}, {cell.series} series, {cell.days} days"
        for side in ("worse", "better"):
            value = getattr(now, side) / REPETITIONS
            results.append(Result("time_blocks", f"{name}: false {side}", value, "", _bar(cell)))
        results.append(Result("time_blocks", f"{name}: worse found", now.found / REPETITIONS, ""))
        shown = [
            f"{100 * getattr(before, what) / REPETITIONS:.0f} / "
            f"{100 * getattr(now, what) / REPETITIONS:.0f}"
            for what in ("worse", "better", "found", "passed")
        ]
        lines.append([name, *shown])
    heads = [
        "% of comparisons, by series alone / by both", "false worse", "false better",
        f"worse by {EFFECT} found", "equal passes",
    ]  # fmt: skip
    _CONSOLE.print(table(heads, lines))
    finish(results)


if __name__ == "__main__":
    main()
