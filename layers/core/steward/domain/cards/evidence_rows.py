"""Estimates of a card, read from the JSON of evaluation, comparison, bias and explanation.

The documents are read as data: the modules that compute them need numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from steward.domain.cards.card import Estimate, Group
from steward.domain.errors import CardInvalidError

MAX_ROWS = 20
"""Estimates of a group; the rest is counted, and lies in the evidence."""


def printable(text: str) -> str:
    """Return a text of the evidence with U+FFFD for each control character."""
    return "".join(
        "\ufffd" if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 else c for c in text
    )


def finite(value: object, field: str) -> float | None:
    """Return a number of the evidence.

    Raises:
        CardInvalidError: It is none, or NaN or infinite.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CardInvalidError(
            f"{field} is {value!r}: a card states finite numbers",
            field=field, value=repr(value)[:200], allowed="a finite number, or null",
        )  # fmt: skip
    return float(value)


def _rows(found: Mapping[str, Any], name: str, within: str) -> list[Mapping[str, Any]]:
    rows = found.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise CardInvalidError(
            f"{within}.{name} is no list of objects", field=f"{within}.{name}",
            value=repr(rows)[:200], allowed="a list of objects",
        )  # fmt: skip
    return rows


def _estimate(name: str, row: Mapping[str, Any], field: str, **more: Any) -> Estimate:
    return Estimate(
        name=printable(name),
        value=finite(row.get("value"), f"{field}.value"),
        lower=finite(row.get("lower"), f"{field}.lower"),
        upper=finite(row.get("upper"), f"{field}.upper"),
        **more,
    )


def _reason(row: Mapping[str, Any]) -> str:
    """Return why a metric has no value, or a value without an interval."""
    why = str(row.get("undefined_because") or "")
    return f"no interval: {why}" if why and row.get("value") is not None else why


def metrics_of(evaluation: Mapping[str, Any], within: str = "evaluation") -> list[Estimate]:
    """Return held-out metrics with their intervals."""
    return [
        _estimate(
            str(row.get("metric")), row, f"{within}.metrics[{place}]",
            note=_reason(row),
        )
        for place, row in enumerate(_rows(evaluation, "metrics", within))
    ]  # fmt: skip


def champion_group(evaluation: Mapping[str, Any]) -> Group | None:
    """Return the champion's metrics on the same rows, if it answered them."""
    beside = (evaluation.get("champion") or {}).get("evaluation")
    if not beside:
        return None
    return Group(
        name="champion", title="The version in production, on the same rows", axis="metric",
        source="evaluation", estimates=metrics_of(beside, "evaluation.champion.evaluation"),
    )  # fmt: skip


def simple_group(evaluation: Mapping[str, Any]) -> Group | None:
    """Return the metrics of forecasts that need no model, which decide nothing."""
    found = []
    for place, row in enumerate(_rows(evaluation, "simple_forecasts", "evaluation")):
        within = f"evaluation.simple_forecasts[{place}]"
        name = str(row.get("name")).replace("_", " ")
        missing = int(row.get("without_season") or 0)
        note = f"{missing} rows without a day a season before" if missing else ""
        found += [
            _estimate(
                f"{name}: {one.get('metric')}", one, f"{within}.metrics[{at}]",
                note="; ".join(filter(None, (_reason(one), note))),
            )
            for at, one in enumerate(_rows(row, "metrics", within))
        ]  # fmt: skip
    if not found:
        return None
    return Group(
        name="simple", axis="metric",
        title="Without a model, on the same rows: information, which decides nothing",
        source="evaluation", estimates=found,
    )  # fmt: skip


def training_text(evaluation: Mapping[str, Any]) -> str | None:
    """Return how the built-in model's candidates compared on training rows that were left out."""
    told = evaluation.get("training")
    if not isinstance(told, Mapping):
        return None
    losses = told.get("losses")
    if not isinstance(losses, Mapping):
        return None
    shown = ", ".join(
        f"{name} {finite(value, f'evaluation.training.losses.{name}'):.6g}"
        for name, value in losses.items()
    )
    return f"{told.get('loss')} {shown}; {told.get('kept')} was kept: {told.get('reason')}"


