"""A project's dashboard: whole, in CloudWatch's form, on metrics and alarms that exist."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from steward.service.monitoring.look_metrics import ALARM_METRICS
from steward_cli.project_board import ALARMS, COLUMNS, Place, body, dashboard
from support.feature_scene import project_of
from support.templates import ROOT, load, of_type, strings

PLACE = Place(
    environment="dev",
    region="eu-central-1",
    stack="steward-dev",
    alarm_prefix="arn:aws:cloudwatch:eu-central-1:000000000000:alarm:",
    gateway_function="steward-dev-gateway",
    gateway_log="gateway-log",
)
WIDGETS: list[dict[str, Any]] = body(project_of(), PLACE)["widgets"]
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "layers" / "core" / "steward").rglob("*.py")
)


def _titles() -> list[str]:
    return [widget["properties"]["title"] for widget in WIDGETS]


def test_widgets_fill_the_page_and_none_covers_another() -> None:
    cells: set[tuple[int, int]] = set()
    for widget in WIDGETS:
        across = range(widget["x"], widget["x"] + widget["width"])
        down = range(widget["y"], widget["y"] + widget["height"])
        taken = set(itertools.product(across, down))
        assert not taken & cells, widget["properties"]["title"]
        cells |= taken
    assert {x for x, _ in cells} == set(range(COLUMNS))


@pytest.mark.parametrize(
    "subject",
    ["alarms", "Requests by role", "version", "Latency", "4xx and 5xx", "throttles", "Cold starts",
     "Saturation", "freshness", "Dead letters", "Failed executions", "Drift", "Performance",
     "Cost", "Labels"],
)  # fmt: skip
def test_it_shows_every_subject(subject: str) -> None:
    assert any(subject in title for title in _titles()), subject


def test_every_alarm_of_the_project_is_on_it_and_exists() -> None:
    resources = load(ROOT / "projects" / "project-stack.yaml")
    named = {
        alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix(
            "steward-${Environment}-${Project}-"
        )
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for alarm in of_type(resources, kind).values()
    }
    assert set(ALARMS) == named
    [widget] = [widget for widget in WIDGETS if widget["type"] == "alarm"]
    name = project_of().project
    assert widget["properties"]["alarms"][0].endswith(f":alarm:steward-dev-{name}-page-someone")


def test_its_own_metrics_are_ones_that_the_code_emits() -> None:
    own = {metric[1] for widget in WIDGETS for metric in widget["properties"].get("metrics", [])
           if metric[0] == "Steward/dev"}  # fmt: skip
    searched = set(
        re.findall(
            r"\{Steward/dev,[^}]*\} MetricName=\"(\w+)\"", json.dumps(WIDGETS).replace('\\"', '"')
        )
    )
    assert len(searched) >= 4
    for name in own | searched:
        assert f'"{name}"' in SOURCES, name


def test_alarms_of_looks_are_on_metrics_that_looks_emit() -> None:
    resources = load(ROOT / "projects" / "project-stack.yaml")
    metrics = {
        alarm["Properties"].get("MetricName")
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
    }
    assert set(ALARM_METRICS.values()) <= metrics


def test_log_widgets_read_the_gateways_log() -> None:
    queries = [w["properties"]["query"] for w in WIDGETS if w["type"] == "log"]
    assert queries
    assert all(query.startswith("SOURCE 'gateway-log' | ") for query in queries)


def test_the_resource_holds_the_page_as_text() -> None:
    resource = dashboard(project_of(), PLACE)["Properties"]
    assert json.loads(resource["DashboardBody"])["widgets"] == WIDGETS
    assert not any("${" in text for text in strings(resource))
