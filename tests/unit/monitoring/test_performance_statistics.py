"""Statistics of chunks: exact where they say so, and the metrics those of scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from performance_simulations import answers
from steward.domain.losses import row_losses
from steward.domain.monitoring.metric_estimates import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    measured,
)
from steward.domain.monitoring.performance_statistics import (
    SCORE_EDGES,
    Classification,
    Regression,
    Scores,
    classification_of,
    merged,
    regression_of,
    scores_of,
)

ROWS = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1, allow_subnormal=False)), min_size=1, max_size=40
)


def _of(rows: list[tuple[bool, float]]) -> Classification:
    return classification_of(
        np.array([float(label) for label, _ in rows]), np.array([p for _, p in rows])
    )


@settings(max_examples=60, deadline=None)
@given(one=ROWS, two=ROWS, three=ROWS)
def test_chunks_merge_exactly_in_any_order(
    one: list[tuple[bool, float]], two: list[tuple[bool, float]], three: list[tuple[bool, float]]
) -> None:
    whole = _of(one + two + three).as_dict()
    assert _of(one).merge(_of(two)).merge(_of(three)).as_dict() == whole
    assert _of(three).merge(_of(one).merge(_of(two))).as_dict() == whole
    assert merged([("b", _of(two)), ("c", _of(three)), ("a", _of(one))]).as_dict() == whole
    kept = json.loads(json.dumps(whole))
    assert Classification.from_dict(kept).as_dict() == whole
    scores = scores_of(np.array([p for _, p in one + two + three]))
    assert scores.as_dict() == _of(one + two + three).predictions.as_dict()
    assert Scores.from_dict(scores.as_dict()).merge(scores).n == 2 * scores.n


def test_a_chunk_counts_once_and_only_with_chunks_of_its_kind() -> None:
    chunk = _of([(True, 0.5)])
    with pytest.raises(ValueError, match="ids of their own"):
        merged([("a", chunk), ("a", chunk)])
    with pytest.raises(ValueError, match="there must be one"):
        merged([])
    other = classification_of(np.array([1.0]), np.array([0.5]), threshold=0.3)
    with pytest.raises(ValueError, match="thresholds differ"):
        chunk.merge(other)
    with pytest.raises(ValueError, match="shape"):
        Classification.from_dict({**chunk.as_dict(), "counts": [[1], [2]]})
    numbers = np.array([1.0])
    here, there = (regression_of(numbers, numbers, centre=centre, cap=1) for centre in (0, 1))
    with pytest.raises(ValueError, match="one baseline"):
        here.merge(there)


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([1.0], [math.nan], "finite"),
        ([math.nan], [0.5], "finite"),
        ([2.0], [0.5], "0 or 1"),
        ([1.0], [1.5], "probability"),
        ([], [], "non-empty"),
        ([1.0, 0.0], [0.5], "one length"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(
    labels: list[float], predictions: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        classification_of(np.array(labels), np.array(predictions))


def test_statistics_are_kept_as_json() -> None:
    labels, scores = answers(np.random.default_rng(5), 200)
    rows = classification_of(labels, scores)
    number = regression_of(labels, scores, centre=0.5, cap=1)
    for one in (rows, number):
        kept = json.loads(json.dumps(one.as_dict()))
        assert type(one).from_dict(kept).as_dict() == one.as_dict()


def test_metrics_of_classes_are_those_of_scikit_learn() -> None:
    labels, scores = answers(np.random.default_rng(1), 4_000)
    found = {
        m: measured(classification_of(labels, scores), m).value for m in CLASSIFICATION_METRICS
    }
    predicted = scores >= 0.5
    assert found["accuracy"] == sklearn_metrics.accuracy_score(labels, predicted)
    assert found["precision"] == sklearn_metrics.precision_score(labels, predicted)
    assert found["recall"] == sklearn_metrics.recall_score(labels, predicted)
    assert found["f1"] == pytest.approx(sklearn_metrics.f1_score(labels, predicted), rel=1e-12)
    assert found["brier"] == pytest.approx(
        sklearn_metrics.brier_score_loss(labels, scores), abs=2**-31
    )
    assert found["log_loss"] == pytest.approx(
        row_losses("log_loss", labels, scores).mean(), abs=2**-31
    )
    # Scores of one bin are ties: 209 bins cost less than one part in a thousand.
    assert found["roc_auc"] == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, scores), abs=2e-4
    )
    assert 0.1 in SCORE_EDGES
    assert 0.5 in SCORE_EDGES


def test_metrics_of_numbers_are_those_of_scikit_learn_and_chunks_agree_to_1e_12() -> None:
    generator = np.random.default_rng(2)
    labels = generator.normal(150, 60, 3_000)
    predictions = labels + generator.normal(3, 40, 3_000)
    whole = regression_of(labels, predictions, centre=140, cap=100)
    chunks = [
        (f"c{n:02d}", regression_of(labels[n::7], predictions[n::7], centre=140, cap=100))
        for n in range(7)
    ]
    parts = merged(reversed(chunks))
    assert parts.n == whole.n
    assert parts.error_counts == whole.error_counts
    assert merged(chunks).as_dict() == parts.as_dict()
    assert Regression.from_dict(json.loads(json.dumps(parts.as_dict()))) == parts
    expected = {
        "mae": sklearn_metrics.mean_absolute_error(labels, predictions),
        "mse": sklearn_metrics.mean_squared_error(labels, predictions),
        "rmse": sklearn_metrics.root_mean_squared_error(labels, predictions),
        "r2": sklearn_metrics.r2_score(labels, predictions),
    }
    for metric in REGRESSION_METRICS:
        assert measured(whole, metric).value == pytest.approx(expected[metric], rel=1e-12)
        assert measured(parts, metric).value == pytest.approx(expected[metric], rel=1e-12)


@pytest.mark.parametrize("metric", CLASSIFICATION_METRICS)
def test_the_variance_of_a_metric_of_classes_is_that_of_repeated_samples(metric: str) -> None:
    generator = np.random.default_rng(3)
    found = [
        measured(classification_of(*answers(generator, 400, centre=-0.5)), metric)  # type: ignore[arg-type]
        for _ in range(600)
    ]
    spread = np.std([estimate.value for estimate in found if estimate.value is not None])
    stated = np.mean([math.sqrt(estimate.variance) for estimate in found])
    # 600 repetitions know a deviation to 3 %; four of those.
    assert stated == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize("metric", REGRESSION_METRICS)
def test_the_variance_of_a_metric_of_numbers_is_that_of_repeated_samples(metric: str) -> None:
    generator = np.random.default_rng(4)
    found = []
    for _ in range(600):
        labels = generator.gamma(3, 20, 400)
        predictions = 0.8 * labels + generator.normal(10, 20, 400)
        found.append(
            measured(regression_of(labels, predictions, centre=55, cap=200), metric)  # type: ignore[arg-type]
        )
    spread = np.std([estimate.value for estimate in found if estimate.value is not None])
    stated = np.mean([math.sqrt(estimate.variance) for estimate in found])
    assert stated == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize(
    ("labels", "scores", "metric", "reason"),
    [
        ([1.0] * 40, [0.9] * 40, "roc_auc", "0 negative"),
        ([0.0] * 40, [0.1] * 40, "recall", "only 0 rows are positive"),
        ([0.0] * 40, [0.1] * 40, "precision", "predicted as positive"),
        ([0.0] * 40, [0.1] * 40, "f1", "predicted as positive"),
    ],
)
def test_a_metric_without_its_denominator_is_undefined_with_a_reason(
    labels: list[float], scores: list[float], metric: str, reason: str
) -> None:
    found = measured(classification_of(np.array(labels), np.array(scores)), metric)  # type: ignore[arg-type]
    assert found.undefined_because is not None
    assert reason in found.undefined_because


def test_perfect_answers_and_constant_labels_have_a_defined_result() -> None:
    labels = np.array([0.0, 1.0] * 30)
    perfect = classification_of(labels, labels)
    for metric in CLASSIFICATION_METRICS:
        found = measured(perfect, metric)
        assert found.value == pytest.approx(0 if metric in ("brier", "log_loss") else 1, abs=2e-6)
        assert metric in ("brier", "log_loss") or found.variance > 0
    constant = np.full(40, 5.0)
    rows = regression_of(constant, constant + 1, centre=5, cap=3)
    assert measured(rows, "r2").undefined_because == "all labels are equal"
    with pytest.raises(ValueError, match="no metric"):
        measured(rows, "roc_auc")
    with pytest.raises(ValueError, match="cap"):
        regression_of(constant, constant, centre=0, cap=0)
