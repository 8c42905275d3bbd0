"""Metrics against scikit-learn and scipy, intervals by simulation, laws by hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from steward.domain.evaluation import calibration_points, evaluate
from steward.domain.evaluation_results import METRICS, Evaluation
from steward.domain.resampling import bootstrap_means, codes_of

Floats = NDArray[np.float64]


def _rows(n: int, seed: int) -> tuple[list[str], Floats, Floats]:
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(2, 2, n)
    labels = (generator.random(n) < probabilities).astype(np.float64)
    return [f"e{i:06d}" for i in range(n)], labels, probabilities


def _evaluate(
    entities: list[str],
    labels: Floats,
    probabilities: Floats,
    *,
    slices: dict[str, list[str]] | None = None,
    samples: int = 200,
    seed: int = 20,
) -> Evaluation:
    return evaluate(
        entities, labels, probabilities,
        slices=slices or {}, confidence=0.95, bootstrap_samples=samples, seed=seed,
        slice_minimum_rows=25,
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0]), st.integers(1, 19)), min_size=2, max_size=40
    ).filter(lambda rows: len({label for label, _ in rows}) == 2)
)
def test_metrics_equal_those_of_scikit_learn_with_and_without_ties(
    rows: list[tuple[float, int]],
) -> None:
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([twentieths / 20 for _, twentieths in rows])
    found = _evaluate([str(i) for i in range(len(rows))], labels, probabilities)
    expected = {
        "brier": brier_score_loss(labels, probabilities),
        "log_loss": log_loss(labels, probabilities),
        "accuracy": accuracy_score(labels, probabilities >= 0.5),
        "roc_auc": roc_auc_score(labels, probabilities),
    }
    for metric in METRICS:
        estimate = found.metric(metric)
        assert estimate.value == pytest.approx(expected[metric])
        assert estimate.lower is not None
        assert estimate.upper is not None
        assert estimate.lower <= estimate.upper


def test_the_interval_of_roc_auc_equals_a_plain_bootstrap_of_scikit_learn() -> None:
    entities, labels, probabilities = _rows(80, 3)
    probabilities = probabilities.round(1)
    found = _evaluate(entities, labels, probabilities, samples=4000).metric("roc_auc")
    generator = np.random.default_rng(4)
    draws = (generator.integers(0, 80, 80) for _ in range(1500))
    plain = [roc_auc_score(labels[d], probabilities[d]) for d in draws]
    assert [found.lower, found.upper] == pytest.approx(
        np.quantile(plain, [0.025, 0.975]), abs=0.012
    )


def test_nine_of_ten_intervals_or_more_hold_the_true_brier_score() -> None:
    population = _rows(400_000, 5)
    truth = float(np.mean((population[2] - population[1]) ** 2))
    held = 0
    for repetition in range(200):
        estimate = _evaluate(*_rows(118, 1000 + repetition), samples=500).metric("brier")
        assert estimate.lower is not None
        assert estimate.upper is not None
        held += estimate.lower <= truth <= estimate.upper
    assert 0.90 <= held / 200 <= 0.99


def test_the_order_of_rows_does_not_matter() -> None:
    entities, labels, probabilities = _rows(90, 6)
    slices = {"side": ["left" if i % 3 else "right" for i in range(90)]}
    order = np.random.default_rng(1).permutation(90)
    shuffled = _evaluate(
        [entities[i] for i in order], labels[order], probabilities[order],
        slices={"side": [slices["side"][i] for i in order]},
    )  # fmt: skip
    assert shuffled == _evaluate(entities, labels, probabilities, slices=slices)


def test_rows_of_one_entity_are_drawn_together() -> None:
    entities, labels, probabilities = _rows(40, 7)
    plain = _evaluate(entities, labels, probabilities, samples=2000).metric("brier")
    repeated = _evaluate(
        [e for e in entities for _ in range(5)], labels.repeat(5), probabilities.repeat(5),
        samples=2000,
    ).metric("brier")  # fmt: skip
    assert repeated.value == pytest.approx(plain.value)
    assert [repeated.lower, repeated.upper] == pytest.approx([plain.lower, plain.upper], abs=0.01)


def test_one_label_alone_leaves_roc_auc_undefined_with_a_reason() -> None:
    estimate = _evaluate(["a", "b"], np.ones(2), np.array([0.2, 0.9])).metric("roc_auc")
    assert (estimate.value, estimate.lower, estimate.upper) == (None, None, None)
    assert estimate.undefined_because == "all 2 rows are positive"


def test_slices_partition_the_rows_and_thin_ones_are_not_judged() -> None:
    entities, labels, probabilities = _rows(60, 8)
    side = ["thin" if i < 10 else "wide" for i in range(60)]
    found = _evaluate(entities, labels, probabilities, slices={"side": side}).slices
    assert [(s.value, s.rows, s.judged) for s in found] == [("thin", 10, False), ("wide", 50, True)]
    assert sum(s.positives or 0 for s in found) == labels.sum()


def test_calibration_points_cover_all_rows_with_wilson_limits() -> None:
    _, labels, probabilities = _rows(500, 9)
    points = calibration_points(labels, probabilities)
    assert len(points) == 10
    assert sum(point.rows for point in points) == 500
    assert [p.mean_predicted for p in points] == sorted(p.mean_predicted for p in points)
    for point in points:
        hits = round(point.observed_rate * point.rows)
        wilson = binomtest(hits, point.rows).proportion_ci(0.95, method="wilson")
        assert [point.lower, point.upper] == pytest.approx([wilson.low, wilson.high])


def test_equal_predictions_share_one_calibration_point() -> None:
    points = calibration_points(np.tile([0.0, 1.0], 50), np.full(100, 0.4))
    assert [(point.rows, point.observed_rate) for point in points] == [(100, 0.5)]
    assert points[0].mean_predicted == pytest.approx(0.4)


def test_replicates_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=37)
    codes = codes_of([str(i // 2) for i in range(37)])
    whole = bootstrap_means(values, codes, samples=300, seed=1)
    monkeypatch.setattr("steward.domain.resampling.CHUNK_CELLS", 50)
    assert bootstrap_means(values, codes, samples=300, seed=1) == pytest.approx(whole, rel=1e-12)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="entities has 1 rows, labels have 2"):
        _evaluate(["a"], np.ones(2), np.array([0.2, 0.9]))
