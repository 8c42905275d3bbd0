"""All bias metrics of one facet with intervals, each defined or with the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from steward.domain.bias.facets import A, Bools, Compared, D, Value, compare_facets
from steward.domain.bias.fliptest import flips
from steward.domain.bias.intervals import difference_interval
from steward.domain.bias.names import POST_TRAINING, PRE_TRAINING, Mode
from steward.domain.bias.rates import COMPARISONS
from steward.domain.bias.two_facets import (
    FACETS,
    divergences,
    own_denominators,
    rate_cells,
    values_of,
)

Floats = NDArray[np.float64]
Bound = tuple[float, float]
"""Lowest and highest value allowed; infinite where there is no limit."""

FLIP_ROWS = 5000
"""Rows of a facet that the flip test, which compares each with each, is of at most."""

_DIVERGENCES = ("KL", "JS", "LP", "TVD", "KS")
_WHY = {
    "KL": "a label value of facet a never occurs in facet d",
    "CDDL": "all labels are equal",
    "CDDPL": "all predictions are equal",
    "DI": "no row of facet a is predicted positive",
    "DCAcc": "a facet has no row that is predicted positive",
    "DAR": "a facet has no row that is predicted positive",
    "DCR": "a facet has no row that is predicted negative",
    "DRR": "a facet has no row that is predicted negative",
    "RD": "a facet has no row with a positive label",
    "SD": "a facet has no row with a negative label",
    "TE": "a facet has no false negative",
    "GE": "every prediction is a false negative",
}


class BiasMetric(BaseModel):
    """One metric.

    Attributes:
        name: As SageMaker Clarify names it.
        value: None where it is undefined.
        undefined_because: Why.
        lower: Lower end of the two-sided interval; None where too few resamples define it.
        upper: Upper end.
        method: ``newcombe`` for differences of two independent proportions, else ``bootstrap``.
        rows: Rows of the metric's own denominator, in the facet that has fewer.
        p_outside: Two-sided p-value that the metric lies outside of the bound it was given: the
            smallest error at which its interval is wholly outside. None without a bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    value: float | None
    undefined_because: str | None = None
    lower: float | None = None
    upper: float | None = None
    method: str | None = None
    rows: int
    p_outside: float | None = None


class BiasReport(BaseModel):
    """The metrics of one facet.

    Attributes:
        facet: Name of the facet, such as ``sex = 2``.
        mode: ``exact`` or ``clarify_compatible``.
        rows_a: Rows of facet a.
        rows_d: Rows of facet d.
        confidence: Two-sided level of the intervals.
        bootstrap_samples: Resamples of the bootstrap intervals.
        seed: Of the resampling.
        metrics: Pre-training metrics, and post-training ones where there are predictions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    facet: str
    mode: Mode
    rows_a: int
    rows_d: int
    confidence: float = Field(gt=0, lt=1)
    bootstrap_samples: int
    seed: int
    metrics: list[BiasMetric]

    def metric(self, name: str) -> BiasMetric:
        """Return one metric by its name."""
        return next(metric for metric in self.metrics if metric.name == name)


def report_bias(
    facet: str,
    disadvantaged: Bools,
    labels: Bools,
    predictions: Bools | None = None,
    *,
    label_values: Sequence[Value] | None = None,
    strata: Sequence[Value] | None = None,
    features: Floats | None = None,
    mode: Mode = "exact",
    confidence: float = 0.95,
    bootstrap_samples: int = 2000,
    seed: int = 20,
    bounds: Mapping[str, Bound] = {},
) -> BiasReport:
    """Compute every metric that the given columns allow.

    Args:
        facet: Name for people.
        disadvantaged: Rows of facet d.
        labels: Rows whose observed label is positive.
        predictions: Rows whose predicted label is positive; without them pre-training only.
        label_values: The labels before they were made binary, for KL, JS, LP, TVD and KS.
        strata: A value per row, for CDDL and CDDPL, which are left out without it.
        features: Numeric features, shape (n, columns), for FT, which is left out without it.
        mode: See :mod:`steward.domain.bias.two_facets`.
        confidence: Two-sided level of the intervals.
        bootstrap_samples: Resamples of rows.
        seed: Of the resampling.
        bounds: By metric the lowest and the highest value allowed, for ``p_outside``.

    Raises:
        RejectedError: Columns of different length, a facet without rows, a feature not finite.
    """
    compared = compare_facets(disadvantaged, labels, predictions, strata)
    rng = np.random.default_rng(seed)
    resampled = _resample(compared.table, bootstrap_samples, rng)
    values = values_of(compared.table.astype(np.float64), mode)
    samples = values_of(resampled, mode)
    by_value = _label_counts(disadvantaged, label_values if label_values is not None else labels)
    drawn = _resample(by_value, bootstrap_samples, rng)
    values |= divergences(by_value[A].astype(np.float64), by_value[D].astype(np.float64), mode)
    samples |= divergences(drawn[:, A], drawn[:, D], mode)
    if predictions is not None and features is not None:
        kept = _flipped_rows(disadvantaged, rng)
        found = flips(features[kept], disadvantaged[kept], predictions[kept], mode)
        values["FT"] = np.asarray(found.mean())
        samples["FT"] = _resample_mean(found, bootstrap_samples, rng)
    skipped = set() if strata is not None else {"CDDL", "CDDPL"}
    names = PRE_TRAINING + (POST_TRAINING if compared.predicted else ())
    sizes = own_denominators(compared.table)
    metrics = [
        _metric(
            name,
            float(values[name]),
            samples[name],
            compared,
            confidence,
            sizes[name],
            mode,
            bounds.get(name),
        )
        for name in names
        if name in values and name not in skipped
    ]
    return BiasReport(
        facet=facet, mode=mode, rows_a=int(compared.table[A].sum()),
        rows_d=int(compared.table[D].sum()), confidence=confidence,
        bootstrap_samples=bootstrap_samples, seed=seed, metrics=metrics,
    )  # fmt: skip


def _metric(
    name: str,
    value: float,
    samples: Floats,
    compared: Compared,
    confidence: float,
    rows: int,
    mode: Mode,
    bound: Bound | None,
) -> BiasMetric:
    p_outside = None
    if not np.isfinite(value):
        why = _WHY.get(name, "a denominator is 0")
        if mode == "clarify_compatible" and name in _DIVERGENCES:
            why = "the facets have no label value in common"
        if np.isinf(value):
            why = f"{why}; smclarify has {'infinity' if value > 0 else '-infinity'} here"
        return BiasMetric(name=name, value=None, undefined_because=why, rows=rows)
    proportions = _proportions(name, compared)
    if proportions is not None and all(trials for _, trials in proportions):
        lower, upper = difference_interval(*proportions, confidence)
        if bound is not None:
            p_outside = _p_newcombe(proportions, bound)
        method = "newcombe"
    else:
        defined = samples[np.isfinite(samples)]
        if defined.size < 0.95 * samples.size:
            return BiasMetric(name=name, value=value, rows=rows)
        tail = (1 - confidence) / 2
        lower, upper = (float(q) for q in np.quantile(defined, [tail, 1 - tail]))
        if bound is not None:
            p_outside = _p_resampled(defined, bound)
        method = "bootstrap"
    return BiasMetric(
        name=name, value=value, lower=lower, upper=upper, method=method, rows=rows,
        p_outside=p_outside,
    )  # fmt: skip


def _p_newcombe(pair: tuple[tuple[int, int], tuple[int, int]], bound: Bound) -> float:
    """Return the smallest error at which the interval is wholly outside, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(40):
        error = (low + high) / 2
        lower, upper = difference_interval(*pair, 1 - error)
        if upper < bound[0] or lower > bound[1]:
            high = error
        else:
            low = error
    return high


