"""Search over features: every word must occur; tags and owners are met exactly."""

from __future__ import annotations

from typing import Any

import pytest

from steward_cli.commands.features import matching
from support.feature_scene import labs, project_of


def item() -> dict[str, Any]:
    group = project_of(labs()).feature_groups[0]
    return {"group": "labs", "version": 3, "definition": group.model_dump(mode="json")}


@pytest.mark.parametrize(
    ("words", "features"),
    [
        (["glucose_mean"], ["glucose_mean"]),
        (["GLUCOSE", "sum"], ["glucose_sum"]),
        (["domain=laboratory", "ward"], ["ward"]),
        (["owner=clinical-data", "most"], ["most_visits"]),
        (["owner=clinical"], []),
        (["domain=lab"], []),
        (["nothing-like-it"], []),
    ],
)
def test_a_search_finds_what_has_every_word(words: list[str], features: list[str]) -> None:
    assert [hit["feature"] for hit in matching("clinic", item(), words)] == features


def test_a_hit_says_where_it_is_and_whose() -> None:
    [hit] = matching("clinic", item(), ["is_high"])
    assert (hit["project"], hit["label"], hit["type"], hit["owner"], hit["kind"]) == (
        "clinic", "labs/v3", "boolean", "clinical-data", "row",
    )  # fmt: skip
    assert hit["description"] == "Laboratory values of a patient."
