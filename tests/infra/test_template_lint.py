"""Every template is linted: as written, and as SAM transforms it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steward_cli.project_board import Place, dashboard
from steward_cli.project_stack import with_feature_groups, with_resources
from support.feature_scene import project_of
from support.linting import findings
from support.templates import CHILDREN, ORDER, ROOT, TEMPLATES, transformed

PROJECT_STACK = ROOT / "projects" / "project-stack.yaml"
PROFILING_STACK = ROOT / "projects" / "profiling-stack.yaml"
PIPELINE_STACK = ROOT / "projects" / "pipeline.yaml"
_CLOUDFORMATION_RESOURCES = 500
_CLOUDFORMATION_BYTES = 1_000_000
_INLINE_BYTES = 51_200


def test_all_children_are_linted_here() -> None:
    assert {path.stem for path in CHILDREN} == set(ORDER)


def test_what_is_wrong_is_found_in_its_template_alone() -> None:
    """The rules are loaded once for all templates."""
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicNames": "alerts"}}
    wrong = json.dumps({"Resources": {"Alerts": topic}})
    right = json.dumps({"Resources": {"Alerts": {"Type": "AWS::SNS::Topic"}}})
    found = [findings(text) for text in (right, wrong, right, wrong)]
    assert found[0] == found[2] == []
    assert found[1] == found[3]
    assert [line.split()[0] for line in found[1]] == ["E3002"]


@pytest.mark.parametrize(
    "path", [*TEMPLATES, PROJECT_STACK, PROFILING_STACK, PIPELINE_STACK], ids=lambda path: path.stem
)
def test_a_template_as_written_has_no_findings(path: Path) -> None:
    assert findings(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_transformed_template_has_no_findings(path: Path) -> None:
    assert findings(json.dumps(transformed(path))) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_transformed_template_stays_within_cloudformations_limits(path: Path) -> None:
    template = transformed(path)
    assert len(template["Resources"]) < _CLOUDFORMATION_RESOURCES
    assert len(json.dumps(template)) < _CLOUDFORMATION_BYTES


def test_a_project_stack_with_feature_groups_has_no_findings() -> None:
    project = project_of()
    text = with_feature_groups(
        PROJECT_STACK.read_text(encoding="utf-8"),
        project,
        [(project.feature_groups[0], 1), (project.feature_groups[0], 2)],
        environment="dev",
        data_bucket="data",
        key_arn="arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000",
        role_arn="arn:aws:iam::000000000000:role/store",
    )
    alarms = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"
    place = Place("dev", "us-east-1", "steward-dev", alarms, "gateway", "log")
    text = with_resources(text, {"Dashboard": dashboard(project, place)})
    assert findings(text) == []
    assert len(text.encode()) < _INLINE_BYTES
