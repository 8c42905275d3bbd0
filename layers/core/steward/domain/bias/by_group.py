"""Any metric by group, with differences and ratios, as Fairlearn's ``MetricFrame`` gives them.

A group is a combination of values of the sensitive columns, so that intersections are groups too.
Source of the terms: Fairlearn user guide, "Performing a Fairness Assessment"; ``between_groups``
compares the largest with the smallest, ``to_overall`` the farthest one with all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steward.domain.bias.facets import Bools, Value
from steward.domain.bias.rates import RATES, Cell, Rate
from steward.domain.errors import RejectedError
from steward.domain.losses import THRESHOLD
from steward.domain.p_values import adjusted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Metric = Callable[[Floats, Floats, Floats], Floats]
"""(labels, predictions, weights) -> values; weights have shape (samples, n), values (samples,).

A metric is of weighted rows, so that a resample is a set of weights. Undefined is NaN.
"""
Method = Literal["between_groups", "to_overall"]


def weighted_mean(loss: Callable[[Floats, Floats], Floats]) -> Metric:
    """Return the metric that averages a loss of rows."""

    def metric(labels: Floats, predictions: Floats, weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        mean = (weights @ loss(labels, predictions)) / np.where(total == 0, 1, total)
        return np.where(total == 0, np.nan, mean)

    return metric


def _cells(labels: Floats, predictions: Floats, cells: Sequence[Cell]) -> Floats:
    """Return which rows lie in one of some cells, as 0 and 1."""
    positive, selected = labels == 1, predictions >= THRESHOLD
    where: Mapping[Cell, Bools] = {
        "tp": positive & selected, "fp": ~positive & selected,
        "fn": positive & ~selected, "tn": ~positive & ~selected,
    }  # fmt: skip
    found: Floats = np.logical_or.reduce([where[cell] for cell in cells]).astype(np.float64)
    return found


def rate_of(rate: Rate) -> Metric:
    """Return the metric that is a rate."""
    over, under = RATES[rate]

    def metric(labels: Floats, predictions: Floats, weights: Floats) -> Floats:
        base = weights @ _cells(labels, predictions, under)
        hits = weights @ _cells(labels, predictions, over)
        return np.where(base == 0, np.nan, hits / np.where(base == 0, 1, base))

    return metric


METRICS: Mapping[str, Metric] = {
    **{rate: rate_of(rate) for rate in RATES},
    "mean_prediction": weighted_mean(lambda _, predictions: predictions),
    "brier": weighted_mean(lambda labels, predictions: (predictions - labels) ** 2),
    "mean_absolute_error": weighted_mean(lambda labels, predictions: np.abs(predictions - labels)),
    "mean_squared_error": weighted_mean(lambda labels, predictions: (predictions - labels) ** 2),
    "root_mean_squared_error": lambda labels, predictions, weights: np.sqrt(
        weighted_mean(lambda y, p: (p - y) ** 2)(labels, predictions, weights)
    ),
    "mean_error": weighted_mean(lambda labels, predictions: predictions - labels),
}
"""Of binary labels (0, 1) with probabilities, and of numbers with predicted numbers."""


@dataclass(frozen=True)
class GroupValue:
    """A metric of one group.

    Attributes:
        group: Value of each sensitive column.
        rows: Rows of the group.
        value: None where the metric is undefined, or the group too small to be judged.
        lower: Percentile bootstrap interval, two-sided.
        upper: Upper end of it.
        p_value: Two-sided bootstrap p-value of no difference to the rows outside the group.
        adjusted: The same after Benjamini-Hochberg over the groups.
        why: Why there is no value.
        denominator: Rows of the metric's own denominator.
    """

    group: Mapping[str, Value]
    rows: int
    value: float | None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    why: str | None = None
    denominator: int = 0


@dataclass(frozen=True)
class Spread:
    """A difference or ratio over the groups with its interval; None where fewer than two count."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class ByGroup:
    """One metric by group.

    Attributes:
        metric: Its name.
        overall: Of all rows.
        groups: In the order of their values.
        differences: By method, always >= 0.
        ratios: By method, smaller to larger, in [0, 1] for metrics that are not negative.
    """

    metric: str
    overall: float | None
    groups: tuple[GroupValue, ...]
    differences: Mapping[Method, Spread]
    ratios: Mapping[Method, Spread]


