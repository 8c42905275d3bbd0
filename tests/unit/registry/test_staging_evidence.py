"""Freezing evidence."""

from __future__ import annotations

import hashlib
import json

import pytest

from steward.contracts.events import StagingFailed
from steward.contracts.steps.registry import BaselineReference
from steward.domain.errors import (
    CardInvalidError,
    EvidenceIncompleteError,
    VersionNotFoundError,
)
from steward.ports import Table
from steward.service.registry.staging_evidence import record_staging_failure
from support.registry_scene import PROJECT, Scene

FAILED = StagingFailed(
    version=1, failed_state="WaitForEndpoint", error="EndpointFailedError", cause="no disk",
    execution_arn="arn:aws:states:::execution:stage:1",
)  # fmt: skip


def test_the_digest_is_that_of_the_stored_bytes() -> None:
    scene = Scene()
    request = scene.pending()
    content = scene.objects.read(request.evidence_uri)
    assert hashlib.sha256(content).hexdigest() == request.evidence_digest
    assert scene.item()["evidence_digest"] == request.evidence_digest
    assert request.evidence_uri == "s3://artifacts/evidence/diabetes/1/evidence.json"


def test_the_evidence_names_everything_by_digest() -> None:
    scene = Scene()
    document = json.loads(scene.objects.read(scene.pending(champion=7).evidence_uri))
    for part in ("artifact", "evaluation", "comparison"):
        content = scene.objects.read(document[part]["uri"])
        assert document[part]["sha256"] == hashlib.sha256(content).hexdigest()
    assert document["dataset"]["manifest"]["sha256"]
    assert document["staging"]["smoke"]["sha256"]
    assert document["gate"]["verdict"] == "pass"
    assert document["comparison_result"]["verdict"] == "pass"
    assert document["champion_version"] == 7
    assert document["config_digest"] == "c" * 64


def test_the_request_is_open_for_the_projects_lifetime() -> None:
    scene = Scene()
    assert scene.pending().expires_at == "2026-01-06T09:00:00+00:00"
    assert scene.item()["state"] == "pending"


def test_the_same_event_again_changes_nothing_and_asks_nobody() -> None:
    scene = Scene()
    scene.register()
    staged = scene.staged()
    scene.freeze(staged)
    before = scene.item()
    scene.clock.advance(60)
    assert scene.freeze(staged) == "pending"
    assert scene.item() == before
    assert len(scene.state.named("ApprovalRequested")) == 1


def test_evidence_does_not_depend_on_when_it_was_written() -> None:
    first, second = Scene(), Scene()
    second.clock.advance(3600)
    assert first.pending().evidence_digest == second.pending().evidence_digest


def test_a_smoke_report_that_changed_is_refused() -> None:
    scene = Scene()
    scene.register()
    staged = scene.staged()
    scene.objects.write(staged.smoke_uri, b"{}")
    with pytest.raises(EvidenceIncompleteError, match="staging said"):
        scene.freeze(staged)
    assert scene.item()["state"] == "registered"


def test_an_evaluation_that_changed_after_the_comparison_is_refused() -> None:
    scene = Scene()
    scene.register()
    scene.objects.write(scene.item()["evaluation_uri"], b'{"rows": 1}')
    with pytest.raises(EvidenceIncompleteError, match="another evaluation"):
        scene.freeze(scene.staged())


@pytest.mark.parametrize("name", ["baseline", "explanation"])
def test_what_was_registered_with_the_version_may_not_change(name: str) -> None:
    scene = Scene()
    request = scene.pending()
    frozen = json.loads(scene.objects.read(request.evidence_uri))
    assert frozen[name]["uri"] == scene.item()[name]["uri"]
    other = Scene()
    other.register()
    other.objects.write(other.item()[name]["uri"], b"{}")
    with pytest.raises(EvidenceIncompleteError, match=f"the {name} changed"):
        other.freeze(other.staged())


def test_approvers_are_told_what_moves_the_answers() -> None:
    assert [one["name"] for one in Scene().pending().summary["moved_by"]] == ["bmi", "age", "bp"]


def test_a_version_without_an_explanation_has_evidence_without_one() -> None:
    scene = Scene()
    scene.run_task(scene.command().model_copy(update={"explanation": None}))
    scene.freeze(scene.staged())
    frozen = json.loads(scene.objects.read(scene.item()["evidence_uri"]))
    assert frozen["explanation"] is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"rows": 118}'])
def test_an_evaluation_that_cannot_be_read_is_refused(content: bytes) -> None:
    scene = Scene()
    scene.register()
    scene.objects.write(scene.item()["evaluation_uri"], content)
    digest = hashlib.sha256(content).hexdigest()
    document = json.dumps({"status": "no_champion", "evaluation_sha256": digest}).encode()
    scene.objects.write(scene.item()["comparison_uri"], document)
    with pytest.raises(EvidenceIncompleteError):
        scene.freeze(scene.staged())


