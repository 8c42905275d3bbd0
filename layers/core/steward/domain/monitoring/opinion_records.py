"""What a look says beside its verdicts: it describes, and raises no alarm by itself.

Plain like the record that holds it: to show it needs no numpy.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class CalibrationLook(_Frozen):
    """Whether predicted probabilities still mean what they meant on held-out rows.

    Attributes:
        verdict: ``drifted``, ``held`` or ``inconclusive``.
        sentence: Why, for a person.
        n: Labelled rows.
        ece: Expected calibration error, of these and of held-out rows; None where there are too
            few rows.
        ece_by_chance: What a calibrated model of as many rows shows on average.
        slope: Of labels on the logit of the prediction, now and held out: below 1 is
            over-confident.
        intercept: Of the same.
        p: Of equal intercepts and slopes.
        effect: How far the true probabilities of these predictions moved, on average.
        upper: One-sided upper limit of the effect.
        floor: Effect below which a difference does not matter.
        confidence: Of the test and the limit.
        needs: Labelled rows with which it could be decided.
    """

    verdict: Literal["drifted", "held", "inconclusive"]
    sentence: str
    n: int
    ece: tuple[float, float] | None = None
    ece_by_chance: float | None = None
    slope: tuple[float, float] | None = None
    intercept: tuple[float, float] | None = None
    p: float | None = None
    effect: float | None = None
    upper: float | None = None
    floor: float
    confidence: float
    needs: int | None = None


class MultivariateLook(_Frozen):
    """A second opinion over all numeric features together; it decides nothing.

    Attributes:
        method: ``pca_reconstruction`` or ``domain_classifier``.
        state: ``same`` where no change is shown, ``changed`` or ``inconclusive``.
        statistic: |2 AUC - 1| of the reconstruction errors or of the classifier.
        p: Of no change.
        rows: Sampled rows of the window and of the training.
        needs: Rows of the window that it needs.
    """

    method: str
    state: Literal["same", "changed", "inconclusive"]
    statistic: float | None = None
    p: float | None = None
    rows: tuple[int, int] = (0, 0)
    needs: int | None = None
    sentence: str
