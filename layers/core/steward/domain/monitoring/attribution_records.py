"""What a look says of attributions: plain like the record that holds it, without numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class WeightLook(_Frozen):
    """The weight of one feature: its mean |phi| over the sum of all.

    Attributes:
        p: Of no change of this weight, corrected for all features.
    """

    feature: str
    baseline: float
    current: float
    p: float


class AttributionLook(_Frozen):
    """Whether the model leans on other features than on held-out rows.

    Attributes:
        state: Of the alarm: ``alarm``, ``ok`` or ``inconclusive``.
        verdict: Of this window alone: ``drifted``, ``not_shown`` or ``inconclusive``.
        sentence: Why, for a person.
        p: Of no change.
        effect: Half the sum of the absolute changes of weights.
        by_chance: What that is on average where nothing changed.
        ndcg: Of the baseline's ranking; it describes and decides nothing.
        floor: Effect below which a change does not matter.
        alpha: Of this window's verdict.
        alarm_alpha: Of the alarm, so that 336 windows hold their declared probability.
        rows: Explained rows of the window, and of the baseline.
        left_out: Rows of the sample that could not be explained.
        needs: Rows with which it could be decided.
        explainer: Method, the same on both sides.
        background: Digest of the rows that stand for "not known".
        model_rows: Rows that the endpoint was asked for.
        model_calls: Questions to the endpoint.
        features: Largest change first.
        values: Digest of the absolute Shapley values of the window.
        values_uri: Where these lie.
    """

    state: Literal["ok", "alarm", "inconclusive"]
    verdict: Literal["drifted", "not_shown", "inconclusive"]
    sentence: str
    p: float | None = None
    effect: float | None = None
    by_chance: float | None = None
    ndcg: float | None = None
    floor: float
    alpha: float
    alarm_alpha: float
    rows: tuple[int, int] = (0, 0)
    left_out: int = 0
    needs: int | None = None
    explainer: str = ""
    background: str = ""
    model_rows: int = 0
    model_calls: int = 0
    features: tuple[WeightLook, ...] = ()
    values: str | None = None
    values_uri: str | None = None
