"""Freezing once more, slowly and plainly in Python: what the SQL must give."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward.domain.experiments.arm_statistics import ArmStatistics, statistics_of
from steward.domain.experiments.unit_values import BINARY, BINARY_DIFFERENCE, edges_of
from steward.domain.experiments.units import Design

Line = dict[str, Any]
Row = dict[str, Any]
Compute = Callable[[Row], Any]


@dataclass
class Expected:
    """What one span and step must be frozen to."""

    exposures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    statistics: dict[str, dict[str, ArmStatistics]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def milliseconds(text: str) -> int:
    """Return a time in milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def expected_groups(
    design: Design,
    window_s: int,
    exposures: Iterable[Line],
    outcomes: Sequence[Line],
    compute: Mapping[str, Mapping[str, Compute]],
) -> dict[tuple[int, str], Expected]:
    """Return what freezing must give for one window.

    Args:
        design: Of the release.
        window_s: Attribution window.
        exposures: Captures as objects, of this release alone.
        outcomes: Outcome lines as objects.
        compute: By metric the functions ``value``, ``denominator`` and ``covariate``.
    """
    captures = list(exposures)
    requests = [c for c in captures if c["assigned_role"] != "shadow"]
    phases = {step.step_id: step for step in design.steps}
    firsts: dict[tuple[str, str], Line] = {}
    for capture in sorted(requests, key=lambda c: (milliseconds(c["time"]), c["inference_id"])):
        step = phases.get(capture["step_id"])
        if step is not None:
            firsts.setdefault((capture["entity"], step.pool), capture)
    shadows = {c["shadow_pair_id"]: c for c in captures if c["assigned_role"] == "shadow"}
    result: dict[tuple[int, str], Expected] = defaultdict(Expected)
    units: dict[tuple[int, str], list[tuple[str, list[Row]]]] = defaultdict(list)
    for first in firsts.values():
        span_ms = design.cohort_s * 1000
        group = (milliseconds(first["time"]) // span_ms * span_ms, first["step_id"])
        found = result[group]
        arm = first["assigned_role"]
        found.exposures[arm] += 1
        rows, moved = _rows(first, window_s, requests, outcomes, shadows, found)
        found.counts["other_arm"] += any(role != arm for role in moved)
        units[group].append((arm, rows))
    for group, members in units.items():
        step = phases[group[1]]
        for metric in design.metrics:
            if metric.window_s == window_s:
                shadowed = step.phase == "shadow"
                _metric(metric, compute[metric.name], members, result[group], shadowed=shadowed)
        if window_s == 0:
            _built_in(design.slow_ms, members, result[group], shadowed=step.phase == "shadow")
    return dict(result)


def _rows(
    first: Line,
    window_s: int,
    requests: list[Line],
    outcomes: Sequence[Line],
    shadows: Mapping[str, Line],
    found: Expected,
) -> tuple[list[Row], list[str]]:
    entity, at = first["entity"], milliseconds(first["time"])
    end = at + window_s * 1000
    mine = [c for c in requests if c["entity"] == entity and at <= milliseconds(c["time"]) <= end]
    mine.sort(key=lambda c: (milliseconds(c["time"]), c["inference_id"]))
    once: dict[str, Line] = {}
    for capture in mine:
        if window_s or capture["inference_id"] == first["inference_id"]:
            once.setdefault(capture["inference_id"], capture)
    found.counts["repeated"] += sum(c["inference_id"] in once for c in mine) - len(once)
    found.counts["requests"] += len(once)
    rows: list[Row] = []
    for capture in once.values():
        told = [o for o in outcomes if o["inference_id"] == capture["inference_id"]]
        if not rows:
            told += [
                o for o in outcomes
                if o["inference_id"] is None and o["entity"] == entity
                and milliseconds(o["observed_at"]) >= at
            ]  # fmt: skip
        timely = [o for o in told if milliseconds(o["observed_at"]) <= end]
        found.counts["late_outcomes"] += len(told) - len(timely)
        found.counts["outcomes"] += bool(timely)
        found.counts["repeated_outcomes"] += max(0, len(timely) - 1)
        timely.sort(key=_order)
        outcome = timely[0]["outcome"] if timely else None
        shadow = shadows.get(capture["inference_id"])
        rows.append(_row(capture, outcome) | {"shadow": shadow and _row(shadow, outcome)})
        if shadow:
            rows[-1]["shadow"]["features"] = capture["features"]
    return rows, [capture["assigned_role"] for capture in once.values()]


def _order(outcome: Line) -> tuple[int, int, str]:
    import json

    recorded = outcome.get("recorded_at") or outcome["observed_at"]
    return (
        milliseconds(outcome["observed_at"]), milliseconds(recorded), json.dumps(outcome["outcome"])
    )  # fmt: skip


def _row(capture: Line, outcome: Any) -> Row:
    prediction = capture["prediction"] or {}
    return {
        "outcome": outcome,
        "prediction": prediction.get("probability"),
        "label": prediction.get("label"),
        "latency_ms": capture["latency_ms"],
        "failed": capture["failed"],
        "features": capture["features"],
    }


def _value(compute: Compute, row: Row, kind: str) -> tuple[float | None, bool]:
    """Return a value and whether it is unusable."""
    try:
        value = compute(row)
        number = None if value is None else float(value)
    except (ValueError, ArithmeticError, TypeError):
        return None, True
    if number is None:
        return None, False
    wrong = not math.isfinite(number) or abs(number) > 1e100
    wrong = wrong or (kind == "binary" and number not in (0, 1))
    wrong = wrong or (kind == "denominator" and number < 0)
    return (None, True) if wrong else (number, False)


def _aggregate(how: str, values: list[float]) -> float | None:
    if not values:
        return None
    return {
        "first": lambda: values[0],
        "max": lambda: max(values),
        "sum": lambda: math.fsum(values),
        "mean": lambda: math.fsum(values) / len(values),
    }[how]()


def _metric(
    metric: Any,
    compute: Mapping[str, Compute],
    members: list[tuple[str, list[Row]]],
    found: Expected,
    *,
    shadowed: bool,
) -> None:
    figures: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    low, high = metric.range or (0.0, 1.0)
    edges: tuple[float, ...] | None
    if shadowed:
        if metric.kind not in ("binary", "bounded"):
            return
        for _, rows in members:
            own, other, bad, paired = [], [], 0, 0
            for row in rows:
                if row["shadow"] is None:
                    continue
                paired += 1
                first, wrong = _value(compute["value"], row, metric.kind)
                second, also = _value(compute["value"], row["shadow"], metric.kind)
                bad += wrong or also
                if first is not None and second is not None:
                    own.append(first)
                    other.append(second)
            found.counts["unusable_values"] += bad
            mine, theirs = _aggregate(metric.aggregate, own), _aggregate(metric.aggregate, other)
            if mine is not None and theirs is not None:
                y = min(high, max(low, theirs)) - min(high, max(low, mine))
                figures["paired"].append((y, 1.0, 0.0))
            elif paired and metric.no_outcome == "zero" and not bad:
                figures["paired"].append((0.0, 1.0, 0.0))
        width = high - low
        edges = edges_of(-width, width, signed=True) if metric.range else BINARY_DIFFERENCE
    else:
        edges = edges_of(low, high) if metric.range else None
        for arm, rows in members:
            figure, bad = _unit(metric, compute, rows)
            found.counts["unusable_values"] += bad
            if figure is not None:
                figures[arm].append(figure)
    _freeze(metric.name, figures, edges, found)


def _unit(
    metric: Any, compute: Mapping[str, Compute], rows: list[Row]
) -> tuple[tuple[float, float, float] | None, int]:
    values, denominators, bad = [], [], 0
    x: float | None = 0.0
    for place, row in enumerate(rows):
        v, wrong = _value(compute["value"], row, metric.kind)
        d: float | None = 1.0
        if metric.kind == "ratio":
            d, also = _value(compute["denominator"], row, "denominator")
            wrong = wrong or also
        if metric.kind == "adjusted" and place == 0:
            x, also = _value(compute["covariate"], row, "")
            wrong = wrong or also
        bad += wrong
        if wrong:
            continue
        if v is not None:
            values.append(v)
        if d is not None:
            denominators.append(d)
    y = _aggregate(metric.aggregate, values)
    if y is None and metric.no_outcome == "zero" and not bad:
        y = 0.0
    total = _aggregate("sum", denominators) if metric.kind == "ratio" else 1.0
    if y is None or total is None or x is None:
        return None, bad
    return (y, total, x), bad


def _built_in(
    slow_ms: int, members: list[tuple[str, list[Row]]], found: Expected, *, shadowed: bool
) -> None:
    figures: dict[str, dict[str, list[tuple[float, float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    edges = {
        "prediction_up": edges_of(0, 1), "prediction_down": edges_of(0, 1),
        "prediction_difference": edges_of(0, 1),
        "prediction_change": edges_of(-1, 1, signed=True),
        "label_disagreement": BINARY, "errors": BINARY_DIFFERENCE, "slow": BINARY_DIFFERENCE,
    }  # fmt: skip
    for arm, rows in members:
        row, other = rows[0], rows[0]["shadow"]
        if not shadowed and row["prediction"] is not None:
            for name in ("prediction_up", "prediction_down"):
                figures[name][arm].append((row["prediction"], 1.0, 0.0))
        if other is None:
            continue
        pairs: dict[str, float] = {
            "errors": int(other["failed"]) - int(row["failed"]),
            "slow": int(other["latency_ms"] > slow_ms) - int(row["latency_ms"] > slow_ms),
        }
        if other["prediction"] is not None and row["prediction"] is not None:
            change = other["prediction"] - row["prediction"]
            pairs |= {"prediction_difference": abs(change), "prediction_change": change}
        if other["label"] is not None and row["label"] is not None:
            pairs["label_disagreement"] = int(other["label"] != row["label"])
        for name, y in pairs.items():
            figures[name]["paired"].append((y, 1.0, 0.0))
    for name, by_arm in figures.items():
        _freeze(name, by_arm, edges[name], found)


def _freeze(
    name: str,
    figures: Mapping[str, list[tuple[float, float, float]]],
    edges: tuple[float, ...] | None,
    found: Expected,
) -> None:
    for arm, listed in figures.items():
        y, d, x = (list(column) for column in zip(*listed, strict=True))
        shape = statistics_of(y, edges=edges).histogram if edges else None
        if edges:
            y = [min(edges[-1], max(edges[0], value)) for value in y]
        frozen = statistics_of(y, d=d, x=x)
        found.statistics[name][arm] = frozen.model_copy(update={"histogram": shape})
