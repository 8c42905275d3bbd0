"""Metrics by group: the values of Fairlearn's definitions, intersections, and what chance does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from steward.domain.bias.by_group import METRICS, by_group
from steward.domain.errors import RejectedError

Floats = NDArray[np.float64]


def rows(n: int, seed: int = 1) -> tuple[Floats, Floats, list[str], list[int]]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(float)
    predictions = np.clip(labels * 0.3 + rng.random(n) * 0.7, 0, 1)
    return labels, predictions, list(rng.choice(["a", "b", "c"], n)), list(rng.integers(0, 2, n))


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_each_group_has_the_metric_of_its_own_rows(metric: str) -> None:
    labels, predictions, ward, _ = rows(400)

    found = by_group(metric, labels, predictions, {"ward": ward}, minimum_rows=10, samples=200)

    values = [group.value for group in found.groups]
    for group in found.groups:
        inside = np.array(ward) == group.group["ward"]
        alone = METRICS[metric](labels[inside], predictions[inside], np.ones((1, inside.sum())))
        assert group.value == pytest.approx(float(alone[0]))
        assert group.lower is not None
        assert group.upper is not None
        assert group.lower <= float(alone[0]) <= group.upper
    assert found.differences["between_groups"].value == pytest.approx(max(values) - min(values))  # type: ignore[type-var,operator]


def test_differences_and_ratios_as_fairlearn_defines_them() -> None:
    # Selection rates: a 3/4, b 1/4, all 2/4.
    predictions = np.array([1, 1, 1, 0, 1, 0, 0, 0], float)
    ward = ["a"] * 4 + ["b"] * 4

    found = by_group(
        "selection_rate", np.zeros(8), predictions, {"ward": ward}, minimum_rows=1, samples=200
    )

    assert found.overall == 0.5
    assert found.differences["between_groups"].value == pytest.approx(0.5)
    assert found.differences["to_overall"].value == pytest.approx(0.25)
    assert found.ratios["between_groups"].value == pytest.approx(1 / 3)
    assert found.ratios["to_overall"].value == pytest.approx(0.5)


def test_intersections_are_groups() -> None:
    labels, predictions, ward, sex = rows(400)

    found = by_group(
        "accuracy", labels, predictions, {"ward": ward, "sex": sex}, minimum_rows=10, samples=200
    )

    assert len(found.groups) == 6
    assert sum(group.rows for group in found.groups) == 400


def test_small_groups_are_shown_and_not_judged() -> None:
    labels, predictions, ward, _ = rows(300)
    ward[:7] = ["tiny"] * 7

    found = by_group("accuracy", labels, predictions, {"ward": ward}, minimum_rows=50, samples=200)

    [tiny] = [group for group in found.groups if group.group["ward"] == "tiny"]
    assert (tiny.rows, tiny.value, tiny.why) == (7, None, "7 rows, needs 50")
    without = by_group("accuracy", labels[7:], predictions[7:], {"ward": ward[7:]},
                       minimum_rows=50, samples=200)  # fmt: skip
    assert found.differences["between_groups"].value == pytest.approx(
        without.differences["between_groups"].value
    )


def test_a_missing_value_is_a_group_of_its_own() -> None:
    labels, predictions, _, sex = rows(300)
    known: list[int | None] = [None if place < 100 else value for place, value in enumerate(sex)]

    found = by_group("accuracy", labels, predictions, {"sex": known}, minimum_rows=10, samples=200)

    assert [group.group["sex"] for group in found.groups] == [None, 0, 1]


def test_a_group_without_a_denominator_is_undefined() -> None:
    labels = np.array([1.0, 1, 0, 0])

    found = by_group("true_positive_rate", labels, labels, {"g": ["a", "a", "b", "b"]},
                     minimum_rows=1, samples=200)  # fmt: skip

    assert [group.value for group in found.groups] == [1.0, None]
    assert found.groups[1].why == "a denominator is 0"
    assert found.differences["between_groups"].value is None


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"metric": "auc"}, "metric"),
        ({"sensitive": {}}, "sensitive"),
        ({"sensitive": {"ward": ["a"]}}, "ward"),
        ({"predictions": np.zeros(3)}, "predictions"),
    ],
)
def test_bad_input_is_refused_by_name(changed: dict[str, object], field: str) -> None:
    given = {"metric": "accuracy", "labels": np.zeros(2), "predictions": np.zeros(2),
             "sensitive": {"ward": ["a", "b"]}, **changed}  # fmt: skip

    with pytest.raises(RejectedError) as refused:
        by_group(**given)  # type: ignore[arg-type]

    assert refused.value.field == field


def test_equal_groups_are_seldom_told_apart_and_unequal_ones_often() -> None:
    """Eight groups of 120: any adjusted p-value below .05 in A/A, and of one worse group.

    Each repetition resamples with a seed of its own: with one seed for all, its luck is shared.
    """
    rng = np.random.default_rng(35)
    ward = list(np.repeat(list("abcdefgh"), 120))
    worse = np.array(ward) == "h"
    alarms = found_worse = 0
    repetitions = 120
    for seed in range(repetitions):
        right = rng.random(960)
        for shift in (0.0, 0.2):
            labels = np.ones(960)
            predictions = (right < np.where(worse, 0.8 - shift, 0.8)).astype(float)
            found = by_group(
                "accuracy", labels, predictions, {"ward": ward}, samples=300, seed=seed
            )
            flagged = [
                group.group["ward"] for group in found.groups if (group.adjusted or 1) < 0.05
            ]
            if shift == 0:
                alarms += bool(flagged)
            else:
                found_worse += "h" in flagged

    assert alarms / repetitions <= 0.12
    assert found_worse / repetitions >= 0.9
