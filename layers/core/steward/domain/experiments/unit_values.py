"""One figure per unit, and the statistics of them: the inner half of ``freezing``.

Reads its tables: ``asked``, a row per request of a unit (``u`` the unit, ``a`` its arm, ``r`` the
place in order of time) with the outcome that counts, and ``paired``, those that a shadow answered
too, with its answer under ``other_``.
"""

# ruff: noqa: S608 - expressions are rendered anew, names and values go through identifier()

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram
from steward.domain.experiments.metric_values import Typed, inputs, typed, usable, value
from steward.domain.release_declaration import ReleaseMetric
from steward.domain.workspace import Connection

Floats = NDArray[np.float64]
BINS = 400
"""Equal bins of a bounded metric, beside atoms at what it often is exactly.

Limits move outward by a bin, 1/400 of the range.
"""

BINARY_DIFFERENCE = (-1.0, -1.0, 0.0, 0.0, 1.0, 1.0)
BINARY = (0.0, 0.0, 1.0, 1.0)

_AGGREGATES = {
    "first": "arg_min(v, r) FILTER (v IS NOT NULL)",
    "max": "max(v)",
    "sum": "sum(v ORDER BY r)",
    "mean": "sum(v ORDER BY r) / count(v)",
}


@dataclass(frozen=True)
class UnitStatistics:
    """Statistics of one metric by arm, and how many values were left out as unusable."""

    statistics: Mapping[int, ArmStatistics]
    unusable: Mapping[int, int]


class _Values(NamedTuple):
    """Figures by unit; NaN where there is none.

    Attributes:
        arm: Place of the unit's arm.
        bad: How many of its values were unusable.
    """

    arm: NDArray[np.int64]
    y: Floats
    d: Floats
    x: Floats
    bad: NDArray[np.int64]


