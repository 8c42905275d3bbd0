"""What project.yaml may say, and how a mistake is named."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steward.domain.errors import InvalidProjectError
from steward.domain.project import Project, parse_project
from steward_cli.sources import read_source

PROJECTS = Path(__file__).resolve().parents[2] / "projects"


def minimal() -> dict[str, Any]:
    return {
        "project": "churn",
        "owner": "team-a",
        "data": {
            "entity_id": "customer",
            "label": {"name": "left"},
            "columns": [
                {"name": "customer", "type": "string", "unique": True},
                {"name": "left", "type": "integer", "allowed": [0, 1]},
                {"name": "months", "type": "integer", "min": 0},
            ],
        },
    }


def put(declared: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with the value at a dotted path, such as ``data.columns.2.min``."""
    changed = copy.deepcopy(declared)
    *parents, last = path.split(".")
    place: Any = changed
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return changed


def test_little_has_to_be_said() -> None:
    project = parse_project(minimal())
    assert [column.name for column in project.data.features] == ["months"]
    assert project.release.steps == [10, 50, 100]
    assert project.quorum == 1


def test_the_projects_of_the_repository_are_valid() -> None:
    assert isinstance(read_source(PROJECTS / "diabetes").project, Project)


def test_defaults_written_out_change_no_digest() -> None:
    project = parse_project(minimal())
    assert parse_project(project.model_dump(mode="json")).digest == project.digest


def test_a_high_risk_project_needs_two_approvals() -> None:
    assert parse_project(put(minimal(), "risk_tier", "high")).quorum == 2


@pytest.mark.parametrize(
    ("path", "value", "field", "says"),
    [
        ("relase", {}, "relase", "unknown key; allowed: alarms, approval, batch, bias, budget, "),
        ("release.stepz", [100], "release.stepz", "shadow, shadow_first, steps, strategy"),
        ("data.columns.2.mim", 0, "data.columns[2].mim", "max_null_share, min, name"),
        ("data", {}, "data.columns", "data.columns: missing; data.entity_id: missing"),
        ("owner", 7, "owner", "valid string"),
        ("project", "Churn_1", "project", "pattern"),
        ("evaluation.margin", "small", "evaluation.margin", "valid number"),
        ("evaluation.margin", -0.1, "evaluation.margin", "greater than 0"),
        ("evaluation.loss", "mae", "evaluation.loss", "brier"),
        ("gates", [{"metric": "roc_auc", "min": 1.5}], "gates[0]", "impossible"),
        ("gates", [{"metric": "brier"}], "gates[0]", "needs min or max"),
        ("split.traffic", 0.8, "split", "below 1"),
        ("release.steps", [50, 10, 100], "release", "ascend"),
        ("release.steps", [10, 50], "release", "end at 100"),
        ("data.entity_id", "client", "data", "not among the columns"),
        ("data.columns.2.min", "zero", "data.columns[2].min", "valid number"),
        ("data.columns.2.name", "left", "data", "named twice"),
        ("evaluation.slices", [{"column": "town"}], "$", "not among the columns"),
        ("evaluation.slices", [{"column": "months", "edges": [5, 1]}], "evaluation.slices[0]",
         "ascend"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_path_and_what_is_allowed(
    path: str, value: object, field: str, says: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        parse_project(put(minimal(), path, value))
    assert refused.value.field == field
    assert says in refused.value.message


def test_all_mistakes_are_named_at_once() -> None:
    declared = put(put(minimal(), "relase", {}), "owner", 7)
    with pytest.raises(InvalidProjectError, match=r"owner.*relase"):
        parse_project(declared)


@pytest.mark.parametrize("declared", [None, [], "project: churn"])
def test_something_else_than_a_mapping_is_refused(declared: object) -> None:
    with pytest.raises(InvalidProjectError, match="not a mapping"):
        parse_project(declared)


METRICS: list[dict[str, Any]] = [
    {"name": "wait", "kind": "bounded", "value": "outcome", "range": [0.0, 24.0], "window_s": 60,
     "expected": 4.0, "goal": {"smallest_effect": 0.5},
     "guardrail": {"margin": 1.0, "weight": 2.0}},
    {"name": "cost", "kind": "adjusted", "value": "outcome", "covariate": "months", "theta": 0.4,
     "covariate_mean": 7.5, "standard_deviation": 3.0, "window_s": 60,
     "guardrail": {"margin": 1.0}},
]  # fmt: skip
RELEASE: dict[str, Any] = {
    "strategy": "ab_test", "metrics": METRICS, "bandit": {"floor": 0.1},
    "ab_test": {"share": 50, "duration_s": 600}, "linear": {"step_percent": 20},
    "shadow": {"percent": 10, "max_difference": 0.2}, "steps": [10, 100],
    "guardrails": {"max_error_rate": 0.1, "error_margin": 0.1, "slow_margin": 0.1,
                   "prediction_margin": 0.1},
}  # fmt: skip


def numbers(node: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each number of a declaration."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_number_of_a_declaration_may_be_nan_or_infinite(bad: float) -> None:
    declared = minimal() | {"release": RELEASE, "gates": [{"metric": "brier", "max": 0.24}]}
    parse_project(declared)
    paths = list(numbers(declared))
    assert len(paths) > 25
    for path in paths:
        with pytest.raises(InvalidProjectError) as refused:
            parse_project(put(declared, path, bad))
        field = str(refused.value.field).replace("[", ".").replace("]", "")
        assert field.startswith(path), path
        assert repr(bad) in str(refused.value), path


def test_a_bounded_metric_has_its_range_as_yaml_has_lists() -> None:
    project = parse_project(minimal() | {"release": RELEASE})
    assert project.release.metrics[0].range == (0.0, 24.0)
    again = parse_project(project.model_dump(mode="json"))
    assert again.release.metrics[0].range == (0.0, 24.0)
    for bad in (["0", 24.0], [0.0], [24.0, 0.0], [0.0, 1.0, 2.0]):
        with pytest.raises(InvalidProjectError, match="range"):
            parse_project(put(minimal() | {"release": RELEASE}, "release.metrics.0.range", bad))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([10, 50, 90], "steps are percentages that ascend and end at 100"),
        ([50, 10, 100], "steps are percentages that ascend and end at 100"),
        ([], "steps are percentages that ascend and end at 100"),
        ([0, 100], "the first step must be at least 1 percent"),
    ],
)
def test_shares_that_do_not_sum_are_refused_in_the_declaration(steps: list[int], said: str) -> None:
    with pytest.raises(InvalidProjectError, match=f"^release: {said}"):
        parse_project(put(minimal(), "release", {"steps": steps}))
