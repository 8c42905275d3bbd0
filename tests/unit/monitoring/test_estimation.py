"""Performance without labels: right under covariate shift, blind to concept drift, corrected."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from performance_simulations import answers, numbers, sigmoid, statistics
from steward.domain.monitoring.estimation import (
    ISOTONIC_FROM,
    LIMITS,
    corrected,
    estimated,
    isotonic,
)
from steward.domain.monitoring.loss_estimation import LossModel, estimated_loss, loss_model
from steward.domain.monitoring.metric_estimates import CLASSIFICATION_METRICS, measured
from steward.domain.monitoring.performance_statistics import classification_of, scores_of


@pytest.mark.parametrize(("held_out", "calibrator"), [(600, "platt"), (6_000, "isotonic")])
def test_estimates_are_right_under_covariate_shift(held_out: int, calibrator: str) -> None:
    generator = np.random.default_rng(1)
    errors = {metric: [] for metric in CLASSIFICATION_METRICS}  # type: ignore[var-annotated]
    covered = dict.fromkeys(CLASSIFICATION_METRICS, 0)
    for _ in range(40):
        held = statistics(generator, held_out)
        window = classification_of(*answers(generator, 1_000, centre=1.0))
        for found in estimated(window.predictions, held, replicates=60):
            truth = measured(window, found.metric).value
            assert found.verdict == "estimated"
            assert found.calibrator == calibrator
            assert truth is not None
            assert found.lower is not None
            assert found.value is not None
            assert found.upper is not None
            errors[found.metric].append(found.value - truth)
            covered[found.metric] += found.lower <= truth <= found.upper
    for metric in CLASSIFICATION_METRICS:
        assert abs(np.mean(errors[metric])) < 0.012
        # 40 windows at .95: fewer than 33 are seen in .3 % of cases.
        assert covered[metric] >= 33


def test_estimates_do_not_see_concept_drift() -> None:
    generator = np.random.default_rng(2)
    held, window = statistics(generator, 5_000), statistics(generator, 5_000, concept=-0.5)
    (found,) = estimated(window.predictions, held, ("accuracy",))
    realised = measured(window, "accuracy").value
    assert found.value == pytest.approx(measured(held, "accuracy").value, abs=0.03)
    assert realised is not None
    assert found.lower is not None
    assert found.lower - realised > 0.2
    assert found.limits == LIMITS
    assert "concept drift" in " ".join(found.limits)
    assert found.in_gates is False


def test_doubled_logits_look_better_unless_held_out_rows_show_them() -> None:
    """Rule 28: with logits twice as large accuracy is estimated at .805 and realised at .701."""
    generator = np.random.default_rng(3)
    labels, scores = answers(generator, 200_000)
    doubled = sigmoid(2 * np.log(scores / (1 - scores)))
    realised = ((doubled >= 0.5) == labels).mean()
    assert realised == pytest.approx(0.701, abs=0.004)
    assert np.maximum(doubled, 1 - doubled).mean() == pytest.approx(0.805, abs=0.004)
    window = scores_of(doubled[:20_000])
    # Held-out rows on which such probabilities were true: the estimate rises, nothing got better.
    wide = generator.normal(0, 2.4, 9_000)
    true = (generator.random(wide.size) < sigmoid(wide)).astype(np.float64)
    (fooled,) = estimated(window, classification_of(true, sigmoid(wide)), ("accuracy",))
    assert fooled.value == pytest.approx(0.805, abs=0.012)
    # A calibrator on held-out rows of the model that answers.
    (right,) = estimated(window, classification_of(labels[:9_000], doubled[:9_000]), ("accuracy",))
    assert right.value == pytest.approx(0.701, abs=0.012)


def test_too_little_or_unknown_predictions_are_inconclusive() -> None:
    generator = np.random.default_rng(4)
    held, window = statistics(generator, 2_000), statistics(generator, 500)
    (few,) = estimated(statistics(generator, 12).predictions, held, ("brier",))
    assert (few.verdict, few.needs, few.value) == ("inconclusive", 30, None)
    (thin,) = estimated(window.predictions, statistics(generator, 60), ("brier",))
    assert thin.verdict == "inconclusive"
    assert "60 labelled rows" in (thin.reason or "")
    extreme = scores_of(np.full(100, 1 - 1e-9))
    (outside,) = estimated(extreme, held, ("brier",))
    assert outside.verdict == "inconclusive"
    assert outside.unsupported == 1.0
    (never,) = estimated(scores_of(np.full(100, 0.2)), held, ("precision",))
    assert never.verdict == "inconclusive"
    assert "denominator" in (never.reason or "")
    with pytest.raises(ValueError, match="not 'mae'"):
        estimated(window.predictions, held, ("mae",))


def test_an_estimate_is_the_same_again() -> None:
    generator = np.random.default_rng(5)
    held, window = statistics(generator, 800), statistics(generator, 500)
    one = estimated(window.predictions, held)
    assert one == estimated(window.predictions, held)
    assert held.n < ISOTONIC_FROM


def test_isotonic_regression_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(6)
    for _ in range(20):
        values = np.cumsum(generator.normal(0.1, 1, 50))
        weights = generator.integers(1, 9, 50).astype(np.float64)
        expected = IsotonicRegression().fit_transform(np.arange(50), values, sample_weight=weights)
        assert isotonic(values, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "brier", "log_loss"])
@pytest.mark.parametrize("concept", [1.0, -0.3])
def test_labels_correct_estimates_even_under_concept_drift(metric: str, concept: float) -> None:
    generator = np.random.default_rng(7)
    truth = measured(statistics(generator, 400_000, concept=concept), metric).value  # type: ignore[arg-type]
    assert truth is not None
    held = statistics(generator, 3_000)
    covered = 0
    ratios = []
    for _ in range(200):
        found = corrected(
            metric,  # type: ignore[arg-type]
            statistics(generator, 120, concept=concept),
            statistics(generator, 3_000, concept=concept).predictions,
            held,
        )
        covered += found.lower <= truth <= found.upper
        ratios.append(found.error / found.labels_alone_error)
    # .95 of 200 is 190 with a deviation of 3; the normal limit at n = 120 costs one more percent.
    assert covered >= 178
    assert np.mean(ratios) <= 1.0 + 1e-9
    if concept == 1.0 and metric != "accuracy":
        assert np.mean(ratios) < 0.97


def test_a_correction_needs_labels_and_without_more_predictions_is_their_mean() -> None:
    generator = np.random.default_rng(8)
    held, labelled = statistics(generator, 2_000), statistics(generator, 100)
    nothing = scores_of(np.full(1, 0.5)).merge(scores_of(np.full(1, 0.5)))
    empty = type(nothing)(nothing.counts * 0, nothing.sums * 0)
    alone = corrected("brier", labelled, empty, held)
    assert alone.weight == 0
    assert alone.value == alone.labels_alone == measured(labelled, "brier").value
    with pytest.raises(ValueError, match="labels"):
        corrected("brier", statistics(generator, 10), empty, held)
    with pytest.raises(ValueError, match="calibrator"):
        corrected("brier", labelled, empty, statistics(generator, 10))


# Direct loss estimation.


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_the_loss_of_a_regression_is_estimated_under_covariate_shift(loss: str) -> None:
    generator = np.random.default_rng(9)
    covered, errors, naive = 0, [], []
    for _ in range(40):
        held = numbers(generator, 2_000)
        model = loss_model(*held, loss=loss)  # type: ignore[arg-type]
        features, predictions, labels = numbers(generator, 1_000, centre=0.7)
        found = estimated_loss(model, features, predictions)
        power = 1 if loss == "absolute_error" else 2
        realised = (np.abs(labels - predictions) ** power).mean()
        before = (np.abs(held[2] - held[1]) ** power).mean()
        assert found.value is not None
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= realised <= found.upper
        errors.append(abs(found.value - realised) / realised)
        naive.append(abs(before - realised) / realised)
    assert np.mean(errors) < 0.25 * np.mean(naive)
    assert covered >= 30


def test_the_estimated_loss_does_not_see_concept_drift_and_says_so() -> None:
    generator = np.random.default_rng(10)
    model = loss_model(*numbers(generator, 2_000))
    features, predictions, labels = numbers(generator, 2_000, extra=4.0)
    found = estimated_loss(model, features, predictions)
    assert found.upper is not None
    assert np.abs(labels - predictions).mean() > 2 * found.upper
    assert "concept drift" in " ".join(found.limits)
    assert found.in_gates is False


def test_a_model_of_the_loss_survives_json_missing_values_and_outliers() -> None:
    generator = np.random.default_rng(11)
    model = loss_model(*numbers(generator, 500))
    kept = LossModel.from_dict(json.loads(json.dumps(model.as_dict())))
    assert kept == model
    features, predictions, _ = numbers(generator, 100)
    features[::7, 0] = np.nan
    features[1, 1], features[2, 2] = 1e6, np.inf
    losses = kept.losses(features, predictions)
    assert np.isfinite(losses).all()
    assert (losses >= 0).all()
    assert losses.max() < 50
    few = estimated_loss(model, features[:9], predictions[:9])
    assert (few.verdict, few.needs) == ("inconclusive", 30)
    with pytest.raises(ValueError, match="200 held-out rows"):
        loss_model(*numbers(generator, 100))
    with pytest.raises(ValueError, match="must have 4 features"):
        model.losses(features[:, :2], predictions)
    bad = numbers(generator, 300)
    bad[2][5] = np.nan
    with pytest.raises(ValueError, match="finite"):
        loss_model(*bad)
