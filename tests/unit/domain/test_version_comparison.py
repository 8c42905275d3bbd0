"""Two versions side by side: what differs, what is the same, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from steward.domain.regression_evaluation import residual_points
from steward.domain.version_comparison import Row, Section, Side, compare_versions
from steward_cli.version_page import page
from support.registry_scene import comparison, evaluation

MADE = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def record(version: int, **about: Any) -> dict[str, Any]:
    return {
        "project": "diabetes", "version": version, "state": "approved", "dataset_id": "d1",
        "code_digest": f"c{version}", "job_image": "image", "author": "tess", **about,
    }  # fmt: skip


def section(sections: list[Section], title: str) -> Section:
    return next(found for found in sections if found.title == title)


def both() -> tuple[Side, Side]:
    judged = comparison("e" * 64, status="compared")
    one = Side(
        record(1), evidence={"artifact": {"sha256": "a1"}}, evaluation=evaluation(champion=False),
        config={"training": {"seed": 1, "depth": 4}}, dataset={"rows": 300},
    )  # fmt: skip
    two = Side(
        record(2, champion_version=1), evidence={"artifact": {"sha256": "a2"}},
        evaluation=evaluation(champion=True), config={"training": {"seed": 2, "depth": 4}},
        dataset={"rows": 300, "inputs": [{"delivery_id": "x", "rows": 7}]}, comparison=judged,
        bias={"verdict": "pass"},
    )  # fmt: skip
    return one, two


def test_metrics_and_slices_stand_beside_each_other_with_intervals() -> None:
    found = compare_versions(*both())
    brier = found.metrics[0]
    assert brier.a is not None
    assert (brier.metric, brier.a.value, brier.a.lower) == ("brier", 0.1712, 0.1712 - 0.02)
    assert {row.slice for row in found.slices} == {"sex = 1", "age = >= 60"}
    assert found.same_rows


def test_the_gates_paired_comparison_is_told_whichever_comes_first() -> None:
    one, two = both()
    for found in (compare_versions(one, two), compare_versions(two, one)):
        assert found.judged is not None
        assert (found.judged["candidate"], found.judged["champion"]) == (2, 1)
        assert found.judged["verdict"] == "pass"


def test_only_what_differs_is_different() -> None:
    found = compare_versions(*both())
    parameters = section(found.sections, "Parameters")
    assert parameters.rows == [
        Row(name="training.seed", a=1, b=2, same=False),
        Row(name="training.depth", a=4, b=4, same=True),
    ]
    data = section(found.sections, "Data").rows
    assert [row.name for row in data if not row.same] == [
        "inputs[x].delivery_id", "inputs[x].rows",
    ]  # fmt: skip


def test_missing_parts_are_shown_as_missing_of_each() -> None:
    found = compare_versions(*both())
    assert section(found.sections, "Bias").missing == [1]
    assert section(found.sections, "Explanation").missing == [1, 2]
    assert section(found.sections, "Data").missing == []


def test_versions_without_any_evidence_are_compared_too() -> None:
    found = compare_versions(
        Side(record(1, dataset_id="unproven")), Side(record(3, dataset_id="unproven"))
    )
    assert found.metrics == []
    assert not found.same_rows
    assert found.judged is None
    text = page(found, MADE)
    assert "Neither version has an evaluation" in text
    assert "Version 3: missing." in text


def test_an_undefined_metric_says_why() -> None:
    text = page(compare_versions(*both()), MADE)
    assert "undefined: an answer of exactly 0" in text


def test_the_page_is_self_contained_and_draws_intervals() -> None:
    text = page(compare_versions(*both()), MADE)
    assert text.count("<svg") >= 6
    assert "brier of version 1 and 2 with intervals" in text
    for forbidden in ("<script", "src=", "@import", "http://" + "cdn", "<link"):
        assert forbidden not in text


def test_residuals_of_a_regression_are_drawn_by_version() -> None:
    one, two = both()
    assert "Residuals" not in page(compare_versions(one, two), MADE)
    labels = np.arange(60, dtype=np.float64)
    points = residual_points(labels, labels + 2)
    told = [point.model_dump(mode="json") for point in points]
    assert two.evaluation is not None
    numbers = replace(two, evaluation={**two.evaluation, "residuals": told})
    found = compare_versions(one, numbers)
    assert list(found.residuals) == [2]
    assert {point.mean for point in found.residuals[2]} == {-2.0}
    assert "of version 2 by prediction" in page(found, MADE)


def test_what_people_wrote_cannot_become_markup() -> None:
    one, two = both()
    evil = Side(record(2, description="<script>alert(1)</script>"), evaluation=two.evaluation)
    assert "<script" not in page(compare_versions(one, evil), MADE)


def test_a_document_of_many_facts_is_cut_with_the_differences_first() -> None:
    one, two = both()
    many = {f"k{number:04d}": number for number in range(400)}
    found = compare_versions(
        Side(one.record, config=many), Side(two.record, config={**many, "k0399": -1})
    )
    parameters = section(found.sections, "Parameters")
    assert (parameters.rows[0].name, parameters.left_out) == ("k0399", 200)
