"""Labels that come late: each prediction takes its first one, once; what else comes is counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Value = float | str | bool


@dataclass(frozen=True)
class Label:
    """What was observed of one prediction.

    Attributes:
        inference_id: Of the prediction.
        value: The label.
        known_at_s: When it became known, seconds since the epoch.
    """

    inference_id: str
    value: Value
    known_at_s: float


@dataclass(frozen=True)
class Joined:
    """What labels came to.

    Attributes:
        labels: Per inference id the label that counts, those of before among them.
        new: Ids that had none before.
        repeated: Labels that said again what is known.
        contradicting: Later labels that differ from the one that counts; they change nothing.
        unknown: Labels of predictions that are not known (yet): keep them and join them again.
        early: Labels known before their prediction was made; they are left out.
    """

    labels: dict[str, Label]
    new: frozenset[str]
    repeated: int
    contradicting: tuple[Label, ...]
    unknown: tuple[Label, ...]
    early: tuple[Label, ...]


def joined(
    predicted_at_s: Mapping[str, float], known: Mapping[str, Label], labels: Iterable[Label]
) -> Joined:
    """Join labels with predictions by inference id.

    Of labels that come together the one known first counts, of equal times the one whose value
    sorts first, so that no order of delivery matters. What has counted before counts for good:
    a chunk's statistics change once per label.

    Args:
        predicted_at_s: When each prediction was made.
        known: The labels that count so far.
        labels: What has come.
    """
    ordered = sorted(
        labels, key=lambda label: (label.known_at_s, repr(label.value), label.inference_id)
    )
    counting = dict(known)
    new: set[str] = set()
    repeated, contradicting, unknown, early = 0, [], [], []
    for label in ordered:
        made_at = predicted_at_s.get(label.inference_id)
        before = counting.get(label.inference_id)
        if made_at is None:
            unknown.append(label)
        elif label.known_at_s < made_at:
            early.append(label)
        elif before is None:
            counting[label.inference_id] = label
            new.add(label.inference_id)
        elif before.value == label.value:
            repeated += 1
        else:
            contradicting.append(label)
    return Joined(
        counting, frozenset(new), repeated, tuple(contradicting), tuple(unknown), tuple(early)
    )


@dataclass(frozen=True)
class Coverage:
    """How many predictions have a label, and how long labels take.

    Attributes:
        predictions: All of them.
        labelled: Those with a label.
        matured: Predictions whose time for a label is over.
        matured_labelled: Those of them that got one in time.
        late: Labels of matured predictions that came after their time.
        delay_s: Quantiles of the delay by probability, over matured predictions alone: of young
            ones only the quick labels are there. A missing label is an infinite delay; None where
            the quantile lies among those.
    """

    predictions: int
    labelled: int
    matured: int
    matured_labelled: int
    late: int
    delay_s: dict[float, float | None]

    @property
    def share(self) -> float | None:
        """Share of the matured predictions that got a label in time; None without any."""
        return self.matured_labelled / self.matured if self.matured else None


def coverage(
    predicted_at_s: Mapping[str, float],
    known: Mapping[str, Label],
    *,
    now_s: float,
    maximum_delay_s: float,
    quantiles: tuple[float, ...] = (0.5, 0.9),
) -> Coverage:
    """Return the coverage of predictions by labels as it stands at ``now_s``."""
    delays, labelled, late = [], 0, 0
    for inference_id, made_at in predicted_at_s.items():
        label = known.get(inference_id)
        seen = label is not None and label.known_at_s <= now_s
        labelled += seen
        if now_s - made_at < maximum_delay_s:
            continue
        delay = label.known_at_s - made_at if seen and label is not None else math.inf
        late += maximum_delay_s < delay < math.inf
        delays.append(delay)
    delays.sort()
    found: dict[float, float | None] = {}
    for quantile in quantiles:
        place = max(0, math.ceil(quantile * len(delays)) - 1)
        at = delays[place] if delays else math.inf
        found[quantile] = at if at < math.inf else None
    return Coverage(
        len(predicted_at_s), labelled, len(delays),
        sum(delay <= maximum_delay_s for delay in delays), late, found,
    )  # fmt: skip
