"""What ``training`` may declare: instance types with a price, spot, and a search."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import InvalidProjectError
from steward.domain.project import parse_project
from steward.domain.training_declaration import Training
from support.training_scene import declaration

OBJECTIVE = {"metric": "loss", "regex": "loss=([0-9.]+)", "goal": "Minimize"}


def training(**changes: Any) -> Training:
    return parse_project(declaration(training=changes)).training


def refusal(**changes: Any) -> str:
    with pytest.raises(InvalidProjectError) as refused:
        training(**changes)
    return str(refused.value)


@pytest.mark.parametrize("name", ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.p3.2xlarge"])
def test_gpu_types_are_taken_by_configuration(name: str) -> None:
    assert training(instance_type=name).instance_type == name


def test_a_type_without_a_price_is_refused_with_what_is_allowed() -> None:
    text = refusal(instance_type="ml.g99.xlarge")
    assert "ml.g99.xlarge is not in the price table" in text
    assert "ml.g5.xlarge" in text


def test_spare_capacity_waits_at_least_as_long_as_it_may_train() -> None:
    assert training(max_runtime_s=600, spot={"max_wait_s": 900}).longest_s == 900
    assert "must be at least max_runtime_s" in refusal(max_runtime_s=600, spot={"max_wait_s": 599})


def test_a_search_takes_as_long_as_its_rounds() -> None:
    found = training(
        max_runtime_s=100,
        tuning={
            "objective": OBJECTIVE, "max_jobs": 5, "parallel_jobs": 2,
            "ranges": {"C": {"min": 0.01, "max": 10, "scaling": "Logarithmic"}},
        },
    )  # fmt: skip
    assert found.longest_s == 3 * 700


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ranges": {"C": {"min": 2, "max": 1}}}, "must be below max"),
        ({"ranges": {"C": {"min": 0, "max": 1, "scaling": "Logarithmic"}}}, "is above 0"),
        ({"ranges": {"C": {"min": 1, "max": 2.5, "type": "integer"}}}, "whole bounds"),
        ({"ranges": {"C": {"values": ["a", "a"]}}}, "is there twice"),
        ({"ranges": {}}, "ranges"),
        ({"strategy": "Grid"}, "Grid takes `values` alone"),
        (
            {"strategy": "Grid", "ranges": {"C": {"values": ["a", "b"]}}, "max_jobs": 3},
            "max_jobs of this Grid is 2",
        ),
        ({"parallel_jobs": 9, "max_jobs": 3}, "cannot exceed max_jobs"),
        ({"objective": {**OBJECTIVE, "regex": "loss=[0-9]"}}, "needs a group"),
        ({"objective": {**OBJECTIVE, "regex": "loss=("}}, "regex"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(change: dict[str, Any], reason: str) -> None:
    plan = {"objective": OBJECTIVE, "ranges": {"C": {"min": 0.1, "max": 1}}, **change}
    assert reason in refusal(tuning=plan)


def test_what_is_searched_has_no_value_and_no_spare_capacity() -> None:
    plan = {"objective": OBJECTIVE, "ranges": {"C": {"min": 0.1, "max": 1}}}
    assert "searched by tuning.ranges as well" in refusal(tuning=plan, hyperparameters={"C": 1})
    searched = training(tuning=plan, max_runtime_s=600, spot={"max_wait_s": 900})
    assert searched.tuning is not None
    rounds = -(-searched.tuning.max_jobs // searched.tuning.parallel_jobs)
    assert searched.longest_s == rounds * 1500
    told = refusal(tuning={**plan, "strategy": "Hyperband"})
    assert "Hyperband is not supported" in told
    assert "allowed: Bayesian, Random, Grid" in told
