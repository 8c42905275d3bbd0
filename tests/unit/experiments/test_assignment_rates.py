"""Assignment by simulation: sample ratios at any time, bandit regret and estimates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiment_simulations import run_bandit
from steward.domain.experiments import asymptotic, bandit, betting, propensity, sample_ratio
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram
from steward.domain.experiments.estimates import Estimate
from steward.domain.experiments.sample_ratio import Exposures


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.9, 0.1), (0.4, 0.3, 0.3)])
def test_right_ratios_are_rarely_refused_and_wrong_ones_soon(split: tuple[float, ...]) -> None:
    generator = np.random.default_rng(24)
    arms = [str(position) for position in range(len(split))]
    intended = dict(zip(arms, split, strict=True))

    def detected(actual: list[float]) -> tuple[float, float]:
        counts = generator.multinomial(200, actual, (200, 60)).cumsum(axis=1)
        dirichlet, tilted = 0, 0
        for repetition in counts:
            steps = [Exposures(intended, dict(zip(arms, map(int, row), strict=True)))
                     for row in repetition]  # fmt: skip
            dirichlet += any(sample_ratio.sample_ratio([s]).log_e >= math.log(100) for s in steps)
            tilted += any(
                sample_ratio.tilted_sample_ratio([s]).log_e >= math.log(100) for s in steps
            )
        return dirichlet / 200, tilted / 200

    limit = 0.01 + 3 * math.sqrt(0.01 * 0.99 / 200)
    assert max(detected(list(split))) <= limit
    lossy = [split[0] * 0.9, *split[1:]]
    found = detected([share / sum(lossy) for share in lossy])
    assert min(found) >= (0.95 if split[0] < 0.9 else 0.45)


def test_the_tilted_ratio_holds_where_shares_change_with_every_batch() -> None:
    generator = np.random.default_rng(25)
    false, found = 0, 0
    for _ in range(200):
        shares = generator.uniform(0.05, 0.95, 40)
        for loss in (1.0, 0.9):
            batches = []
            for share in shares:
                actual = share * loss / (share * loss + 1 - share)
                first = int(generator.binomial(500, actual))
                intended = {"new": float(share), "old": float(1 - share)}
                batches.append(Exposures(intended, {"new": first, "old": 500 - first}))
            hit = any(
                sample_ratio.tilted_sample_ratio(batches[: k + 1]).log_e >= math.log(100)
                for k in range(3, 40, 4)
            )
            false, found = false + (loss == 1 and hit), found + (loss < 1 and hit)
    assert false / 200 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 200)
    assert found / 200 > 0.95


@pytest.fixture(scope="module")
def bandits() -> list[tuple[float, float, float, float, Estimate]]:
    """Regret, last share of the best arm, naive difference, exact log e, weighted estimate."""
    generator = np.random.default_rng(27)
    found = []
    for _ in range(150):
        base = np.linspace(0.06, 0.14, 8)  # the base rate moves
        run = run_bandit(generator, [[rate, rate + 0.04] for rate in base], 600)
        weighted = propensity.weighted_difference(
            bandit.weighted_steps(run.batches, "b", "a"), propensity.Model(0.1)
        )
        assert weighted is not None
        means = {
            arm: sum(batch.statistics[arm].y for batch in run.batches)
            / sum(batch.statistics[arm].n for batch in run.batches)
            for arm in "ab"
        }
        naive = means["b"] - means["a"]
        arms = [
            betting.Arms(_binary(b.statistics["b"]), _binary(b.statistics["a"]), b.shares["b"])
            for b in run.batches
        ]
        evidence = max(betting.log_e_above(arms, 0.04, 0.1), betting.log_e_below(arms, 0.04, 0.1))
        found.append((run.regret, run.share_of_best, naive, evidence, weighted))
    return found


def _binary(arm: ArmStatistics) -> Histogram:
    return Histogram(edges=(0, 0, 1, 1), counts=(arm.n - int(arm.y), 0, int(arm.y)))


def test_a_bandit_regrets_less_than_equal_shares(
    bandits: list[tuple[float, float, float, float, Estimate]],
) -> None:
    equal_shares = 8 * 600 * 0.04 / 2
    assert np.mean([run[0] for run in bandits]) < 0.6 * equal_shares
    assert np.mean([run[1] for run in bandits]) > 0.85


def test_weights_estimate_what_pooled_means_of_a_bandit_do_not(
    bandits: list[tuple[float, float, float, float, Estimate]],
) -> None:
    """A rising base rate meets a rising share, so that the pooled difference is too large."""
    weighted = np.array([run[4].value for run in bandits])
    error = weighted.std() / math.sqrt(len(bandits))
    assert weighted.mean() == pytest.approx(0.04, abs=3.5 * error)
    assert np.mean([run[2] for run in bandits]) > 0.05
    mixture = asymptotic.mixture_variance(float(np.median([r[4].variance for r in bandits])), 0.05)
    missed = [
        asymptotic.log_e(r[4].value, r[4].variance, 0.04, mixture) >= math.log(20) for r in bandits
    ]
    assert np.mean(missed) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(bandits))
    assert np.mean([run[3] >= math.log(40) for run in bandits]) <= 0.05 + 3 * math.sqrt(
        0.05 * 0.95 / len(bandits)
    )
