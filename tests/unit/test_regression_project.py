"""What a regression may declare, and how what makes no sense for one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import InvalidProjectError
from steward.domain.policy.in_force import pinned
from steward.domain.policy.platform import PLATFORM
from steward.domain.policy.strictness import parse_policy
from steward.domain.project import parse_project
from steward.domain.task_rules import answers_of
from support.regression_scene import declaration, project, with_columns, with_label
from unit.test_project import minimal, put


def test_a_regression_has_defaults_of_its_own() -> None:
    found = project()
    assert (found.data.label.task, found.data.label.positive) == ("regression", None)
    assert found.evaluation.loss == "squared_error"
    assert (found.evaluation.margin, found.evaluation.relative_margin) == (None, 0.05)


def test_the_range_of_answers_is_that_of_the_labels_column() -> None:
    assert answers_of(parse_project(minimal())) == (0.0, 1.0)
    assert answers_of(project()) is None
    bounded = with_columns(price={"min": 0, "max": 1000})
    bounded["release"] = {"guardrails": {"prediction_margin": 0.1}}
    assert answers_of(parse_project(bounded)) == (0, 1000)


def test_labels_of_numbers_are_watched_by_their_mean_error() -> None:
    labels = project().monitoring.labels
    assert (labels.metric, labels.margin, labels.relative_margin) == ("mae", None, 0.25)
    assert labels.margin_of(12.0) == 3.0
    fixed = project(monitoring={"labels": {"margin": 40}}).monitoring.labels
    assert (fixed.margin_of(12.0), fixed.relative_margin) == (40, None)


def test_a_label_is_binary_unless_it_says_otherwise() -> None:
    found = parse_project(minimal())
    assert (found.data.label.task, found.data.label.positive) == ("binary", 1)
    assert (found.evaluation.loss, found.evaluation.margin) == ("brier", 0.02)


@pytest.mark.parametrize("declared", [minimal(), declaration()])
def test_what_was_parsed_parses_again_to_the_same(declared: dict[str, Any]) -> None:
    found = parse_project(declared)
    again = parse_project(found.model_dump(mode="json"))
    assert again == found
    assert again.digest == found.digest


@pytest.mark.parametrize(
    ("declared", "field", "allowed"),
    [
        (with_label(positive=1), "data.label.positive", "task: binary"),
        (with_label(task="multiclass"), "data.label.task", "regression"),
        (put(minimal(), "data.label.positive", None), "data.label.positive", "task: regression"),
        (with_columns(price={"type": "string"}), "data.label.task", "integer or float"),
        (declaration(evaluation={"loss": "brier"}), "evaluation.loss", "absolute_error"),
        (declaration(evaluation={"loss": "zero_one"}), "evaluation.loss", "squared_error"),
        (put(minimal(), "evaluation.loss", "absolute_error"), "evaluation.loss", "log_loss"),
        (declaration(evaluation={"margin": 1, "relative_margin": 0.1}),
         "evaluation.relative_margin", "margin or relative_margin"),
        (declaration(evaluation={"relative_margin": 0}), "evaluation.relative_margin", "than 0"),
        (declaration(gates=[{"metric": "roc_auc", "min": 0.7}]), "gates[0].metric", "rmse"),
        (put(minimal(), "gates", [{"metric": "rmse", "max": 3}]), "gates[0].metric", "roc_auc"),
        (declaration(gates=[{"metric": "r2", "min": 1.5}]), "gates[0]", "impossible"),
        (declaration(gates=[{"metric": "mae", "max": -1}]), "gates[0]", "impossible"),
        (declaration(policy={"performance": {"bounds": [{"metric": "brier", "max": 0.2}]}}),
         "policy.performance.bounds[0].metric", "mae"),
        (declaration(policy={"stability": {"max_interval_width": {"accuracy": 0.1}}}),
         "policy.stability.max_interval_width.accuracy", "r2"),
        (declaration(monitoring={"labels": {"metric": "brier"}}), "monitoring.labels.metric",
         "mae"),
        (put(minimal(), "monitoring.labels.metric", "mae"), "monitoring.labels.metric", "brier"),
        (put(minimal(), "monitoring.labels.margin", 1.5), "monitoring.labels.margin", "below 1"),
        (declaration(monitoring={"labels": {"further": {"roc_auc": 0.1}}}),
         "monitoring.labels.further", "nothing"),
        (declaration(monitoring={"labels": {"groups": ["age"]}}), "monitoring.labels.groups",
         "nothing"),
        (declaration(monitoring={"labels": {"margin": 2, "relative_margin": 0.1}}),
         "monitoring.labels.relative_margin", "or relative_margin"),
        (declaration(release={"guardrails": {"prediction_margin": 0.1}}),
         "release.guardrails.prediction_margin", "min and max of the column price"),
        (declaration(release={"strategy": "shadow", "shadow": {"max_difference": 0.1}}),
         "release.shadow.max_difference", "min and max of the column price"),
        (declaration(release={"metrics": [
            {"name": "agreement", "kind": "binary", "value": "label = outcome", "window_s": 60,
             "goal": {}},
        ]}), "release.metrics.agreement.value", "outcome, prediction"),
    ],
)  # fmt: skip
def test_what_a_task_does_not_have_is_refused_by_its_key(
    declared: dict[str, Any], field: str, allowed: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        parse_project(declared)
    assert refused.value.field == field
    assert allowed in f"{refused.value} {refused.value.allowed}"


def test_a_gate_may_ask_for_less_than_the_mean_of_the_rows() -> None:
    assert project(gates=[{"metric": "r2", "min": -0.5}]).gates[0].min == -0.5


def test_bounds_of_a_policy_hold_only_for_models_that_have_the_metric() -> None:
    tiers = PLATFORM["tiers"]
    bounds = [{"metric": "roc_auc", "min": 0.7}, {"metric": "r2", "min": 0.2}]
    widest = {"max_interval_width": {"brier": 0.1, "rmse": 50.0}}
    asked = {
        name: {**tier, "performance": {**tier["performance"], "bounds": bounds},
               "stability": widest}
        for name, tier in tiers.items()
    }  # fmt: skip
    policy = parse_policy({**PLATFORM, "tiers": asked})
    for found, metric, width in (
        (project(), "r2", "rmse"), (parse_project(minimal()), "roc_auc", "brier"),
    ):  # fmt: skip
        held = pinned(policy, "organisation", found).requirements
        assert [bound.metric for bound in held.performance.bounds or ()] == [metric]
        assert list(held.stability.max_interval_width or ()) == [width]
