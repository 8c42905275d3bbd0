"""Second opinions: all columns together, and what the model leans on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import ndcg_score

from performance_simulations import FEATURES, Floats, attributions, correlated
from steward.domain.monitoring.attribution import (
    Attributions,
    attribution_drift,
    ndcg,
    normalised_weights,
)
from steward.domain.monitoring.expansion import expansion_of
from steward.domain.monitoring.multivariate import (
    SAMPLE,
    Components,
    components,
    domain_classifier,
    rank_sum,
    reconstruction_drift,
    sampled,
)

REPETITIONS = 150
TOLERANCE = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPETITIONS)


def test_unchanged_rows_are_rarely_told_apart() -> None:
    generator = np.random.default_rng(1)
    classifier = rebuilt = 0
    for seed in range(REPETITIONS):
        reference, window = correlated(generator, 600), correlated(generator, 300)
        found = domain_classifier(reference, window, seed=seed, floor=0)
        classifier += found.verdict == "drifted"
        learnt = components(reference, seed=seed)
        rebuilt += reconstruction_drift(learnt, window, floor=0).verdict == "drifted"
    assert classifier / REPETITIONS <= TOLERANCE
    assert rebuilt / REPETITIONS <= TOLERANCE


def test_a_lost_correlation_that_no_column_shows_is_found_by_both() -> None:
    generator = np.random.default_rng(2)
    classifier = rebuilt = 0
    for seed in range(20):
        reference, window = correlated(generator, 1_500), correlated(generator, 500, correlation=0)
        classifier += domain_classifier(reference, window, seed=seed).verdict == "drifted"
        learnt = components(reference, seed=seed)
        rebuilt += reconstruction_drift(learnt, window).verdict == "drifted"
        assert min(stats.ks_2samp(reference[:, k], window[:, k]).pvalue for k in range(4)) > 1e-4
    assert classifier >= 19
    assert rebuilt >= 19


def test_a_shift_of_one_column_is_found_by_the_classifier_of_manycorrelated() -> None:
    generator = np.random.default_rng(3)
    found = sum(
        domain_classifier(
            correlated(generator, 2_000), correlated(generator, 1_000, shift=0.3)
        ).verdict
        == "drifted"
        for _ in range(10)
    )
    assert found >= 9


def test_too_few_rows_are_inconclusive_and_many_are_sampled() -> None:
    generator = np.random.default_rng(4)
    reference = correlated(generator, 500)
    few = domain_classifier(reference, correlated(generator, 99))
    assert (few.verdict, few.needs, few.p) == ("inconclusive", 100, None)
    learnt = components(reference)
    assert reconstruction_drift(learnt, correlated(generator, 99)).verdict == "inconclusive"
    large = correlated(generator, SAMPLE + 500)
    assert domain_classifier(reference, large).rows == (SAMPLE, 500)
    assert sampled(large, seed=1).shape == (SAMPLE, 4)
    assert np.array_equal(sampled(large, seed=1), sampled(large, seed=1))
    with pytest.raises(ValueError, match="200 rows"):
        components(correlated(generator, 150))


def test_missing_constant_infinite_and_outlying_values_break_nothing() -> None:
    generator = np.random.default_rng(5)

    def odd(n: int, missing: float) -> Floats:
        rows = np.column_stack([correlated(generator, n), np.full(n, 3.0), np.full(n, np.nan)])
        rows[generator.random(n) < missing, 0] = np.nan
        rows[0, 1], rows[1, 2] = 1e6, np.inf
        return rows

    same = domain_classifier(odd(600, 0.1), odd(600, 0.1))
    assert same.p is not None
    assert same.p > 0.001
    more = domain_classifier(odd(600, 0.1), odd(600, 0.4))
    assert more.verdict == "drifted"
    learnt = components(odd(600, 0.1))
    assert reconstruction_drift(learnt, odd(600, 0.1)).verdict == "not_shown"
    moved = odd(600, 0.1)
    moved[:, 4] = 3.001
    assert domain_classifier(odd(600, 0.1), moved).verdict == "drifted"
    identical = np.ones((300, 2))
    assert domain_classifier(identical, identical).p == pytest.approx(0.5, abs=0.51)
    with pytest.raises(ValueError, match="features"):
        expansion_of(np.ones((3, 2))).columns(np.ones((3, 3)))
    with pytest.raises(ValueError, match="rows and features"):
        expansion_of(np.ones((0, 2)))


def test_components_survive_json_and_never_rebuild_everything() -> None:
    generator = np.random.default_rng(6)
    learnt = components(correlated(generator, 600), variance=0.9999)
    assert len(learnt.axes) == 3
    kept = Components.from_dict(json.loads(json.dumps(learnt.as_dict())))
    assert kept == learnt
    window = correlated(generator, 300)
    assert reconstruction_drift(kept, window) == reconstruction_drift(learnt, window)


def test_the_rank_sum_test_is_that_of_scipy() -> None:
    generator = np.random.default_rng(7)
    for _ in range(20):
        one = generator.integers(0, 12, 60).astype(float)
        two = generator.integers(1, 14, 45).astype(float)
        for greater in (False, True):
            expected = stats.mannwhitneyu(
                one, two, alternative="greater" if greater else "two-sided", method="asymptotic",
                use_continuity=False,
            )  # fmt: skip
            p, auc = rank_sum(one, two, greater=greater)
            assert p == pytest.approx(expected.pvalue, rel=1e-9)
            assert auc == pytest.approx(expected.statistic / (60 * 45), rel=1e-12)
    assert rank_sum(np.ones(5), np.ones(5)) == (1.0, 0.5)


# Attribution drift.


def test_unchanged_weights_are_rarely_called_drift_however_fewcorrelated() -> None:
    generator = np.random.default_rng(8)
    false = 0
    for seed in range(REPETITIONS):
        drift = attribution_drift(
            attributions(generator, 60),
            attributions(generator, 200),
            floor=0,
            replicates=199,
            seed=seed,
        )
        false += drift.verdict == "drifted"
        assert drift.by_chance is not None
        assert drift.by_chance > 0.01
    assert false / REPETITIONS <= TOLERANCE


def test_a_change_of_weights_is_found_with_the_features_that_changed() -> None:
    generator = np.random.default_rng(9)
    moved = np.array([1.0, 2.0, 2.0, 3.0, 0.5, 0.2])
    drift = attribution_drift(attributions(generator, 150, moved), attributions(generator, 300))
    assert drift.verdict == "drifted"
    assert {weight.feature for weight in drift.features[:2]} == {"a", "d"}
    assert max(weight.p for weight in drift.features[:2]) < 0.01
    assert min(weight.p for weight in drift.features[3:]) > 0.05
    assert sum(weight.current for weight in drift.features) == pytest.approx(1)


def test_a_reversal_of_near_equal_weights_is_no_drift_whatever_its_ranking() -> None:
    """Rule 35: the ranking turns round, nothing of importance has changed."""
    generator = np.random.default_rng(10)
    near = np.linspace(1.02, 0.98, 6).astype(np.float64)
    drift = attribution_drift(
        attributions(generator, 2_000, near[::-1]), attributions(generator, 2_000, near)
    )
    assert drift.verdict == "not_shown"
    reversed_ = ndcg(
        dict(zip(FEATURES, [1.01, 1.008, 1.006, 1.004, 1.002, 1.0], strict=True)),
        dict(zip(FEATURES, [1.0, 1.002, 1.004, 1.006, 1.008, 1.01], strict=True)),
    )
    assert reversed_ > 0.99


def test_ndcg_is_that_of_scikit_learn() -> None:
    baseline, current = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.1, 0.2, 0.3, 0.4])
    assert ndcg(
        dict(zip("abcd", baseline, strict=True)), dict(zip("abcd", current, strict=True))
    ) == pytest.approx(ndcg_score(baseline[None], current[None]), rel=1e-12)


@pytest.mark.parametrize("name", ["scale", "explainer", "background", "features"])
def test_attributions_of_another_kind_are_not_compared(name: str) -> None:
    generator = np.random.default_rng(11)
    one = attributions(generator, 100)
    changed = {**vars(one), name: tuple("ghijkl") if name == "features" else "other"}
    drift = attribution_drift(Attributions(**changed), one)
    assert drift.verdict == "inconclusive"
    assert name in (drift.reason or "")


def test_few_or_impossible_attributions_are_told() -> None:
    generator = np.random.default_rng(12)
    few = attribution_drift(attributions(generator, 20), attributions(generator, 100))
    assert (few.verdict, few.needs) == ("inconclusive", 50)
    thin = attribution_drift(attributions(generator, 100), attributions(generator, 20))
    assert (thin.verdict, thin.needs) == ("inconclusive", None)
    nothing = Attributions(np.zeros((60, 6)), FEATURES, "log_odds", "exact Shapley", "digest")
    assert attribution_drift(nothing, nothing).verdict == "not_shown"
    assert normalised_weights(nothing.values) == pytest.approx(np.full(6, 1 / 6))
    bad = Attributions(-np.ones((60, 6)), FEATURES, "log_odds", "exact Shapley", "digest")
    with pytest.raises(ValueError, match="not negative"):
        attribution_drift(bad, nothing)
    with pytest.raises(ValueError, match="6 features"):
        attribution_drift(
            Attributions(np.ones((60, 5)), FEATURES, "log_odds", "exact Shapley", "digest"), nothing
        )
