"""Predictions of one window joined with the labels that came in time, as statistics that add up."""

# ruff: noqa: S608 - values go through literal()

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.bias.declaration import Cut, Facet
from steward.domain.declaration import Scalar
from steward.domain.experiments.captures import OUTCOMES, parquet
from steward.domain.losses import MOST
from steward.domain.monitoring.bias_drift import GroupCounts, counts_by_group
from steward.domain.monitoring.performance_statistics import (
    Classification,
    ErrorScale,
    Regression,
    Scores,
    classification_of,
    regression_of,
    scores_of,
)
from steward.domain.workspace import Connection, identifier, literal

Floats = NDArray[np.float64]
Groups = dict[str, dict[str, GroupCounts]]
TOLD = {**OUTCOMES, "attributes": "VARCHAR"}
"""Columns of kept outcomes with what is told beside them, as JSON."""


@dataclass(frozen=True)
class Decision:
    """What a favourable outcome is.

    Attributes:
        threshold: Probability from which the positive label is predicted.
        positive: Whether that label is the favourable one; else all others are.
        cut: Of a regression: which numbers are favourable.
    """

    threshold: float = 0.5
    positive: bool = True
    cut: Cut | None = None

    def of(self, labels: Floats, answers: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return which labels are favourable, as 0 and 1, and which answers are."""
        cut = self.cut
        if cut is not None:
            sides = [one > cut.at if cut.upwards else one <= cut.at for one in (labels, answers)]
            return sides[0].astype(np.float64), sides[1]
        predicted = answers >= self.threshold
        return (labels, predicted) if self.positive else (1 - labels, ~predicted)


@dataclass(frozen=True)
class WatchedFacet:
    """A facet of a captured feature, or of an attribute that outcomes tell.

    Attributes:
        withheld: Whether no model sees the column: then outcomes tell it.
    """

    name: str
    column: str
    rule: Facet
    withheld: bool = False

    def side(self, text: str | None) -> str:
        """Return the facet of a captured value, ``a`` or ``d``; empty where it has none."""
        if text is None or text == "":
            return ""
        if self.rule.values is not None:
            return "d" if any(_same(text, value) for value in self.rule.values) else "a"
        try:
            number = float(text)
        except ValueError:
            return ""
        if isnan(number):
            return ""
        if self.rule.above is not None:
            return "d" if number > self.rule.above else "a"
        assert self.rule.at_most is not None
        return "d" if number <= self.rule.at_most else "a"


def _same(text: str, value: Scalar) -> bool:
    """Return whether a captured JSON value, as text, is a declared one."""
    if isinstance(value, str):
        return text == value
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    try:
        return float(text) == value
    except ValueError:
        return False


@dataclass(frozen=True)
class LabelledWindow:
    """What labels say of one window's predictions.

    Attributes:
        predictions: Predictions that could get a label: of an entity the first of the window.
        rows: Those with a label.
        groups: Counts by column and value.
        delay_s: Median time from prediction to label.
        contradicting: Later labels that said otherwise; the first counts.
        early: Labels that were known before the prediction was made; they do not count.
        unusable: Labels of a regression that are no number; they do not count.
    """

    predictions: int
    rows: Classification | Regression | None
    groups: Groups = field(default_factory=dict)
    delay_s: float | None = None
    contradicting: int = 0
    early: int = 0
    unusable: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "predictions": self.predictions,
            "rows": self.rows.as_dict() if self.rows is not None else None,
            "groups": {
                column: {value: counts.model_dump() for value, counts in found.items()}
                for column, found in self.groups.items()
            },
            "delay_s": self.delay_s,
            "contradicting": self.contradicting,
            "early": self.early,
            **({"unusable": self.unusable} if self.unusable else {}),
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> LabelledWindow:
        """Return what :meth:`as_dict` gave."""
        rows = kept["rows"]
        return cls(
            predictions=int(kept["predictions"]),
            rows=_statistics(rows) if rows is not None else None,
            groups={
                column: {value: GroupCounts(**counts) for value, counts in found.items()}
                for column, found in kept["groups"].items()
            },
            delay_s=kept["delay_s"], contradicting=kept["contradicting"], early=kept["early"],
            unusable=kept.get("unusable", 0),
        )  # fmt: skip


def _statistics(kept: Mapping[str, Any]) -> Classification | Regression:
    return Regression.from_dict(kept) if "centre" in kept else Classification.from_dict(kept)


def join_labels(
    connection: Connection,
    predictions: Sequence[Path],
    outcomes: Sequence[Path],
    *,
    positive: bool | int | float | str | ErrorScale,
    until_ms: int,
    by_entity: bool,
    groups: Sequence[str] = (),
    facets: Sequence[WatchedFacet] = (),
    decision: Decision = Decision(),
) -> LabelledWindow:
    """Join a window's predictions with labels that were recorded by a time.

    Of several labels of one prediction the first counts: by the time that it was observed, then
    that it was recorded, then its text. A label of an entity belongs to none: which prediction it
    is about is not said.

    Args:
        connection: The engine.
        predictions: Kept predictions of the window's chunks.
        outcomes: Kept outcomes.
        positive: The label whose probability is predicted; of a regression the scale on which
            held-out errors were counted.
        until_ms: Labels that were recorded later do not count.
        by_entity: Only the first prediction of each entity counts.
        groups: Columns whose values are counted apart.
        facets: Facets that are counted by their names.
        decision: What a favourable outcome is, in the facets.
    """
    told = list(dict.fromkeys(facet.column for facet in facets if facet.withheld))
    captured = [facet.column for facet in facets if not facet.withheld]
    named, groups = groups, list(dict.fromkeys([*groups, *captured]))
    numbers = isinstance(positive, ErrorScale)
    answer = f"abs(p.prediction) < {MOST!r}" if numbers else "p.prediction BETWEEN 0 AND 1"
    label = _number() if numbers else f"CASE WHEN {_is(positive)} THEN 1.0 ELSE 0.0 END"
    kept = "".join(f", p.{identifier('f_' + name)} AS g{n}" for n, name in enumerate(groups))
    by = "entity" if by_entity else "id"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE asked AS
        WITH once AS (
            SELECT * FROM {_predictions(predictions, groups)}
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY asked_at) = 1
        )
        SELECT p.id, p.asked_at, p.prediction{kept} FROM once AS p
        WHERE {answer}
        QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY asked_at, id) = 1
    """)
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE told AS
        SELECT o.inference_id AS id, o.outcome, o.observed, a.asked_at, o.attributes,
            row_number() OVER (
                PARTITION BY o.inference_id ORDER BY o.observed, o.recorded, o.outcome
            ) AS nth,
            first_value(o.outcome) OVER (
                PARTITION BY o.inference_id ORDER BY o.observed, o.recorded, o.outcome
            ) AS counted
        FROM {parquet(outcomes, TOLD)} AS o JOIN asked AS a ON a.id = o.inference_id
        WHERE o.recorded <= {int(until_ms)} AND o.observed >= a.asked_at
    """)
    listed = "".join(f", a.g{n}" for n in range(len(groups)))
    for name in told:
        pointer = literal(f"/{name}")
        listed += f", json_extract_string(t.attributes, {pointer}) AS g{len(groups)}"
        groups.append(name)
    found = connection.execute(f"""
        SELECT a.prediction AS p, {label} AS y, t.observed - t.asked_at AS delay{listed}
        FROM told AS t JOIN asked AS a USING (id) WHERE t.nth = 1 ORDER BY a.id
    """).fetchnumpy()
    scores, labels = (_floats(found[name]) for name in ("p", "y"))
    usable = np.isfinite(labels)
    unusable = int((~usable).sum())
    if unusable:
        found = {name: values[usable] for name, values in found.items()}
        scores, labels = scores[usable], labels[usable]
    (asked,), (contradicting,), (early,) = (
        connection.execute(sql).fetchall()[0]
        for sql in (
            "SELECT count(*) FROM asked",
            "SELECT count(*) FROM told WHERE nth > 1 AND outcome <> counted",
            f"SELECT count(*) FROM {parquet(outcomes, TOLD)} AS o JOIN asked AS a"
            " ON a.id = o.inference_id WHERE o.observed < a.asked_at",
        )
    )
    rows = _rows(labels, scores, positive) if labels.size else None
    counted: Groups = {}
    for facet in facets if labels.size else ():
        texts = found[f"g{groups.index(facet.column)}"].tolist()
        counted[facet.name] = _by_facet(facet, texts, labels, scores, decision)
    for n, name in enumerate(named if labels.size else ()):
        values = ["" if value is None else str(value) for value in found[f"g{n}"].tolist()]
        counted[name] = counts_by_group(values, labels, scores >= 0.5)
    delay = float(np.median(found["delay"])) / 1000 if labels.size else None
    return LabelledWindow(
        int(asked), rows, counted, delay, int(contradicting), int(early), unusable
    )


def _rows(
    labels: Floats, answers: Floats, positive: bool | int | float | str | ErrorScale
) -> Classification | Regression:
    if isinstance(positive, ErrorScale):
        return regression_of(labels, answers, centre=positive.centre, cap=positive.cap)
    return classification_of(labels, answers)


def _floats(values: Any) -> Floats:
    """Return a column with NaN where it is null."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)  # type: ignore[no-untyped-call, no-any-return]


