"""The gate between versions: candidate and champion on the same held-out rows, three verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import canonical_json
from steward.domain.evaluation import canonical_order
from steward.domain.losses import Loss, row_losses
from steward.domain.resampling import codes_of
from steward.domain.time_blocks import (
    MINIMUM_ENTITIES,
    Days,
    days_of,
    limits,
    ordinals_of,
)

Verdict = Literal["pass", "worse", "inconclusive"]
SliceVerdict = Literal["proved_worse", "not_proved_worse", "not_judged"]
Floats = NDArray[np.float64]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ComparisonSettings(_Model):
    """The plan of a comparison, fixed before the data are seen."""

    loss: Loss
    margin: float = Field(ge=0, description="how much mean loss a candidate may lose, unit of loss")
    relative_margin: float | None = Field(
        default=None, gt=0, description="share of the champion's mean loss, instead of margin"
    )
    confidence: float = Field(ge=0.5, lt=1, description="one-sided")
    bootstrap_samples: int = Field(ge=1)
    seed: int = Field(ge=0)
    slice_confidence: float = Field(ge=0.5, lt=1, description="one-sided")
    slice_minimum_rows: int = Field(ge=2)


class SliceComparison(_Model):
    """The difference on one slice; only a proved loss counts against the candidate."""

    column: str
    value: str
    rows: int
    difference: float = Field(description="mean loss of candidate minus champion")
    lower: float | None = Field(description="one-sided lower limit; None when not judged")
    verdict: SliceVerdict


class Comparison(_Model):
    """The verdict on a candidate, and all that it follows from."""

    verdict: Verdict
    superior: bool = Field(description="the candidate is proved better, not only non-inferior")
    proved_worse: bool = Field(description="the candidate is proved worse, however little")
    rows: int
    entities: int
    candidate_loss: float
    champion_loss: float
    difference: float = Field(description="mean loss of candidate minus champion")
    lower: float = Field(description="one-sided lower limit of the difference")
    upper: float = Field(description="one-sided upper limit of the difference")
    margin: float | None = Field(
        default=None, description="what it is judged by, unit of loss; estimated where relative"
    )
    relative_upper: float | None = Field(
        default=None,
        description="one-sided upper limit of candidate minus (1 + relative margin) champion",
    )
    days: int | None = Field(default=None, description="of a split by time: days that judge")
    block_days: int | None = Field(default=None, description="days that are drawn together")
    undecided_because: str | None = Field(
        default=None, description="why no number of this size can prove anything"
    )
    slices: list[SliceComparison]
    settings: ComparisonSettings
    inputs_digest: str = Field(description="SHA-256 of rows, predictions, slices and settings")

    @property
    def vetoes(self) -> list[SliceComparison]:
        """The slices on which the candidate is proved worse."""
        return [slice_ for slice_ in self.slices if slice_.verdict == "proved_worse"]

    @property
    def passed(self) -> bool:
        """Whether the candidate is non-inferior and no slice vetoes."""
        return self.verdict == "pass" and not self.vetoes


def compare(
    entities: Sequence[str],
    labels: Floats,
    candidate: Floats,
    champion: Floats,
    *,
    slices: Mapping[str, Sequence[str]],
    settings: ComparisonSettings,
    asked_on: Sequence[date] | None = None,
    lead_days: int = 1,
) -> Comparison:
    """Compare two versions by the paired bootstrap of their difference in loss.

    With d_i = loss(candidate, row i) - loss(champion, row i), entities are drawn with
    replacement ``bootstrap_samples`` times; L and U are the 1-c and c quantiles of the replicated
    mean of d, one-sided limits at confidence c. The verdict is

    - ``pass`` when U < margin: non-inferior (a non-inferiority test of the kind in G. Piaggio
      et al., JAMA 308 (2012), with limits after Efron 1979). With a relative margin r it is
      ``pass`` when the upper limit of the mean of loss(candidate) - (1 + r) loss(champion) is
      below 0, which tests the ratio of mean losses against 1 + r without dividing;
    - ``worse`` when L > 0 and not ``pass``;
    - ``inconclusive`` otherwise: more held-out rows would decide.

    ``superior`` is U < 0; ``proved_worse`` is L > 0, which a ``pass`` within the margin may be
    too, so that a chain of small losses can be seen. A slice is ``proved_worse`` when it has at
    least ``slice_minimum_rows`` rows and its lower limit at ``slice_confidence`` is above 0.

    Many rows of fewer than ``MINIMUM_ENTITIES`` entities prove nothing, of all or of a slice.

    Rows of a split by time share their days too: with ``asked_on`` the limits are those of
    :func:`steward.domain.time_blocks.limits`, and fewer than ``MINIMUM_BLOCKS`` blocks of days
    prove nothing.

    The order of rows does not matter: they are sorted by entity, predictions and label, then by
    day and slices.

    Args:
        entities: Entity id of each row; rows of one entity are drawn together.
        labels: Label of each row, 0 or 1 unless the loss is of numbers.
        candidate: Prediction of the candidate for each row.
        champion: Prediction of the champion for the same rows.
        slices: For each slice column the slice of each row.
        settings: The plan.
        asked_on: Of a split by time the day on which each row was asked for.
        lead_days: Of a split by time the days until what a row asks for is known.

    Raises:
        ValueError: Lengths differ, or a label or prediction is impossible.
    """
    times = () if asked_on is None else (("asked_on", asked_on),)
    for name, column in (("entities", entities), *times, *slices.items()):
        if len(column) != labels.size:
            raise ValueError(f"{name} has {len(column)} rows, labels have {labels.size}")
    candidate_losses = row_losses(settings.loss, labels, candidate)
    champion_losses = row_losses(settings.loss, labels, champion)
    asked_at = None if asked_on is None else ordinals_of(asked_on)
    further = [] if asked_at is None else [asked_at]
    further += [np.asarray(column, dtype=np.str_) for _, column in sorted(slices.items())]
    order = canonical_order(entities, candidate, champion, labels, *further)
    codes = codes_of([entities[row] for row in order])
    differences = (candidate_losses - champion_losses)[order]
    count = int(codes.max()) + 1
    asked = None if asked_at is None else asked_at[order]
    days = None if asked is None else days_of(asked, lead_days)
    undecided = _undecided(codes, days)
    proves = undecided is None
    lower, upper = _limits(differences, codes, days, settings.confidence, settings)
    margin, relative_upper, share = settings.margin, None, settings.relative_margin
    if share is not None:
        beyond = (candidate_losses - (1 + share) * champion_losses)[order]
        relative_upper = _limits(beyond, codes, days, settings.confidence, settings)[1]
        margin = share * float(champion_losses[order].mean())
    passes = upper < margin if relative_upper is None else relative_upper < 0
    verdict: Verdict = "inconclusive"
    if passes and proves:
        verdict = "pass"
    elif lower > 0 and proves:
        verdict = "worse"
    return Comparison(
        verdict=verdict,
        superior=proves and upper < 0,
        proved_worse=proves and lower > 0,
        rows=labels.size,
        entities=count,
        candidate_loss=float(candidate_losses[order].mean()),
        champion_loss=float(champion_losses[order].mean()),
        difference=float(differences.mean()),
        lower=lower,
        upper=upper,
        margin=margin,
        relative_upper=relative_upper,
        days=None if days is None else days.count,
        block_days=None if days is None else days.block,
        undecided_because=undecided,
        slices=_judge_slices(differences, codes, (asked, lead_days), order, slices, settings),
        settings=settings,
        inputs_digest=_digest(
            entities,
            (labels, candidate, champion),
            slices,
            order,
            settings,
            None if asked_on is None else (asked_on, lead_days),
        ),
    )


def _undecided(codes: NDArray[np.intp], days: Days | None) -> str | None:
    """Return why rows of these entities and days prove nothing; None where they may."""
    if days is None:
        count = int(codes.max()) + 1
        if count == codes.size or count >= MINIMUM_ENTITIES:
            return None
        return f"{count} entities judge, at least {MINIMUM_ENTITIES} are needed"
    return days.too_few


def _limits(
    differences: Floats,
    codes: NDArray[np.intp],
    days: Days | None,
    confidence: float,
    settings: ComparisonSettings,
) -> tuple[float, float]:
    return limits(
        differences, codes, days,
        confidence=confidence, samples=settings.bootstrap_samples, seed=settings.seed,
    )  # fmt: skip


def _judge_slices(
    differences: Floats,
    codes: NDArray[np.intp],
    timed: tuple[NDArray[np.intp] | None, int],
    order: NDArray[np.intp],
    slices: Mapping[str, Sequence[str]],
    settings: ComparisonSettings,
) -> list[SliceComparison]:
    asked, lead_days = timed
    judged = []
    for column_name, column in slices.items():
        values = np.asarray(column, dtype=np.str_)[order]
        for value in sorted(set(column)):
            rows = np.flatnonzero(values == value)
            inside = differences[rows]
            lower: float | None = None
            verdict: SliceVerdict = "not_judged"
            members = np.unique(codes[rows], return_inverse=True)[1]
            within = None if asked is None else days_of(asked[rows], lead_days)
            if _undecided(members, within) is None and rows.size >= settings.slice_minimum_rows:
                lower, _ = _limits(inside, members, within, settings.slice_confidence, settings)
                verdict = "proved_worse" if lower > 0 else "not_proved_worse"
            judged.append(
                SliceComparison(
                    column=column_name,
                    value=value,
                    rows=rows.size,
                    difference=float(inside.mean()),
                    lower=lower,
                    verdict=verdict,
                )
            )
    return judged


def _digest(
    entities: Sequence[str],
    numbers: Sequence[Floats],
    slices: Mapping[str, Sequence[str]],
    order: NDArray[np.intp],
    settings: ComparisonSettings,
    timed: tuple[Sequence[date], int] | None,
) -> str:
    """Hash the inputs in canonical order: little-endian doubles without a negative zero."""
    digest = hashlib.sha256(canonical_json(settings.model_dump(mode="json", exclude_none=True)))
    for name, column in (("", entities), *sorted(slices.items())):
        digest.update(canonical_json([name, *(column[row] for row in order)]))
    for values in numbers:
        digest.update((values[order] + 0.0).astype("<f8").tobytes())
    if timed is not None:
        asked_on, lead_days = timed
        digest.update(canonical_json([lead_days, *(asked_on[row].isoformat() for row in order)]))
    return digest.hexdigest()
