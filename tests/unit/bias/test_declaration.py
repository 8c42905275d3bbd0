"""What ``bias`` may declare: each mistake is named by field, value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.datasets import job_description
from steward.domain.errors import InvalidProjectError
from steward.domain.project import Project, parse_project

SECTION: dict[str, Any] = {
    "attributes": [
        {"column": "sex", "facets": [{"values": ["f"]}], "feature": False},
        {"column": "age", "facets": [{"above": 60}], "edges": [40.0, 60.0]},
    ],
    "metrics": [{"metric": "DI", "min": 0.8, "max": 1.25}],
    "intersections": [["sex", "age"]],
}


def declared(bias: dict[str, Any], **label: Any) -> Project:
    return parse_project(
        {
            "project": "loans",
            "owner": "bank",
            "data": {
                "entity_id": "id",
                "label": {"name": "grade", "positive": 1} | label,
                "columns": [
                    {"name": "id", "type": "string"},
                    {"name": "sex", "type": "string", "allowed": ["f", "m"]},
                    {"name": "age", "type": "integer"},
                    {"name": "income", "type": "float"},
                    {"name": "seen", "type": "timestamp"},
                    {"name": "grade", "type": "integer", "allowed": [0, 1, 2]},
                ],
            },
            "bias": bias,
        }
    )


def changed(**parts: Any) -> dict[str, Any]:
    return {**SECTION, **parts}


def attribute(**parts: Any) -> dict[str, Any]:
    return changed(attributes=[{**SECTION["attributes"][0], **parts}], intersections=[])


def test_a_protected_attribute_that_is_no_feature_is_kept_from_the_model() -> None:
    project = declared(SECTION)
    assert [column.name for column in project.model_features] == ["age", "income", "seen"]
    job = job_description(project, "r1")
    assert [feature["name"] for feature in job["features"]] == ["age", "income", "seen"]
    assert job["bias"]["withheld"] == ["sex"]
    assert job["bias"]["types"] == {"sex": "string", "age": "integer"}
    assert project.bias is not None
    names = [facet.name(one.column) for one in project.bias.attributes for facet in one.facets]
    assert names == ["sex = f", "age > 60"]


def test_without_the_section_nobody_is_compared() -> None:
    source = declared(SECTION).model_dump(mode="json")
    project = parse_project({**source, "bias": None})
    assert "bias" not in job_description(project, "r1")


@pytest.mark.parametrize(
    ("bias", "field", "value", "allowed"),
    [
        (attribute(column="town"), "bias.attributes[0].column", "'town'", "age, income, sex"),
        (attribute(column="id"), "bias.attributes[0].column", "'id'", "age, income, sex"),
        (attribute(column="grade"), "bias.attributes[0].column", "'grade'", "age, income, sex"),
        (attribute(column="seen"), "bias.attributes[0].column", "'seen'", "age, income, sex"),
        (attribute(facets=[{"values": ["x"]}]), "bias.attributes[0].facets[0].values", "'x'",
         "f, m"),
        (attribute(facets=[{"values": [1]}]), "bias.attributes[0].facets[0].values", "1", "f, m"),
        (attribute(facets=[{"above": 3}]), "bias.attributes[0].facets[0].above", "3.0",
         "values of the column"),
        (attribute(edges=[1.0]), "bias.attributes[0].edges", "[1.0]", "integer or float columns"),
        (changed(strata="town"), "bias.strata", "'town'", "age, income, sex"),
        (changed(metrics=[{"metric": "XX", "min": 0}]), "bias.metrics[0].metric", "'XX'",
         "CI, DPL, KL"),
        (changed(metrics=[{"metric": "DI", "min": 1.1, "max": 0.9}]), "bias.metrics[0].min",
         "1.1", "at most 0.9"),
        (changed(metrics=[{"metric": "DI", "min": 1.1}]), "bias.metrics[0].min", "1.1",
         "at most 1"),
        (changed(metrics=[{"metric": "RD", "max": -0.1}]), "bias.metrics[0].max", "-0.1",
         "at least 0"),
        (changed(metrics=[{"metric": "DI", "min": 0.8}, {"metric": "DI", "max": 1.25}]),
         "bias.metrics[1].metric", "'DI'", "each once"),
        (changed(metrics=[{"metric": "CDDPL", "max": 0.1}]), "bias.strata", "None", "a column"),
        (changed(intersections=[["sex", "income"]]), "bias.intersections[0]",
         "['sex', 'income']", "two or more of sex, age"),
        (changed(favourable={"labels": [3]}), "bias.favourable.labels", "3", "0, 1, 2"),
        (changed(favourable={"labels": [1, 2]}), "bias.favourable.labels", "[1, 2]",
         "[1], or values without it"),
        (changed(favourable={"labels": [2]}), "bias.favourable.labels", "[2]", "0, 2"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_value_and_what_is_allowed(
    bias: dict[str, Any], field: str, value: str, allowed: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        declared(bias)
    assert refused.value.field == field
    assert refused.value.value == value
    assert allowed in str(refused.value.allowed)


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (changed(metrics=[]), "at least 1 item"),
        (changed(attributes=[]), "at least 1 item"),
        (changed(minimum_rows=5), "greater than or equal to 20"),
        (changed(confidence=1.0), "less than 1"),
        (attribute(facets=[{}]), "exactly one of"),
        (attribute(facets=[{"above": 1, "at_most": 2}]), "exactly one of"),
        (attribute(facets=[{"values": ["f"]}, {"values": ["f"]}]), "each once"),
        (changed(attributes=[SECTION["attributes"][0]] * 2), "each column once"),
        (changed(metrics=[{"metric": "DI"}]), "needs min or max"),
        (changed(metrics=[{"metric": "DI", "min": float("nan")}]), "finite"),
    ],
)
def test_an_impossible_section_is_refused(bias: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidProjectError, match=message):
        declared(bias)


def test_pre_training_metrics_may_take_any_label_values_as_favourable() -> None:
    bias = changed(favourable={"labels": [2]}, metrics=[{"metric": "DPL", "max": 0.1}])
    assert declared(bias).bias is not None
    assert declared(changed(favourable={"labels": [0, 2]})).bias is not None
