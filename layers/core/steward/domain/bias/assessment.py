"""From rows to evidence: pre-training metrics of training labels, all others of held-out rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steward.domain.bias.by_group import ByGroup, by_group
from steward.domain.bias.counts import GroupCounts
from steward.domain.bias.declaration import Bias, Facet
from steward.domain.bias.evidence import BiasEvidence, FacetEvidence, FacetRows
from steward.domain.bias.facets import Bools, Value, rows_of
from steward.domain.bias.names import POST_TRAINING, PRE_TRAINING
from steward.domain.bias.rates import RATES
from steward.domain.bias.report import BiasMetric, BiasReport, report_bias
from steward.domain.bias.verdicts import BiasVerdict, corrected, judge_metric, limits, together
from steward.domain.errors import RejectedError
from steward.domain.slices import slice_of

Floats = NDArray[np.float64]

MOST_GROUPS = 30
"""Values of an attribute that are groups of their own, the most frequent; others are one group."""

OTHER = "other values"
_CONDITIONAL = ("CDDL", "CDDPL")
_SAMPLES = 2000
_NEEDS_NO_LABEL = ("selection_rate", "mean_prediction")


@dataclass(frozen=True)
class BiasRows:
    """Rows, column by column.

    Attributes:
        favourable: Whether the label is a favourable one.
        label_values: The label as it was.
        columns: Protected attributes and strata.
        numbers: The labels of a regression; None of a class.
    """

    favourable: Bools
    label_values: Sequence[str]
    columns: Mapping[str, Sequence[Value]]
    numbers: Floats | None = None


@dataclass(frozen=True)
class Predicted:
    """What the model made of held-out rows.

    Attributes:
        probabilities: Of the favourable outcome; of a regression the numbers that it predicts.
        favourable: Whether that is what it predicts.
        features: Numeric and boolean features by name, NaN where there is no value.
        stray: A label value that is neither favourable nor what the model predicts, if any:
            predictions cannot be compared with such labels.
    """

    probabilities: Floats
    favourable: Bools
    features: Mapping[str, Floats]
    stray: str | None = None


@dataclass(frozen=True)
class Origin:
    """What the evidence is of."""

    project: str
    run_id: str
    heldout_sha256: str
    unit: Literal["entity", "event"]
    labels: list[bool | int | float | str]


def assess(
    declared: Bias, training: BiasRows, heldout: BiasRows, predicted: Predicted, origin: Origin
) -> BiasEvidence:
    """Compute every metric of every facet and group, and judge what is declared.

    Args:
        declared: Who is compared and what is allowed.
        training: Rows that trained the model.
        heldout: Rows that it never saw.
        predicted: Its answers to those.
        origin: What the rows and the model are.

    Raises:
        RejectedError: A prediction is no probability, or columns differ in length.
    """
    _check(heldout, predicted)
    cut = declared.favourable.cut
    notes: list[str] = []
    if predicted.stray is not None:
        notes.append(_why_stray(predicted.stray))
    facets = [
        _facet(declared, attribute.column, facet, training, heldout, predicted)
        for attribute in declared.attributes
        for facet in attribute.facets
    ]
    verdicts = [verdict for facet in facets for verdict in facet.verdicts]
    judged = iter(corrected(verdicts, declared.correction, declared.confidence))
    facets = [
        facet.model_copy(update={"verdicts": [next(judged) for _ in facet.verdicts]})
        for facet in facets
    ]
    return BiasEvidence(
        project=origin.project, run_id=origin.run_id, heldout_sha256=origin.heldout_sha256,
        unit=origin.unit, mode=declared.mode, confidence=declared.confidence,
        minimum_rows=declared.minimum_rows, favourable=origin.labels,
        threshold=cut.at if cut else declared.favourable.threshold,
        task="regression" if cut else "binary", correction=declared.correction,
        facets=facets, groups=_groups(declared, heldout, predicted, notes),
        verdict=together([verdict for facet in facets for verdict in facet.verdicts]),
        notes=notes,
    )  # fmt: skip


def facet_rows(rule: Facet, column: str, values: Sequence[Value]) -> tuple[Bools, Bools]:
    """Return which rows are of facet d, and which have a value at all."""
    known = np.fromiter((value is not None for value in values), np.bool_, len(values))
    if rule.values is not None:
        return rows_of(values, of=rule.values, field=column) & known, known
    if rule.above is not None:
        return rows_of(values, above=rule.above, field=column), known
    assert rule.at_most is not None
    return known & ~rows_of(values, above=rule.at_most, field=column), known


def _check(heldout: BiasRows, predicted: Predicted) -> None:
    answers, binary = predicted.probabilities, heldout.numbers is None
    right = (answers >= 0) & (answers <= 1) if binary else np.isfinite(answers)
    wrong = np.flatnonzero(~right)
    if wrong.size:
        what = "probability" if binary else "finite number"
        raise RejectedError(
            f"the prediction of row {wrong[0]} is no {what}", field="predictions",
            value=float(answers[wrong[0]]), allowed="0 to 1" if binary else "finite numbers",
        )  # fmt: skip
    n = len(heldout.favourable)
    if len(predicted.favourable) != n:
        raise RejectedError(
            f"{len(predicted.favourable)} predictions for {n} rows", field="predictions",
            value=len(predicted.favourable), allowed=str(n),
        )  # fmt: skip


def _facet(
    declared: Bias, column: str, rule: Facet, training: BiasRows, heldout: BiasRows,
    predicted: Predicted,
) -> FacetEvidence:  # fmt: skip
    name = rule.name(column)
    in_d, known = facet_rows(rule, column, training.columns[column])
    before = _report(declared, name, training, in_d, known, None, column)
    trained = FacetRows(
        rows_a=int((known & ~in_d).sum()), rows_d=int(in_d.sum()), missing=int((~known).sum())
    )
    in_d, known = facet_rows(rule, column, heldout.columns[column])
    after = _report(declared, name, heldout, in_d, known, predicted, column)
    order = (*before.metrics, *after.metrics)
    report = after.model_copy(update={"metrics": list(order)})
    verdicts: list[BiasVerdict] = [
        judge_metric(report.metric(bound.metric), bound, declared.minimum_rows)
        for bound in declared.metrics
    ]
    return FacetEvidence(
        name=name, column=column, rule=rule, missing=int((~known).sum()), training=trained,
        a=_counted(heldout, predicted, known & ~in_d), d=_counted(heldout, predicted, in_d),
        report=report, verdicts=verdicts,
    )  # fmt: skip


def _report(
    declared: Bias, name: str, rows: BiasRows, in_d: Bools, known: Bools,
    predicted: Predicted | None, column: str,
) -> BiasReport:  # fmt: skip
    """Return the pre-training metrics, or with predictions the post-training ones alone."""
    names: Sequence[str] = PRE_TRAINING if predicted is None else POST_TRAINING
    wanted = [one for one in names if declared.strata or one not in _CONDITIONAL]
    sizes = (int((known & ~in_d).sum()), int(in_d.sum()))
    blank = BiasReport(
        facet=name, mode=declared.mode, rows_a=sizes[0], rows_d=sizes[1],
        confidence=declared.confidence, bootstrap_samples=_SAMPLES, seed=20, metrics=[],
    )  # fmt: skip
    if not all(sizes):
        which = "training" if predicted is None else "held-out"
        empty = f"no {which} row is in facet {'a' if not sizes[0] else 'd'} of {name}"
        return blank.model_copy(update={"metrics": _undefined(wanted, empty)})
    if predicted is not None and predicted.stray is not None:
        why = _why_stray(predicted.stray)
        return blank.model_copy(update={"metrics": _undefined(wanted, why, min(sizes))})
    features, no_flips = None, ""
    if predicted is not None:
        features, no_flips = _flip_features(predicted, column, known)
    found = report_bias(
        name, in_d[known], rows.favourable[known],
        None if predicted is None else predicted.favourable[known],
        label_values=[value for value, kept in zip(rows.label_values, known, strict=True) if kept],
        strata=_kept(rows.columns[declared.strata], known) if declared.strata else None,
        features=features, mode=declared.mode, confidence=declared.confidence,
        bootstrap_samples=_SAMPLES,
        bounds={bound.metric: limits(bound) for bound in declared.metrics},
    )  # fmt: skip
    metrics = {metric.name: metric for metric in found.metrics}
    if predicted is not None and features is None:
        metrics["FT"] = _undefined(("FT",), no_flips, min(sizes))[0]
    return found.model_copy(update={"metrics": [metrics[one] for one in wanted]})


def _kept(values: Sequence[Value], known: Bools) -> list[Value]:
    return [value for value, kept in zip(values, known, strict=True) if kept]


def _undefined(names: Sequence[str], why: str, rows: int = 0) -> list[BiasMetric]:
    return [BiasMetric(name=name, value=None, undefined_because=why, rows=rows) for name in names]


def _why_stray(value: str) -> str:
    return (
        f"label {value!r} is neither favourable nor what the model predicts, "
        "so that predictions cannot be compared with labels"
    )


def _flip_features(
    predicted: Predicted, column: str, known: Bools
) -> tuple[Floats | None, str]:  # fmt: skip
    """Return the features of the flip test, or why there is none."""
    used = {name: values for name, values in predicted.features.items() if name != column}
    if not used:
        return None, "there is no numeric or boolean feature to find neighbours by"
    features = np.column_stack(list(used.values()))[known]
    gaps = ~np.isfinite(features)
    if gaps.any():
        name = list(used)[int(np.flatnonzero(gaps.any(axis=0))[0])]
        return None, f"feature {name} has no value in {int(gaps.any(axis=1).sum())} rows"
    return features, ""


def _counted(rows: BiasRows, predicted: Predicted, among: Bools) -> GroupCounts:
    label, said = rows.favourable[among], predicted.favourable[among]
    return GroupCounts(
        tp=int((label & said).sum()), fp=int((~label & said).sum()),
        fn=int((label & ~said).sum()), tn=int((~label & ~said).sum()),
    )  # fmt: skip


def _groups(
    declared: Bias, heldout: BiasRows, predicted: Predicted, notes: list[str]
) -> list[ByGroup]:
    columns: dict[str, list[Value]] = {}
    for attribute in declared.attributes:
        values = heldout.columns[attribute.column]
        columns[attribute.column] = _named(values, attribute.edges)
        if OTHER in columns[attribute.column]:
            notes.append(
                f"{attribute.column} has more than {MOST_GROUPS} values; the rarer ones are one "
                "group. Edges make groups of numbers."
            )
    labels, decided = (one.astype(np.float64) for one in (heldout.favourable, predicted.favourable))
    parts = [[attribute.column] for attribute in declared.attributes] + declared.intersections
    metrics = [
        metric
        for metric in declared.group_metrics
        if predicted.stray is None or metric in _NEEDS_NO_LABEL
    ]
    return [
        by_group(
            metric,
            labels if metric in RATES or heldout.numbers is None else heldout.numbers,
            decided if metric in RATES else predicted.probabilities,
            {name: columns[name] for name in names}, minimum_rows=declared.minimum_rows,
            confidence=declared.confidence,
        )
        for names in parts
        for metric in metrics
    ]  # fmt: skip


def _named(values: Sequence[Value], edges: Sequence[float] | None) -> list[Value]:
    """Return the group of each row; None where there is no value."""
    named: list[Value] = [None if value is None else slice_of(value, edges) for value in values]
    counts = Counter(name for name in named if name is not None)
    if len(counts) <= MOST_GROUPS:
        return named
    kept = {name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))[
        :MOST_GROUPS]}  # fmt: skip
    return [name if name is None or name in kept else OTHER for name in named]
