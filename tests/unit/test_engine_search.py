"""What a search of the embedded SageMaker tries next."""

from __future__ import annotations

from typing import Any

import pytest

from steward_local.sagemaker.search import Search, Trial

RANGES: dict[str, Any] = {
    "ContinuousParameterRanges": [
        {"Name": "C", "MinValue": "0.001", "MaxValue": "100", "ScalingType": "Logarithmic"},
        {
            "Name": "rate",
            "MinValue": "0.5",
            "MaxValue": "0.99",
            "ScalingType": "ReverseLogarithmic",
        },
    ],
    "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "8"}],
    "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b"]}],
}


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_every_proposal_lies_within_its_ranges(strategy: str) -> None:
    search, tried = Search(strategy, RANGES, 1), list[Trial]()
    for number in range(30):
        proposed = search.propose(tried)
        assert proposed is not None
        parameters, point = proposed
        assert 0.001 <= float(parameters["C"]) <= 100
        assert 0.5 <= float(parameters["rate"]) <= 0.99
        assert parameters["depth"] in map(str, range(2, 9))
        assert parameters["kind"] in ("a", "b")
        tried.append(Trial(parameters, point, float(number % 5)))


def test_a_logarithmic_range_is_tried_as_often_in_each_decade() -> None:
    search = Search("Random", RANGES, 2)
    values = [float(search.propose([])[0]["C"]) for _ in range(2000)]  # type: ignore[index]
    small = sum(value < 0.1 for value in values) / len(values)
    assert small == pytest.approx(2 / 5, abs=0.04)


def test_a_grid_tries_each_combination_once() -> None:
    ranges = {
        "CategoricalParameterRanges": [
            {"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y", "z"]},
        ]
    }  # fmt: skip
    search = Search("Grid", ranges, 1)
    found = []
    while (proposed := search.propose([])) is not None:
        found.append(tuple(proposed[0].values()))
    assert len(found) == len(set(found)) == 6


def test_what_is_learnt_finds_a_better_value_than_chance() -> None:
    ranges = {"ContinuousParameterRanges": [{"Name": "C", "MinValue": "0", "MaxValue": "1"}]}

    def best(strategy: str, seed: int) -> float:
        search, tried = Search(strategy, ranges, seed), list[Trial]()
        for _ in range(15):
            proposed = search.propose(tried)
            assert proposed is not None
            tried.append(Trial(*proposed, (float(proposed[0]["C"]) - 0.3) ** 2))
        return min(trial.score for trial in tried)

    learnt = sorted(best("Bayesian", seed) for seed in range(21))[10]
    chance = sorted(best("Random", seed) for seed in range(21))[10]
    assert learnt < chance
