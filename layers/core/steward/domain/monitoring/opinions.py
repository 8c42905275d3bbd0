"""Opinions of a look beside its verdicts, as pure functions of what was counted."""

from __future__ import annotations

from steward.domain.monitoring.calibration import CalibrationDrift, calibration_drift
from steward.domain.monitoring.opinion_records import CalibrationLook
from steward.domain.monitoring.performance_statistics import Classification


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