def test_an_artifact_that_is_gone_is_named() -> None:
    scene = Scene()
    scene.register()
    item = {**scene.item(), "artifact_uri": "s3://artifacts/models/gone.tar.gz"}
    scene.state.put(Table.VERSIONS, item)
    with pytest.raises(EvidenceIncompleteError, match="gone"):
        scene.freeze(scene.staged())


def test_a_version_that_does_not_exist_is_named() -> None:
    scene = Scene()
    with pytest.raises(VersionNotFoundError, match="no version 4"):
        scene.freeze(scene.staged(4))


def fail(scene: Scene) -> str:
    return record_staging_failure(
        PROJECT, FAILED, causation_id="e1", state=scene.state, clock=scene.clock, ids=scene.ids
    )


def test_a_failed_staging_ends_the_version() -> None:
    scene = Scene()
    scene.register()
    assert fail(scene) == "staging_failed"
    assert scene.item()["staging_error"] == "WaitForEndpoint: EndpointFailedError: no disk"
    assert scene.freeze(scene.staged()) == "staging_failed"


def test_a_failure_that_is_told_late_does_not_take_the_request_back() -> None:
    scene = Scene()
    scene.pending()
    assert fail(scene) == "pending"


def test_a_champion_that_could_not_answer_is_told_with_its_reason() -> None:
    scene = Scene()
    request = scene.pending(champion=2, status="champion_failed")
    assert request.summary["comparison"] is None
    assert request.summary["champion_failure"] == "KeyError: 's6'"


def _registered_with_bias(content: bytes) -> tuple[Scene, str]:
    scene = Scene()
    uri = f"s3://artifacts/evaluations/{PROJECT}/bias.json"
    digest = scene.objects.write(uri, content)
    command = scene.command()
    scene.run_task(
        command.model_copy(update={"bias": BaselineReference(uri=uri, digest=digest)})
    )  # fmt: skip
    return scene, uri


BIAS = {
    "verdict": "hold",
    "facets": [
        {
            "name": "sex = 2",
            "verdicts": [{"verdict": "fail", "reason": "DI 0.5 (0.4 to 0.6) is outside 0.8 to 1"}],
        }
    ],
}


def test_bias_is_evidence_and_the_approver_reads_a_line_of_each_facet() -> None:
    scene, uri = _registered_with_bias(json.dumps(BIAS).encode())
    scene.freeze(scene.staged())
    [request] = scene.state.named("ApprovalRequested")
    told = request.data.summary  # type: ignore[attr-defined]
    assert told["bias"] == ["sex = 2: fail: DI 0.5 (0.4 to 0.6) is outside 0.8 to 1"]
    document = json.loads(scene.objects.read(scene.item()["evidence_uri"]))
    content = scene.objects.read(uri)
    assert document["bias"] == {"uri": uri, "sha256": hashlib.sha256(content).hexdigest()}


def test_bias_that_changed_since_it_was_registered_is_refused() -> None:
    scene, uri = _registered_with_bias(json.dumps(BIAS).encode())
    scene.objects.write(uri, json.dumps({**BIAS, "verdict": "pass"}).encode())
    with pytest.raises(EvidenceIncompleteError, match="the bias changed") as refused:
        scene.freeze(scene.staged())
    assert refused.value.field == "bias"


def test_bias_of_another_form_is_refused() -> None:
    scene, _ = _registered_with_bias(b'{"facets": [{}]}')
    with pytest.raises(EvidenceIncompleteError, match="agreed shape"):
        scene.freeze(scene.staged())


def test_the_evidence_names_the_card_that_lies_beside_it() -> None:
    scene = Scene()
    document = json.loads(scene.objects.read(scene.pending(champion=7).evidence_uri))
    content = scene.objects.read("s3://artifacts/evidence/diabetes/1/card.json")
    assert document["card"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert scene.item()["card"] == document["card"]
    said = {s["field"]: s for part in json.loads(content)["sections"] for s in part["statements"]}
    assert said["evaluation.comparison"]["value"] == "pass against version 7"
    assert b"<!doctype html>" in scene.objects.read("s3://artifacts/evidence/diabetes/1/card.html")


def test_a_metric_that_is_not_a_number_stops_the_evidence() -> None:
    scene = Scene()
    command = scene.command()
    content = json.loads(scene.objects.read(command.evaluation_uri))
    content["metrics"][0]["value"] = float("nan")
    digest = scene.objects.write(command.evaluation_uri, json.dumps(content).encode())
    document = json.loads(scene.objects.read(str(command.comparison_uri)))
    document["evaluation_sha256"] = digest
    scene.objects.write(str(command.comparison_uri), json.dumps(document).encode())
    scene.run_task(command)
    with pytest.raises(CardInvalidError, match=r"evaluation\.metrics\[0\]\.value is nan"):
        scene.freeze(scene.staged())
    assert scene.item()["state"] == "registered"


def test_a_manifest_that_is_no_json_stops_the_evidence() -> None:
    scene = Scene()
    scene.register()
    scene.objects.write("s3://data/datasets/diabetes/d1/manifest.json", b"rows: 300")
    with pytest.raises(EvidenceIncompleteError) as refused:
        scene.freeze(scene.staged())
    assert refused.value.field == "manifest"