def by_group(
    metric: str,
    labels: Floats,
    predictions: Floats,
    sensitive: Mapping[str, Sequence[Value]],
    *,
    minimum_rows: int = 100,
    confidence: float = 0.95,
    samples: int = 1000,
    seed: int = 20,
    metrics: Mapping[str, Metric] = METRICS,
) -> ByGroup:
    """Compute a metric in each group.

    Rows are drawn with replacement within each group, so that small groups are in every resample.
    A spread of groups is larger than 0 by chance alone: its interval is of the resampled spread
    and shows this upward bias; groups are judged by their adjusted p-values.

    Args:
        metric: A name in ``metrics``.
        labels: Shape (n,).
        predictions: Probabilities or numbers, shape (n,).
        sensitive: Columns by name, each of n values; several make intersections, and those that
            no row belongs to are shown with 0 rows.
        minimum_rows: Rows of the metric's own denominator; smaller groups are shown without a
            value.
        confidence: Two-sided level.
        samples: Resamples.
        seed: Of the resampling.
        metrics: What metrics there are.

    Raises:
        RejectedError: No such metric, no sensitive column, columns of different length, no rows.
    """
    _check(metric, labels, predictions, sensitive, metrics)
    names, codes = _groups(sensitive)
    rng = np.random.default_rng(seed)
    alike = _Alike.of(labels, predictions, codes)
    drawn = _Drawn(metrics[metric], alike, len(names), samples, rng)
    sizes = np.bincount(codes, minlength=len(names))
    under = RATES[metric][1] if metric in RATES else ()  # type: ignore[index]
    counted = _cells(labels, predictions, under) if under else np.ones(len(labels))
    denominators = np.bincount(codes, counted, minlength=len(names)).astype(np.int64)
    usable = (denominators >= minimum_rows) & np.isfinite(drawn.values)
    tail = (1 - confidence) / 2
    p_values = [drawn.p_value(place) if usable[place] else None for place in range(len(names))]
    corrected = iter(adjusted([p for p in p_values if p is not None]).tolist())
    groups = []
    for place, key in enumerate(names):
        group, rows = dict(zip(sensitive, key, strict=True)), int(sizes[place])
        denominator = int(denominators[place])
        if not usable[place]:
            why = "a denominator is 0"
            if denominator < minimum_rows and (denominator or not rows):
                why = f"{denominator} rows, needs {minimum_rows}"
            groups.append(GroupValue(group, rows, None, why=why, denominator=denominator))
            continue
        lower, upper = _quantiles(drawn.resampled[:, place], tail)
        p_value = p_values[place]
        groups.append(GroupValue(
            group, rows, float(drawn.values[place]), lower, upper, p_value,
            None if p_value is None else next(corrected), denominator=denominator,
        ))  # fmt: skip
    value = drawn.overall
    return ByGroup(
        metric, float(value) if np.isfinite(value) else None, tuple(groups),
        {method: drawn.spread(method, usable, tail, ratio=False) for method in _METHODS},
        {method: drawn.spread(method, usable, tail, ratio=True) for method in _METHODS},
    )  # fmt: skip


def _check(
    metric: str,
    labels: Floats,
    predictions: Floats,
    sensitive: Mapping[str, Sequence[Value]],
    metrics: Mapping[str, Metric],
) -> None:
    if metric not in metrics:
        raise RejectedError(
            "no such metric", field="metric", value=metric, allowed=", ".join(metrics)
        )
    n = len(labels)
    if not sensitive or not n:
        raise RejectedError(
            "groups need at least one sensitive column and one row",
            field="sensitive", value=list(sensitive), allowed="1 or more",
        )  # fmt: skip
    sizes = {"predictions": len(predictions)} | {name: len(of) for name, of in sensitive.items()}
    for name, size in sizes.items():
        if size != n:
            raise RejectedError(
                f"{name} has {size} rows, the labels have {n}",
                field=name, value=size, allowed=str(n),
            )  # fmt: skip


def _groups(sensitive: Mapping[str, Sequence[Value]]) -> tuple[list[tuple[Value, ...]], Ints]:
    """Return the groups in order, with the empty ones of an intersection, and each row's group."""
    keys = list(zip(*sensitive.values(), strict=True))
    found = set(keys)
    if len(sensitive) > 1:
        every = [sorted(set(values), key=str) for values in sensitive.values()]
        if np.prod([len(values) for values in every]) <= _MOST_GROUPS:
            found |= set(product(*every))
    names = sorted(found, key=lambda key: [(value is not None, str(value)) for value in key])
    places = {key: place for place, key in enumerate(names)}
    return names, np.fromiter((places[key] for key in keys), np.int64, len(keys))