def _p_resampled(samples: Floats, bound: Bound) -> float:
    """Return the same of a percentile interval: twice the share that is not beyond a limit."""
    not_above, not_below = (samples <= bound[1]).sum(), (samples >= bound[0]).sum()
    return min(1.0, float(2 * (1 + min(not_above, not_below)) / (1 + samples.size)))


def _proportions(name: str, compared: Compared) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return (successes, trials) of the share that is reduced and of the one subtracted."""
    how = COMPARISONS.get(name)
    if how is None or how.kind == "ratio":
        return None
    over, under = rate_cells(compared.table.sum(axis=-1), how.rate)
    first, second = FACETS[how.first], 1 - FACETS[how.first]
    return (int(over[first]), int(under[first])), (int(over[second]), int(under[second]))


def _label_counts(disadvantaged: Bools, values: Sequence[Value] | Bools) -> NDArray[np.int64]:
    """Return rows by facet and label value."""
    names = [str(value) for value in values]
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    codes = np.fromiter((places[name] for name in names), np.int64, len(names))
    counts = np.bincount(disadvantaged.astype(np.int64) * len(places) + codes,
                         minlength=2 * len(places))  # fmt: skip
    return counts.reshape(2, len(places)).astype(np.int64)


def _resample(counts: NDArray[np.int64], samples: int, rng: np.random.Generator) -> Floats:
    """Draw rows with replacement: counts of each resample, shape (samples, *counts.shape).

    Rows of one cell are alike to every metric, so that drawing rows is drawing counts.
    """
    n = int(counts.sum())
    drawn = rng.multinomial(n, (counts / n).ravel(), size=samples)
    return drawn.reshape(samples, *counts.shape).astype(np.float64)


def _flipped_rows(disadvantaged: Bools, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the rows of the flip test: all, or of a larger facet so many that are drawn."""
    kept = []
    for facet in (False, True):
        rows = np.flatnonzero(disadvantaged == facet)
        if rows.size > FLIP_ROWS:
            rows = np.sort(rng.choice(rows, FLIP_ROWS, replace=False))
        kept.append(rows)
    return np.sort(np.concatenate(kept))


def _resample_mean(values: Floats, samples: int, rng: np.random.Generator) -> Floats:
    """Bootstrap the mean of values in -1, 0, 1."""
    counts = np.array([(values == value).sum() for value in (-1.0, 0.0, 1.0)], np.int64)
    drawn = _resample(counts, samples, rng)
    means: Floats = (drawn[:, 2] - drawn[:, 0]) / len(values)
    return means
