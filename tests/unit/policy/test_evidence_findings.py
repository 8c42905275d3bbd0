"""What the evaluation's files say becomes findings; each fault is named, nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.policy.findings import Findings
from steward.domain.policy.judging import judge_policy
from steward.domain.policy.requirements import Requirements
from steward.domain.project import parse_project
from steward.service.governance.evidence_findings import Sources, findings_of
from support.registry_scene import BUCKET, CONFIG, PROJECT, RUN, Scene, comparison, evaluation

BASE = f"s3://{BUCKET}/evaluations/{PROJECT}/{RUN}"
MANIFEST = f"s3://data/datasets/{PROJECT}/d1/manifest.json"
BIAS = {
    "schema_version": "1", "mode": "exact", "confidence": 0.95, "minimum_rows": 100,
    "groups": [], "verdict": "inconclusive",
    "facets": [
        {
            "name": "sex = 2",
            "report": {"metrics": [{"name": "DI", "value": float("nan"), "lower": None,
                                    "upper": None, "rows": 0}]},
            "verdicts": [{"metric": "DPPL", "verdict": "fail", "reason": "DPPL .3 is outside"}],
        }
    ],
}  # fmt: skip
EXPLANATION = {
    "schema_version": "1", "method": "exact", "scale": "probability", "rows": 60,
    "background_digest": "b" * 64, "base": 0.5, "max_gap": 1e-12, "additive": True,
    "features": [{"name": "bmi", "mean_abs": 0.1, "share": 0.7},
                 {"name": "age", "mean_abs": 0.05, "share": 0.3}],
    "permutation": [],
}  # fmt: skip


class Files(Scene):
    """An evaluation whose job wrote a manifest of all its files."""

    def lay(self, **documents: Any) -> Files:
        self.command()
        files = {}
        for name in ("evaluation", "comparison", "baseline", "bias", "explanation"):
            uri = f"{BASE}/{name}.json"
            if name in documents:
                self.objects.write(uri, json.dumps(documents[name]).encode())
            elif name in ("bias", "explanation"):
                continue
            files[f"{name}.json"] = {"sha256": hashlib.sha256(self.objects.read(uri)).hexdigest()}
        self.objects.write(f"{BASE}/manifest.json", json.dumps({"files": files}).encode())
        if "evaluation" in documents:
            digest = files["evaluation.json"]["sha256"]
            about = json.dumps(comparison(digest, status="no_champion")).encode()
            self.objects.write(f"{BASE}/comparison.json", about)
        return self

    def read(self) -> Findings:
        sources = Sources(f"{BASE}/evaluation.json", f"{BASE}/comparison.json", MANIFEST)
        return findings_of(sources, parse_project(CONFIG), [], self.objects)


def test_every_part_that_is_there_is_known_by_its_digest() -> None:
    found = Files().lay(bias=BIAS, explanation=EXPLANATION).read()
    assert set(found.evidence) == {
        "baseline", "bias", "comparison", "dataset", "evaluation", "explanation",
    }  # fmt: skip
    assert found.explanation is not None
    assert (found.explanation.largest, found.explanation.largest_share) == ("bmi", 0.7)


def test_what_was_not_measured_is_missing_and_no_fault() -> None:
    found = Files().lay().read()
    assert (found.bias, found.explanation) == (None, None)
    assert set(found.evidence) == {"baseline", "comparison", "dataset", "evaluation"}


def test_a_nan_metric_is_undefined_with_that_reason() -> None:
    document = evaluation(champion=False)
    document["metrics"][0]["value"] = float("nan")
    found = Files().lay(evaluation=document).read()
    assert found.metrics["brier"].value is None
    required = {"performance": {"bounds": [{"metric": "brier", "max": 0.3}]}}
    judged = judge_policy(found, Requirements.model_validate(required))
    assert judged.verdict == "hold"
    assert judged.rules[0].message == "brier is undefined: it is nan"


def test_a_group_of_size_zero_is_inconclusive_and_a_declared_bound_counts() -> None:
    found = Files().lay(bias=BIAS).read()
    required = {"bias": {"bounds": [{"metric": "DI", "min": 0.8}], "inconclusive": "quorum"}}
    rules = {r.rule: r for r in judge_policy(found, Requirements.model_validate(required)).rules}
    zero = rules["bias.sex = 2.DI"]
    assert (zero.verdict, zero.effect) == ("inconclusive", "quorum")
    assert "a group has none" in zero.message
    assert rules["bias.sex = 2.DPPL"].verdict == "hold"


@pytest.mark.parametrize("name", ["baseline", "bias", "explanation"])
def test_a_file_that_differs_from_the_manifest_is_named(name: str) -> None:
    scene = Files().lay(bias=BIAS, explanation=EXPLANATION)
    scene.objects.write(f"{BASE}/{name}.json", b'{"other": 1}')
    with pytest.raises(EvidenceIncompleteError, match="differs from its digest") as refused:
        scene.read()
    assert refused.value.field == name


@pytest.mark.parametrize(
    ("name", "document", "told"),
    [
        ("evaluation", {"rows": 1}, "agreed shape"),
        ("bias", {"facets": [{"name": "x"}]}, "agreed shape"),
        ("bias", {"facets": "none"}, "agreed shape"),
        ("explanation", {"features": []}, "agreed shape"),
        ("explanation", [], "not a JSON object"),
    ],
)
def test_a_file_of_another_shape_is_refused(name: str, document: Any, told: str) -> None:
    with pytest.raises(EvidenceIncompleteError, match=told):
        Files().lay(**{name: document}).read()


def test_a_comparison_of_another_evaluation_is_refused() -> None:
    scene = Files().lay()
    other = json.dumps(comparison("0" * 64, status="no_champion")).encode()
    scene.objects.write(f"{BASE}/comparison.json", other)
    with pytest.raises(EvidenceIncompleteError, match="another evaluation"):
        scene.read()


def test_rows_are_counted_from_the_manifest_of_the_dataset() -> None:
    scene = Files().lay()
    manifest = {"parts": {"train": {"rows": 120}},
                "sources": [{"rows": 190, "quarantined_rows": 10}]}  # fmt: skip
    scene.objects.write(MANIFEST, json.dumps(manifest).encode())
    data = scene.read().data
    assert data is not None
    assert (data.train_rows, data.heldout_rows) == (120, 118)
    assert (data.delivered_rows, data.set_aside_rows) == (200, 10)