@dataclass(frozen=True)
class _Alike:
    """Rows of a group with one label and one prediction, counted: they are alike to any metric."""

    codes: Ints
    labels: Floats
    predictions: Floats
    counts: Ints

    @classmethod
    def of(cls, labels: Floats, predictions: Floats, codes: Ints) -> _Alike:
        order = np.lexsort((predictions, labels, codes))
        rows = np.stack((codes.astype(np.float64), labels, predictions))[:, order]
        new = np.ones(rows.shape[1], np.bool_)
        new[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
        starts = np.flatnonzero(new)
        counts = np.diff(np.append(starts, rows.shape[1]))
        kept = rows[:, starts]
        return cls(kept[0].astype(np.int64), kept[1], kept[2], counts)


_METHODS: tuple[Method, ...] = ("between_groups", "to_overall")
_CELLS = 4_000_000
_MOST_GROUPS = 400
"""Above this many combinations only those that occur are groups."""


class _Drawn:
    """Values of the groups, of all rows, and of what is outside each group; and resampled."""

    def __init__(
        self, compute: Metric, alike: _Alike, groups: int, samples: int, rng: np.random.Generator
    ) -> None:
        labels, predictions = alike.labels, alike.predictions
        self.values = np.full(groups, np.nan)
        self.resampled = np.full((samples, groups), np.nan)
        self.outside = np.full(groups, np.nan)
        self.outside_resampled = np.full((samples, groups), np.nan)
        whole = alike.counts.astype(np.float64)[None, :]
        self.overall = compute(labels, predictions, whole)[0]
        self.overall_resampled = np.full(samples, np.nan)
        members = [np.flatnonzero(alike.codes == group) for group in range(groups)]
        for group, rows in enumerate(members):
            inside = np.zeros_like(whole)
            inside[0, rows] = whole[0, rows]
            self.values[group] = compute(labels, predictions, inside)[0]
            self.outside[group] = compute(labels, predictions, whole - inside)[0]
        step = max(1, _CELLS // len(labels))
        for at in range(0, samples, step):
            some = slice(at, min(samples, at + step))
            size = some.stop - some.start
            weights = np.zeros((size, len(labels)))
            for rows in members:
                if rows.size:
                    n = int(alike.counts[rows].sum())
                    weights[:, rows] = rng.multinomial(n, alike.counts[rows] / n, size=size)
            self.overall_resampled[some] = compute(labels, predictions, weights)
            for group, rows in enumerate(members):
                inside = np.zeros_like(weights)
                inside[:, rows] = weights[:, rows]
                self.resampled[some, group] = compute(labels, predictions, inside)
                self.outside_resampled[some, group] = compute(labels, predictions, weights - inside)

    def p_value(self, group: int) -> float | None:
        """Two-sided p-value of no difference to the rows outside, by inverting the bootstrap.

        (1 + resamples whose difference, centred at 0, is at least as far as the one seen)
        / (1 + resamples).
        """
        seen = self.values[group] - self.outside[group]
        differences = self.resampled[:, group] - self.outside_resampled[:, group]
        centred = np.abs(differences[np.isfinite(differences)] - seen)
        if not np.isfinite(seen) or not centred.size:
            return None
        return float((1 + (centred >= abs(seen) - 1e-12).sum()) / (1 + centred.size))

    def spread(
        self, method: Method, usable: NDArray[np.bool_], tail: float, *, ratio: bool
    ) -> Spread:
        """Return the difference or ratio over the groups that count."""
        if usable.sum() < (2 if method == "between_groups" else 1):
            return Spread(None, None, None)
        value = _spread(self.values[None, usable], np.asarray([self.overall]), method, ratio=ratio)
        drawn = _spread(
            self.resampled[:, usable], self.overall_resampled, method, ratio=ratio
        )  # fmt: skip
        if not np.isfinite(value[0]):
            return Spread(None, None, None)
        lower, upper = _quantiles(drawn, tail)
        return Spread(float(value[0]), lower, upper)


def _spread(values: Floats, overall: Floats, method: Method, *, ratio: bool) -> Floats:
    if method == "to_overall":
        against = np.broadcast_to(overall[:, None], values.shape)
        low, high = np.minimum(values, against), np.maximum(values, against)
        if not ratio:
            return np.asarray((high - low).max(axis=1))
        return np.asarray(_share(low, high).min(axis=1))
    low, high = values.min(axis=1), values.max(axis=1)
    return np.asarray(_share(low, high) if ratio else high - low)


def _share(low: Floats, high: Floats) -> Floats:
    """Return low / high; NaN where that says nothing, which is at 0 and across it."""
    fine = (high > 0) & (low >= 0)
    return np.where(fine, low / np.where(fine, high, 1), np.nan)


def _quantiles(values: Floats, tail: float) -> tuple[float | None, float | None]:
    defined = values[np.isfinite(values)]
    if defined.size < 0.95 * values.size:
        return None, None
    lower, upper = np.quantile(defined, [tail, 1 - tail])
    return float(lower), float(upper)
