"""What every benchmark prints: a table for people and one JSON line per result."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Result:
    """One measured figure against its bar.

    Attributes:
        bench: Name of the benchmark.
        metric: What was measured.
        value: The figure.
        unit: Its unit.
        bar: What it must not exceed, or None where it is only reported.
    """

    bench: str
    metric: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the bar is kept."""
        return self.bar is None or self.value <= self.bar


def finish(results: list[Result]) -> None:
    """Print one JSON line per result and exit non-zero where a bar is missed."""
    for result in results:
        print(json.dumps({**asdict(result), "value": round(result.value, 4), "ok": result.ok}))
    sys.exit(0 if all(result.ok for result in results) else 1)
