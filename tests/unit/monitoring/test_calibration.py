"""Calibration and its drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from performance_simulations import answers, sigmoid, statistics
from steward.domain.monitoring.calibration import (
    MINIMUM_ROWS,
    calibration,
    calibration_drift,
    logit,
    recalibration_of,
)
from steward.domain.monitoring.performance_statistics import classification_of

REPETITIONS = 200
TOLERANCE = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPETITIONS)


def test_figures_are_those_of_their_definitions_on_the_rows_themselves() -> None:
    labels, scores = answers(np.random.default_rng(1), 3_000, concept=0.6)
    found = calibration(classification_of(labels, scores))
    tenth = np.minimum((scores * 10).astype(int), 9)
    ece = reliability = resolution = 0.0
    for part in range(10):
        inside = tenth == part
        said, seen = scores[inside].mean(), labels[inside].mean()
        ece += inside.mean() * abs(said - seen)
        reliability += inside.mean() * (said - seen) ** 2
        resolution += inside.mean() * (seen - labels.mean()) ** 2
    assert found.ece == pytest.approx(ece, abs=1e-8)
    assert found.reliability == pytest.approx(reliability, abs=1e-8)
    assert found.resolution == pytest.approx(resolution, abs=1e-8)
    brier = ((scores - labels) ** 2).mean()
    parts = found.reliability - found.resolution + found.uncertainty + found.within
    assert parts == pytest.approx(brier, abs=1e-8)
    assert abs(found.within) < 0.002
    assert found.in_the_large == pytest.approx(labels.mean() - scores.mean(), abs=1e-8)


def test_intercept_and_slope_are_those_of_a_logistic_regression() -> None:
    labels, scores = answers(np.random.default_rng(2), 3_000, concept=0.6)
    fit = recalibration_of(classification_of(labels, scores))
    exact = LogisticRegression(C=1e9, tol=1e-10).fit(logit(scores)[:, None], labels)
    assert fit.coefficients[0] == pytest.approx(exact.intercept_[0], abs=2e-3)
    assert fit.coefficients[1] == pytest.approx(exact.coef_[0, 0], abs=2e-3)
    assert fit.coefficients[1] == pytest.approx(0.6, abs=4 * math.sqrt(fit.covariance[1, 1]))


def test_a_calibrated_model_is_rarely_called_uncalibrated_and_its_error_is_that_of_chance() -> None:
    generator = np.random.default_rng(3)
    found = [calibration(statistics(generator, 400)) for _ in range(REPETITIONS)]
    assert np.mean([one.p < 0.05 for one in found]) <= TOLERANCE
    large = [abs(one.in_the_large) > 1.96 * one.in_the_large_error for one in found]
    assert np.mean(large) <= TOLERANCE
    assert np.mean([one.ece for one in found]) == pytest.approx(
        np.mean([one.ece_by_chance for one in found]), rel=0.05
    )


def test_drift_of_calibration_is_rare_without_and_found_with_a_moved_concept() -> None:
    generator = np.random.default_rng(4)
    false = found = 0
    for _ in range(REPETITIONS):
        baseline = statistics(generator, 400)
        false += calibration_drift(statistics(generator, 600), baseline).verdict == "drifted"
        moved = statistics(generator, 600, concept=0.4)
        found += calibration_drift(moved, baseline).verdict == "drifted"
    assert false / REPETITIONS <= TOLERANCE
    assert found / REPETITIONS >= 0.95


def test_a_model_that_was_never_calibrated_has_not_drifted() -> None:
    generator = np.random.default_rng(5)
    # Over-confident from the start, and still as over-confident.
    sides = [statistics(generator, 20_000, concept=0.5) for _ in range(2)]
    drift = calibration_drift(*sides)
    assert drift.verdict == "held"
    assert drift.current is not None
    assert drift.current.p < 1e-6
    assert drift.current.slope == pytest.approx(0.5, abs=0.05)


def test_many_rows_with_a_difference_below_the_floor_are_no_drift() -> None:
    generator = np.random.default_rng(6)
    drift = calibration_drift(
        statistics(generator, 200_000, concept=0.93), statistics(generator, 200_000)
    )
    assert drift.p is not None
    assert drift.p < 0.01
    assert drift.verdict == "held"


def test_too_little_is_inconclusive_with_the_rows_that_are_needed() -> None:
    generator = np.random.default_rng(7)
    baseline = statistics(generator, 1_000)
    few = calibration_drift(statistics(generator, 40), baseline)
    assert (few.verdict, few.needs) == ("inconclusive", MINIMUM_ROWS)
    rare = classification_of(np.r_[np.zeros(199), 1.0], np.full(200, 0.01))
    one_label = calibration_drift(rare, baseline)
    assert (one_label.verdict, one_label.needs) == ("inconclusive", 2_000)
    none = classification_of(np.zeros(200), np.full(200, 0.01))
    assert calibration_drift(none, baseline).needs is None
    with pytest.raises(ValueError, match="40 labelled rows"):
        calibration(statistics(generator, 40))
    middling = calibration_drift(statistics(generator, 300), statistics(generator, 20_000))
    assert middling.verdict == "inconclusive"
    assert middling.needs is not None
    enough = calibration_drift(
        statistics(generator, 3 * middling.needs), statistics(generator, 20_000)
    )
    assert enough.verdict == "held"


def test_separated_labels_and_certain_predictions_have_a_finite_fit() -> None:
    labels = np.r_[np.zeros(100), np.ones(100)]
    perfect = calibration(classification_of(labels, labels))
    assert math.isfinite(perfect.slope)
    assert perfect.ece == pytest.approx(0)
    constant = calibration(classification_of(labels, np.full(200, 0.5)))
    assert constant.ece == pytest.approx(0)
    assert math.isfinite(constant.slope)
    wrong = calibration(classification_of(labels, sigmoid(-20 * (labels - 0.5))))
    assert wrong.ece > 0.9
