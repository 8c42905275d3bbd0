"""Hyperparameters to try next, by the strategies of a SageMaker tuning job.

``Bayesian`` here is a kernel regression of the objective over the unit cube with the distance to
what was tried as its doubt: as SageMaker's, it exploits what was seen and explores what was not,
but the points that it picks are its own.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_CANDIDATES = 200
_WIDTH = 0.3
_NEAREST = 3
_DOUBT = 1.0
_FIRST = 3


@dataclass(frozen=True)
class Trial:
    """Hyperparameters that were tried, and what came of them; ``score`` is to be made least."""

    parameters: dict[str, str]
    point: tuple[float, ...]
    score: float


class Search:
    """Proposes hyperparameters; the same seed proposes the same after the same trials."""

    def __init__(self, strategy: str, ranges: dict[str, Any], seed: int) -> None:
        self._strategy = strategy
        self._numbers = [
            *(("continuous", item) for item in ranges.get("ContinuousParameterRanges", [])),
            *(("integer", item) for item in ranges.get("IntegerParameterRanges", [])),
        ]
        self._categories = ranges.get("CategoricalParameterRanges", [])
        self._dice = random.Random(seed)  # noqa: S311 - a search, no secret
        self._grid = itertools.product(*(item["Values"] for item in self._categories))

    def propose(self, tried: Sequence[Trial]) -> tuple[dict[str, str], tuple[float, ...]] | None:
        """Return hyperparameters and their place in the unit cube; None when a grid is done."""
        if self._strategy == "Grid":
            values = next(self._grid, None)
            if values is None:
                return None
            names = [item["Name"] for item in self._categories]
            return dict(zip(names, values, strict=True)), ()
        if self._strategy == "Random" or len(tried) < _FIRST:
            point = self._random_point()
        else:
            points = [self._random_point() for _ in range(_CANDIDATES)]
            point = min(points, key=lambda at: _hope(at, tried))
        return self._parameters(point), point

    def _random_point(self) -> tuple[float, ...]:
        size = len(self._numbers) + len(self._categories)
        return tuple(self._dice.random() for _ in range(size))

    def _parameters(self, point: tuple[float, ...]) -> dict[str, str]:
        found = {}
        for (kind, item), share in zip(self._numbers, point, strict=False):
            found[item["Name"]] = _number(kind, item, share)
        for item, share in zip(self._categories, point[len(self._numbers) :], strict=True):
            values = item["Values"]
            found[item["Name"]] = values[min(int(share * len(values)), len(values) - 1)]
        return found


def _number(kind: str, item: dict[str, Any], share: float) -> str:
    low, high = float(item["MinValue"]), float(item["MaxValue"])
    scaling = item.get("ScalingType", "Auto")
    if scaling == "Logarithmic" or (scaling == "Auto" and low > 0 and high / low >= 100):
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    elif scaling == "ReverseLogarithmic":
        value = 1 - math.exp(math.log(1 - low) + share * (math.log(1 - high) - math.log(1 - low)))
    else:
        value = low + share * (high - low)
    value = min(max(value, low), high)
    return str(round(value)) if kind == "integer" else repr(value)


def _hope(at: tuple[float, ...], tried: Sequence[Trial]) -> float:
    """Return a lower bound of the score that may be expected at a point."""
    scores = [trial.score for trial in tried]
    middle = sum(scores) / len(scores)
    spread = math.sqrt(sum((score - middle) ** 2 for score in scores) / len(scores)) or 1.0
    distances = [math.dist(at, trial.point) for trial in tried]
    width = _WIDTH / len(tried)
    weights = [math.exp(-((distance / width) ** 2) / 2) for distance in distances]
    total = sum(weights)
    known = total / (total + 0.5)
    order = sorted(range(len(tried)), key=lambda number: distances[number])[:_NEAREST]
    near = [1 / (distances[number] + 1e-6) for number in order]
    mean = sum(w * scores[n] for w, n in zip(near, order, strict=True)) / sum(near)
    return mean - _DOUBT * (1 - known) * spread * min(distances)
