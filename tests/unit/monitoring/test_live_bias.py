"""Facets of ``bias`` in live traffic: the evaluation's definitions, its baseline, late labels."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from steward.domain.bias.assessment import BiasRows, Origin, Predicted, assess
from steward.domain.bias.declaration import Bias, Facet
from steward.domain.monitoring.labelled_rows import WatchedFacet
from steward.domain.monitoring.looks import GroupLook
from steward.ports import Table
from support.monitoring_scene import ARTIFACTS, HOUR, MonitoringScene, labels_of, people

BIAS: dict[str, Any] = {
    "attributes": [
        {"column": "sex", "facets": [{"values": ["F"]}]},
        {"column": "age", "facets": [{"above": 60}]},
    ],
    "metrics": [
        {"metric": "DI", "min": 0.5, "max": 2.0},
        {"metric": "RD", "min": -0.2, "max": 0.2},
        {"metric": "TE", "min": -5, "max": 5},
    ],
    "favourable": {"threshold": 0.4},
}
LABELS = {"max_delay_s": HOUR, "minimum": 30, "margin": 0.5}


def evidence(bias: dict[str, Any] = BIAS) -> bytes:
    """``bias.json`` of a version that was evaluated on people as they are."""
    rows = people(2, 3000)
    labels = np.array(labels_of(rows, 3)) == 1
    scores = np.array([row["prediction"]["probability"] for row in rows])
    columns = {name: [row["features"][name] for row in rows] for name in ("sex", "age")}
    declared = Bias.model_validate(bias)
    given = BiasRows(labels, [str(int(one)) for one in labels], columns)
    predicted = Predicted(scores, scores >= declared.favourable.threshold, {})
    origin = Origin("diabetes", "run-1", "0" * 64, "event", [1])
    return assess(declared, given, given, predicted, origin).model_dump_json().encode()


def scene_of(
    bias: dict[str, Any] = BIAS, content: bytes | None = None, digest: str | None = None
) -> MonitoringScene:  # fmt: skip
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    config = {"monitoring": scene.monitoring, "bias": bias,
              "data": {"label": {"name": "ill", "positive": 1}}}  # fmt: skip
    scene.state.put(Table.PROJECTS, {"project": scene.project, "config": config})
    [item] = scene.state.query(Table.VERSIONS, scene.project)
    content = evidence() if content is None else content
    uri = f"s3://{ARTIFACTS}/runs/{scene.project}/v1/bias.json"
    scene.objects.write(uri, content)
    known = digest or hashlib.sha256(content).hexdigest()
    scene.state.put(Table.VERSIONS, {**item, "bias": {"uri": uri, "digest": known}})
    return scene


def lived(
    scene: MonitoringScene, hours: int = 5, *, lower: float = 0.0, women: float = 0.0,
    count: int = 500, late: bool = False, beside: tuple[str, ...] = (),
) -> MonitoringScene:  # fmt: skip
    """Let people ask; of women the probability is lowered, and labels may come too late."""
    for hour in range(hours):
        rows = people(10 + hour, count)
        labels = labels_of(rows, hour, women=women)
        for row in rows:
            if row["features"]["sex"] == "F":
                row["prediction"]["probability"] *= 1 - lower
        scene.traffic(rows, hour)
        scene.label(rows, labels, hour, (3.5 if late else 1.5) * HOUR, beside)
        scene.watch(hour + 1)
    return scene


def groups(scene: MonitoringScene, hour: int) -> dict[tuple[str, str], GroupLook]:
    found = scene.look(hour).performance
    assert found is not None
    return {(one.group, one.metric): one for one in found.groups}


def test_people_as_they_were_raise_nothing() -> None:
    scene = lived(scene_of())
    found = groups(scene, 4)
    assert set(found) == {
        (facet, metric) for facet in ("sex = F", "age > 60") for metric in ("DI", "RD")
    }  # fmt: skip
    assert scene.alarm("bias") != "alarm"
    assert scene.told("BiasDrifted") == []
    di = found["sex = F", "DI"]
    assert di.current == pytest.approx(di.baseline, abs=0.15)
    assert di.n > 900


def test_a_facet_that_is_treated_otherwise_is_told_by_clarifys_names() -> None:
    scene = lived(scene_of(), lower=0.5)
    assert scene.alarm("bias") == "alarm"
    [told] = scene.told("BiasDrifted")
    assert any("sex = F" in name for name in told.groups)
    assert not any("age" in name for name in told.groups)
    di = groups(scene, 4)["sex = F", "DI"]
    assert di.state == "drifted"
    assert di.current is not None
    assert di.current < 0.5
    assert "biased by its bounds 0.5 to 2" in di.sentence


def test_below_the_minimum_of_its_own_denominator_a_metric_is_not_judged() -> None:
    scene = lived(scene_of(), hours=2, count=150, lower=0.9)
    found = groups(scene, 1)["sex = F", "RD"]
    assert (found.state, found.current) == ("inconclusive", None)
    assert "100 are needed" in found.sentence
    assert scene.told("BiasDrifted") == []


def test_labels_that_come_too_late_count_in_no_facet() -> None:
    scene = lived(scene_of(), lower=0.5, late=True)
    assert scene.told("BiasDrifted") == []
    assert all(one.n == 0 for one in groups(scene, 4).values())


def test_a_version_without_evidence_is_not_compared_and_says_so() -> None:
    scene = scene_of(digest="0" * 64)
    found = groups(lived(scene, lower=0.5), 4)["sex = F", "DI"]
    assert (found.state, found.baseline) == ("inconclusive", None)
    assert "is not the one registered" in found.sentence
    assert scene.told("BiasDrifted") == []


@pytest.mark.parametrize(
    ("content", "changed", "said"),
    [
        (b"{}", {}, "cannot be read"),
        (None, {"favourable": {"threshold": 0.6}}, "another favourable outcome"),
    ],
)
def test_a_baseline_of_something_else_is_not_compared_with(
    content: bytes | None, changed: dict[str, Any], said: str
) -> None:
    scene = lived(scene_of({**BIAS, **changed}, content), hours=4, lower=0.5)
    assert said in groups(scene, 3)["sex = F", "DI"].sentence
    assert scene.told("BiasDrifted") == []


def test_an_attribute_that_is_no_feature_cannot_be_watched_and_says_so() -> None:
    attributes = [{**BIAS["attributes"][0], "feature": False}, BIAS["attributes"][1]]
    found = groups(lived(scene_of({**BIAS, "attributes": attributes}), hours=3), 2)
    assert "no outcome told it" in found["sex", "none"].sentence
    assert ("sex = F", "DI") not in found


@pytest.mark.parametrize(
    ("rule", "text", "side"),
    [
        ({"values": [2]}, "2", "d"), ({"values": [2]}, "2.0", "d"), ({"values": [2]}, "3", "a"),
        ({"values": [2]}, "two", "a"), ({"values": [True]}, "true", "d"),
        ({"values": ["2"]}, "2.0", "a"), ({"above": 60}, "60", "a"), ({"above": 60}, "60.5", "d"),
        ({"at_most": 60}, "60", "d"), ({"above": 60}, "old", ""), ({"above": 60}, "nan", ""),
        ({"values": [2]}, None, ""), ({"at_most": 1}, "", ""),
    ],
)  # fmt: skip
def test_a_captured_value_is_of_one_facet_or_of_none(
    rule: dict[str, Any], text: str | None, side: str
) -> None:
    assert WatchedFacet("x", "x", Facet.model_validate(rule)).side(text) == side


WITHHELD = {**BIAS, "attributes": [{**BIAS["attributes"][0], "feature": False}]}


def test_an_attribute_that_outcomes_tell_is_watched_without_being_a_feature() -> None:
    told = lived(scene_of(WITHHELD), lower=0.5, beside=("sex",))
    seen = lived(scene_of(), lower=0.5)
    for metric in ("DI", "RD"):
        one, other = groups(told, 4)["sex = F", metric], groups(seen, 4)["sex = F", metric]
        assert (one.current, one.n, one.state) == (other.current, other.n, other.state)
    assert told.alarm("bias") == "alarm"


def test_predictions_whose_outcome_tells_no_attribute_belong_to_no_facet() -> None:
    scene = scene_of(WITHHELD)
    rows = people(10, 600)
    scene.traffic(rows, 0)
    labels = labels_of(rows, 0)
    scene.label(rows[:400], labels[:400], 0, 1.5 * HOUR, ("sex",))
    scene.label(rows[400:], labels[400:], 0, 1.5 * HOUR)
    for hour in (1, 2):
        scene.watch(hour)
    found = scene.look(1).performance
    assert found is not None
    assert found.labelled == 600
    di = next(one for one in found.groups if one.metric == "DI")
    women = sum(row["features"]["sex"] == "F" for row in rows[:400])
    assert di.n == min(women, 400 - women)
