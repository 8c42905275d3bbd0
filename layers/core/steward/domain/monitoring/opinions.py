"""Opinions of a look beside its verdicts, as pure functions of what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from steward.domain.monitoring.calibration import CalibrationDrift, calibration_drift
from steward.domain.monitoring.multivariate import (
    MINIMUM_ROWS,
    MultivariateDrift,
    components,
    domain_classifier,
    reconstruction_drift,
)
from steward.domain.monitoring.opinion_records import CalibrationLook, MultivariateLook
from steward.domain.monitoring.performance_statistics import Classification
from steward.domain.monitoring.sampled_rows import SampledRows

ALPHA = 0.05
"""Of each second opinion on each window; it raises no alarm."""

_STATES: dict[str, Literal["same", "changed", "inconclusive"]] = {
    "not_shown": "same", "drifted": "changed", "inconclusive": "inconclusive",
}  # fmt: skip
_WHAT = {
    "pca_reconstruction": "errors of rows rebuilt from principal components",
    "domain_classifier": "scores of a classifier that tells the window from training",
}


def calibration_look(rows: Classification, held_out: Classification) -> CalibrationLook:
    """Return whether labelled rows are calibrated as held-out rows were.

    One look of a model whose calibration stays says ``drifted`` with a probability of at most
    1 - confidence; looks share rows, so it does not add up over looks and raises no alarm.

    Args:
        rows: Labelled rows of the last windows.
        held_out: Of the version's evaluation.
    """
    found = calibration_drift(rows, held_out)
    now, before = found.current, found.baseline
    if now is None or before is None:
        return CalibrationLook(
            verdict="inconclusive", sentence=_sentence(found, rows.n), n=rows.n,
            floor=found.floor, confidence=found.confidence, needs=found.needs,
        )  # fmt: skip
    return CalibrationLook(
        verdict=found.verdict, sentence=_sentence(found, rows.n), n=rows.n,
        ece=(now.ece, before.ece), ece_by_chance=now.ece_by_chance,
        slope=(now.slope, before.slope), intercept=(now.intercept, before.intercept),
        p=found.p, effect=found.effect, upper=found.upper, floor=found.floor,
        confidence=found.confidence, needs=found.needs,
    )  # fmt: skip


def _sentence(found: CalibrationDrift, n: int) -> str:
    needs = "" if found.needs is None else f"; needs n = {found.needs}"
    if found.effect is None or found.upper is None or found.p is None:
        return f"Calibration is not judged: {found.reason}{needs}."
    moved = f"the true probabilities moved by {found.effect:.3f} on average"
    if found.verdict == "drifted":
        return f"Calibration drifted: {moved} (p = {found.p:.2g}, {n} labelled rows)."
    if found.verdict == "held":
        return (
            f"Calibration held: {moved}, at most {found.upper:.3f} at {found.confidence:.0%}, "
            f"the floor is {found.floor:g}."
        )
    return f"Calibration: {moved}, at most {found.upper:.3f}; {found.reason}{needs}."


def multivariate_looks(
    reference: SampledRows | None,
    window: SampledRows | None,
    names: Sequence[str],
    min_effect: float,
) -> tuple[MultivariateLook, ...]:
    """Return second opinions on all numeric features together; none where no rows were kept.

    Args:
        reference: Rows of the training.
        window: Rows of the window.
        names: Features that are judged.
        min_effect: |2 AUC - 1| below which a difference does not matter.
    """
    if reference is None or window is None or not window.rows:
        return ()
    shared = [name for name in names if name in reference.columns and name in window.columns]
    if len(shared) < 2:
        return ()
    old, new = reference.of(shared), window.of(shared)
    classifier = domain_classifier(old, new, floor=min_effect, alpha=ALPHA)
    if reference.rows < 2 * MINIMUM_ROWS:
        why = f"Not judged: components need {2 * MINIMUM_ROWS} training rows, {reference.rows} are."
        rebuilt = MultivariateLook(
            method="pca_reconstruction", state="inconclusive", sentence=why,
            rows=(window.rows, reference.rows),
        )  # fmt: skip
    else:
        found = reconstruction_drift(components(old), new, floor=min_effect, alpha=ALPHA)
        rebuilt = _multivariate(found)
    return rebuilt, _multivariate(classifier)


def _multivariate(found: MultivariateDrift) -> MultivariateLook:
    return MultivariateLook(
        method=found.method, state=_STATES[found.verdict], statistic=found.effect, p=found.p,
        rows=found.rows, needs=found.needs, sentence=_opinion(found),
    )  # fmt: skip


def _opinion(found: MultivariateDrift) -> str:
    new, old = found.rows
    if found.p is None or found.effect is None:
        needs = "" if found.needs is None else f"; needs n = {found.needs}"
        return f"Not judged with {new} rows of the window and {old} of training{needs}."
    said = "differ" if found.verdict == "drifted" else "are not shown to differ"
    return (
        f"The {_WHAT[found.method]} {said}: |2 AUC - 1| = {found.effect:.3f}, p = {found.p:.2g} "
        f"({new} and {old} rows)."
    )