def _number() -> str:
    """Return SQL for the outcome as a number that can be squared; null for any other."""
    number = "TRY_CAST(json_extract_string(t.outcome, '$') AS DOUBLE)"
    return f"CASE WHEN abs({number}) < {MOST!r} THEN {number} END"


def _by_facet(
    facet: WatchedFacet, texts: list[str | None], labels: Floats, scores: Floats,
    decision: Decision,
) -> dict[str, GroupCounts]:  # fmt: skip
    side = {text: facet.side(text) for text in set(texts)}
    sides = np.array([side[text] for text in texts], dtype=np.str_)
    known = sides != ""
    labels, predicted = decision.of(labels, scores)
    return counts_by_group(sides[known].tolist(), labels[known], predicted[known])


def _predictions(files: Sequence[Path], groups: Sequence[str]) -> str:
    columns = {"id": "VARCHAR", "entity": "VARCHAR", "asked_at": "BIGINT", "prediction": "DOUBLE"}
    return parquet(files, {**columns, **{f"f_{name}": "VARCHAR" for name in groups}})


def _is(positive: bool | int | float | str | ErrorScale) -> str:
    """Return SQL for: the outcome, as JSON text, is the positive label."""
    text = "json_extract_string(t.outcome, '$')"
    assert not isinstance(positive, ErrorScale)
    if isinstance(positive, bool):
        words = ("true", "1") if positive else ("false", "0")
        return f"lower({text}) IN ({', '.join(map(literal, words))})"
    if isinstance(positive, int | float):
        also = " OR lower(" + text + ") = 'true'" if positive == 1 else ""
        return f"coalesce(TRY_CAST({text} AS DOUBLE) = {float(positive)!r}, false){also}"
    return f"{text} = {literal(positive)}"


def count_unknown(
    connection: Connection,
    predictions: Sequence[Path],
    outcomes: Sequence[Path],
    since_ms: int,
    until_ms: int,
) -> int:
    """Return labels, recorded within a time, of inference ids that no prediction has."""
    found = connection.execute(f"""
        SELECT count(*) FROM {parquet(outcomes, TOLD)} AS o
        WHERE o.inference_id IS NOT NULL AND o.recorded >= {int(since_ms)}
            AND o.recorded < {int(until_ms)}
            AND o.inference_id NOT IN (SELECT id FROM {_predictions(predictions, ())})
    """).fetchall()
    return int(found[0][0])


def window_scores(connection: Connection, predictions: Sequence[Path]) -> Scores | None:
    """Return the predictions of a window without labels; None where there are none."""
    found = connection.execute(
        f"SELECT prediction AS p FROM {_predictions(predictions, ())}"
        " WHERE prediction BETWEEN 0 AND 1 ORDER BY id"
    ).fetchnumpy()["p"]
    values = np.asarray(found, dtype=np.float64)
    return scores_of(values) if values.size else None