def edges_of(low: float, high: float, *, signed: bool = False) -> tuple[float, ...]:
    """Return the edges of a bounded metric: equal bins, and atoms at its bounds.

    Args:
        low: Least value.
        high: Greatest value.
        signed: Another atom at 0, which differences often are.
    """
    inner = [low + (high - low) * n / BINS for n in range(1, BINS)]
    if signed:
        inner[BINS // 2 - 1 : BINS // 2] = [0.0, 0.0]
    return (low, low, *inner, high, high)


def compared(
    connection: Connection, metric: ReleaseMetric, features: Sequence[str]
) -> UnitStatistics:
    """Return the statistics of a metric by arm.

    A value that is NaN, infinite, of the wrong type, or whose expression fails is left out; a
    unit that has no other is left out too. A unit without any value is 0 or left out, by
    ``no_outcome``. The denominator of a ratio is the sum over all requests.
    """
    sources = _sources(features)
    parts = {"value": typed(connection, metric.value, features)}
    if metric.denominator is not None:
        parts["denominator"] = typed(connection, metric.denominator, features)
    if metric.covariate is not None:
        parts["covariate"] = typed(connection, metric.covariate, features)
    read, found, rows = _rows(parts, sources, metric.kind)
    d = "sum(d ORDER BY r)" if metric.denominator is not None else "1.0"
    x = "max(x) FILTER (r = 1)" if metric.covariate is not None else "0.0"
    values = _fetched(
        connection,
        f"""
        SELECT a, {_AGGREGATES[metric.aggregate]} AS y, {d} AS d, {x} AS x,
            count(*) FILTER (bad) AS bad
        FROM (
            SELECT u, a, r, {rows}
            FROM (SELECT *, {found} FROM (SELECT u, a, r, {read} FROM asked))
        )
        GROUP BY u, a
        """,
    )
    edges = edges_of(*metric.range) if metric.range is not None else None
    return _statistics(values, zero=metric.no_outcome == "zero", edges=edges)


def _rows(
    parts: Mapping[str, Typed], sources: Mapping[str, str], kind: str
) -> tuple[str, str, str]:
    """Return SQL of what the parts read, of what they give, and of ``v``, ``d``, ``x``, ``bad``."""
    columns = {"value": "v", "denominator": "d", "covariate": "x"}
    kinds = {"value": kind, "denominator": "denominator", "covariate": ""}
    read, found, goods = [], [], []
    for part, expression in parts.items():
        column = columns[part]
        struct, wrong = inputs(expression, sources)
        read += [f"{struct} AS in_{column}", f"{wrong} AS wrong_{column}"]
        result = value(expression, f"in_{column}")
        number = f"{column}_.v"
        found.append(f"{result} AS {column}_")
        good = (
            f"(NOT wrong_{column} AND {column}_ IS NOT NULL"
            f" AND coalesce({usable(number, kind=kinds[part])}, true))"
        )
        if part == "covariate":
            good = f"(r > 1 OR {good})"
        goods.append(good)
    every = " AND ".join(goods)
    listed = [f"CASE WHEN {every} THEN {columns[part]}_.v END AS {columns[part]}" for part in parts]
    return ", ".join(read), ", ".join(found), ", ".join([*listed, f"NOT ({every}) AS bad"])


def difference_of(
    connection: Connection, metric: ReleaseMetric, features: Sequence[str]
) -> UnitStatistics:
    """Return the statistics of a metric's difference, shadow less answer, by the arm's place.

    Both sides have the same outcome and features: the answer of a shadow influences nothing.
    """
    expression = typed(connection, metric.value, features)
    sources = _sources(features)
    struct, wrong = inputs(expression, sources)
    beside, also_wrong = inputs(expression, _sources(features, "other_"))
    own, other = value(expression, "in_own"), value(expression, "in_other")
    both = " AND ".join(
        f"{side}_ IS NOT NULL AND coalesce({usable(f'{side}_.v', kind=metric.kind)}, true)"
        for side in ("own", "other")
    )
    complete = "own_.v IS NOT NULL AND other_.v IS NOT NULL"
    sides = {
        side: _AGGREGATES[metric.aggregate].replace("v", f"v_{side}") for side in ("own", "other")
    }
    low, high = metric.range if metric.range is not None else (0.0, 1.0)
    clipped = {  # least and greatest pass over nulls
        side: f"CASE WHEN {sql} IS NOT NULL THEN least(greatest({sql}, {low!r}), {high!r}) END"
        for side, sql in sides.items()
    }
    values = _fetched(
        connection,
        f"""
        SELECT a, {clipped["other"]} - {clipped["own"]} AS y, 1.0 AS d, 0.0 AS x,
            count(*) FILTER (bad) AS bad
        FROM (
            SELECT u, a, r, wrong OR NOT ({both}) AS bad,
                CASE WHEN NOT bad AND {complete} THEN own_.v END AS v_own,
                CASE WHEN NOT bad AND {complete} THEN other_.v END AS v_other
            FROM (
                SELECT *, {own} AS own_, {other} AS other_ FROM (
                    SELECT u, a, r, {struct} AS in_own, {beside} AS in_other,
                        {wrong} OR {also_wrong} AS wrong
                    FROM paired
                )
            )
        ) GROUP BY u, a
        """,
    )
    width = high - low
    edges = edges_of(-width, width, signed=True) if metric.range is not None else BINARY_DIFFERENCE
    return _statistics(values, zero=metric.no_outcome == "zero", edges=edges)


def pair_metrics(
    connection: Connection, slow_ms: int, answers: tuple[float, float] | None = (0.0, 1.0)
) -> dict[str, UnitStatistics]:
    """Return what every pair is compared by, at a unit's first request, by the arm's place.

    ``errors`` and ``slow``: of the shadow less those of the answer. ``prediction_difference``:
    how far apart the probabilities are, ``prediction_change`` which way; ``label_disagreement``:
    whether the labels differ. Answers are compared as shares of their range, beyond which they
    count as its end; without a range they are not compared.
    """
    found = {}
    low, high = answers or (0.0, 1.0)
    width = high - low
    far = (
        f"(greatest(least(other_prediction, {high!r}), {low!r})"
        f" - greatest(least(prediction, {high!r}), {low!r})) / {width!r}"
    )
    far = f"CASE WHEN other_prediction IS NOT NULL AND prediction IS NOT NULL THEN {far} END"
    metrics = {
        "errors": ("other_failed::INTEGER - failed::INTEGER", BINARY_DIFFERENCE),
        "slow": (
            f"(other_latency_ms > {slow_ms})::INTEGER - (latency_ms > {slow_ms})::INTEGER",
            BINARY_DIFFERENCE,
        ),
        "prediction_difference": (f"abs({far})", edges_of(0.0, 1.0)),
        "prediction_change": (far, edges_of(-1.0, 1.0, signed=True)),
        "label_disagreement": ("(other_label <> label)::INTEGER", BINARY),
    }
    if answers is None:
        del metrics["prediction_difference"], metrics["prediction_change"]
    for name, (sql, edges) in metrics.items():
        values = _fetched(
            connection,
            f"""
            SELECT a, CASE WHEN isfinite(y) THEN y END AS y, 1.0 AS d, 0.0 AS x,
                coalesce(NOT isfinite(y), false)::BIGINT AS bad
            FROM (SELECT a, ({sql})::DOUBLE AS y FROM paired WHERE r = 1)
            """,
        )
        found[name] = _statistics(values, zero=False, edges=edges)
    return found


def _sources(features: Sequence[str], beside: str = "") -> dict[str, str]:
    answers = ("prediction", "label", "latency_ms", "failed")
    return {
        **{name: f"f{n}" for n, name in enumerate(features)},
        "outcome": "outcome",
        **{name: beside + name for name in answers},
    }


def _fetched(connection: Connection, sql: str) -> _Values:
    columns: dict[str, Any] = connection.execute(sql).fetchnumpy()

    def floats(name: str) -> Floats:
        given = columns[name]
        values: Floats = np.asarray(given, dtype=np.float64)
        mask = np.ma.getmaskarray(given)  # type: ignore[no-untyped-call]
        return np.where(mask, np.nan, values)

    return _Values(
        np.asarray(columns["a"], dtype=np.int64), floats("y"), floats("d"), floats("x"),
        np.asarray(columns["bad"], dtype=np.int64),
    )  # fmt: skip


def _statistics(values: _Values, *, zero: bool, edges: tuple[float, ...] | None) -> UnitStatistics:
    y = values.y
    if zero:
        y = np.where(np.isnan(y) & (values.bad == 0), 0.0, y)
    finite = np.isfinite(y) & np.isfinite(values.d) & np.isfinite(values.x)
    overflown = np.isinf(y) | np.isinf(values.d)
    statistics, unusable = {}, {}
    for place in np.unique(values.arm):
        own = values.arm == place
        bad = int(values.bad[own].sum()) + int(overflown[own].sum())
        if bad:
            unusable[int(place)] = bad
        taken = own & finite
        if taken.any():
            statistics[int(place)] = _frozen(y[taken], values.d[taken], values.x[taken], edges)
    return UnitStatistics(statistics, unusable)


def _frozen(y: Floats, d: Floats, x: Floats, edges: tuple[float, ...] | None) -> ArmStatistics:
    histogram = None
    if edges is not None:
        histogram = _histogram(y, edges)
        y = np.clip(y, edges[0], edges[-1])
    return ArmStatistics(
        n=y.size,
        y=_sum(y),
        x=_sum(x),
        y2=_sum(y * y),
        x2=_sum(x * x),
        xy=_sum(x * y),
        d=_sum(d),
        d2=_sum(d * d),
        yd=_sum(y * d),
        histogram=histogram,
    )


def _sum(values: Floats) -> float:
    """Return the correctly rounded sum, whatever the order."""
    return math.fsum(values.tolist())


def _histogram(y: Floats, edges: tuple[float, ...]) -> Histogram:
    """Count as ``arm_statistics.bin_of`` does."""
    below, above = int((y < edges[0]).sum()), int((y > edges[-1]).sum())
    inside = y[(y >= edges[0]) & (y <= edges[-1])]
    at = np.asarray(edges)
    places = np.searchsorted(at, inside, side="right") - 1
    atoms = (places > 0) & (at[places] == inside) & (at[np.maximum(places - 1, 0)] == inside)
    places = np.minimum(np.where(atoms, places - 1, places), len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    return Histogram(edges=edges, counts=tuple(counts.tolist()), below=below, above=above)