def slices_group(evaluation: Mapping[str, Any]) -> Group | None:
    """Return the first metric of each slice, the largest slices first."""
    rows = _rows(evaluation, "slices", "evaluation")
    found = []
    for place, row in enumerate(rows):
        field = f"evaluation.slices[{place}]"
        first = next(iter(_rows(row, "metrics", field)), None)
        if first is None:
            continue
        judged = "" if row.get("judged", True) else "too few rows to judge"
        name = f"{row.get('column')} = {row.get('value')}"
        note = judged or _reason(first)
        found.append(
            (str(first.get("metric")),
             _estimate(name, first, field, rows=int(row.get("rows", 0)), note=note))
        )  # fmt: skip
    if not found:
        return None
    axis = found[0][0]
    estimates = sorted((e for _, e in found), key=lambda e: (-(e.rows or 0), e.name))
    return Group(
        name="slices", title=f"Slices: {axis}", axis=axis, source="evaluation",
        estimates=estimates[:MAX_ROWS], left_out=max(0, len(estimates) - MAX_ROWS),
    )  # fmt: skip


def comparison_group(comparison: Mapping[str, Any]) -> Group | None:
    """Return the difference to the champion: over all rows, then by slice."""
    if comparison.get("status") != "compared":
        return None
    settings = comparison.get("settings") or {}
    field = "comparison"
    whole = Estimate(
        name="all rows",
        value=finite(comparison.get("difference"), f"{field}.difference"),
        lower=finite(comparison.get("lower"), f"{field}.lower"),
        upper=finite(comparison.get("upper"), f"{field}.upper"),
        rows=int(comparison.get("rows", 0)),
        note=str(comparison.get("verdict")),
    )
    slices = [
        Estimate(
            name=printable(f"{row.get('column')} = {row.get('value')}"),
            value=finite(row.get("difference"), f"{field}.slices[{place}].difference"),
            lower=finite(row.get("lower"), f"{field}.slices[{place}].lower"),
            rows=int(row.get("rows", 0)),
            note=str(row.get("verdict") or "").replace("_", " "),
        )
        for place, row in enumerate(_rows(comparison, "slices", field))
    ]
    slices.sort(key=lambda e: (-(e.value or 0.0), e.name))
    kept = slices[: MAX_ROWS - 1]
    return Group(
        name="comparison",
        title=f"Mean {settings.get('loss', 'loss')}: this version minus the one in production",
        axis="difference of mean loss", source="comparison", reference=0.0,
        estimates=[whole, *kept], left_out=len(slices) - len(kept),
    )  # fmt: skip


def bias_groups(bias: Mapping[str, Any]) -> list[Group]:
    """Return Clarify's metrics by facet, in the order of the evidence."""
    found = []
    for place, facet in enumerate(_rows(bias, "facets", "bias")):
        report = facet.get("report") or {}
        field = f"bias.facets[{place}].report"
        estimates = [
            _estimate(
                str(row.get("name")), row, f"{field}.metrics[{number}]",
                rows=int(row.get("rows", 0)), note=str(row.get("undefined_because") or ""),
            )
            for number, row in enumerate(_rows(report, "metrics", field))
        ]  # fmt: skip
        if estimates:
            name = printable(str(facet.get("name") or report.get("facet")))
            kept = estimates[: MAX_ROWS + 1]
            found.append(
                Group(
                    name=f"bias: {name}", title=f"Bias: {name}", axis="metric of Clarify",
                    source="bias", reference=0.0, estimates=kept,
                    left_out=len(estimates) - len(kept),
                )
            )  # fmt: skip
    return found


def explanation_group(explanation: Mapping[str, Any]) -> Group | None:
    """Return mean absolute Shapley values, the largest first."""
    rows = sorted(
        enumerate(_rows(explanation, "features", "explanation")),
        key=lambda found: (int(found[1].get("rank") or 0), str(found[1].get("name"))),
    )
    estimates = [
        _estimate(
            str(row.get("name")), {**row, "value": row.get("mean_abs")},
            f"explanation.features[{place}]",
        )
        for place, row in rows
    ]  # fmt: skip
    if not estimates:
        return None
    scale = str(explanation.get("scale") or "")
    return Group(
        name="explanation", title="Which features move the answer",
        axis=f"mean absolute Shapley value ({scale})" if scale else "mean absolute Shapley value",
        source="explanation", estimates=estimates[:MAX_ROWS],
        left_out=max(0, len(estimates) - MAX_ROWS),
    )  # fmt: skip


def listed(values: Sequence[str], most: int = MAX_ROWS) -> list[str]:
    """Return at most ``most`` entries; the last tells how many more there are."""
    if len(values) <= most:
        return list(values)
    return [*values[: most - 1], f"and {len(values) - most + 1} more"]
