"""From what the evaluation job wrote to the gate's verdict, on evidence bound by digests."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import date

import numpy as np
import pytest

from steward.contracts.steps.governance import GateDecision, JudgeCandidate
from steward.contracts.steps.training import CompareCandidate, ComparedCandidate
from steward.domain.errors import EvidenceIncompleteError, MalformedEventError
from steward.domain.evaluation import evaluate
from steward.domain.evaluation_report import ChampionEvaluation, EvaluationReport
from steward.domain.model_summary import summarize
from steward.domain.predictions import Predictions, write_predictions
from steward.domain.project import parse_project
from steward.domain.versions import version_item
from steward.ports import Table
from steward.service.governance.gate import judge_candidate
from steward.service.training.comparison import compare_candidate
from support.training_scene import ARTIFACTS, DATA, Scene, csv_of, declaration

ROWS = 120


class Evaluated(Scene):
    """A scene whose run has been evaluated; ``worse`` is how far the candidate is off."""

    def evaluate(
        self, *, champion: str = "evaluated", worse: float = 0.0, asked_on: list[date] | None = None
    ) -> str:
        run_id = str(self.deliver(csv_of(1, 30))["run_id"])
        draw = np.random.default_rng(1)
        labels = draw.integers(0, 2, ROWS).astype(np.float64)
        good = np.clip(0.25 + 0.5 * labels + draw.normal(0, 0.1, ROWS), 0.01, 0.99)
        candidate = np.clip(good + worse * (0.5 - labels), 0.01, 0.99)
        entities = [f"p{n}" for n in range(ROWS)]
        slices = {"sex": ["F" if n % 2 else "M" for n in range(ROWS)]}
        evaluation = evaluate(
            entities, labels, candidate, slices=slices, confidence=0.95,
            bootstrap_samples=200, seed=20, slice_minimum_rows=25,
        )  # fmt: skip
        report = EvaluationReport(
            **dict(evaluation), project="diabetes", run_id=run_id, heldout_sha256="0" * 64,
            feature_means={"age": 50.0},
            champion=ChampionEvaluation.model_validate(
                {"status": champion, "stage": "load", "reason": "no module"}
                if champion == "failed" else {"status": champion}
            ),
        )  # fmt: skip
        stream = io.StringIO()
        beside = good if champion == "evaluated" else None
        rows = Predictions(entities, labels, candidate, beside, slices, asked_on, asked_on)
        write_predictions(rows, stream)
        self.base = f"s3://{ARTIFACTS}/evaluations/diabetes/{run_id}"
        contents = {
            "evaluation.json": report.model_dump_json().encode(),
            "predictions.csv": stream.getvalue().encode(),
            "baseline.json": b'{"format": 1}',
        }
        files = {}
        for name, content in contents.items():
            self.objects.write(f"{self.base}/{name}", content)
            files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        self.objects.write(f"{self.base}/manifest.json", json.dumps({"files": files}).encode())
        return run_id

    def compare(
        self, run_id: str, champion_version: int | None, manifest_uri: str | None = None
    ) -> ComparedCandidate:
        command = CompareCandidate(
            project="diabetes", run_id=run_id, correlation_id=run_id,
            evaluations_uri=self.base, champion_version=champion_version,
            manifest_uri=manifest_uri,
        )  # fmt: skip
        return compare_candidate(
            command, state=self.state, objects=self.objects, clock=self.clock, ids=self.ids
        )

    def judge(self, run_id: str, compared: ComparedCandidate) -> GateDecision:
        command = JudgeCandidate(
            project="diabetes", run_id=run_id, correlation_id=run_id,
            evaluation_uri=compared.evaluation_uri, comparison_uri=compared.comparison_uri,
        )  # fmt: skip
        return judge_candidate(
            command, state=self.state, objects=self.objects, clock=self.clock,
            artifacts_bucket=ARTIFACTS,
        )  # fmt: skip


@pytest.fixture
def scene() -> Evaluated:
    return Evaluated()


def test_a_first_candidate_has_nobody_to_be_compared_with(scene: Evaluated) -> None:
    run_id = scene.evaluate(champion="absent")
    compared = scene.compare(run_id, None)
    assert (compared.verdict, compared.champion_version) == ("no_champion", None)
    assert scene.judge(run_id, compared).verdict == "pass"
    [event] = scene.state.named("CandidateEvaluated")
    assert set(event.data.metrics) == {  # type: ignore[attr-defined]
        "brier", "log_loss", "accuracy", "roc_auc",
    }  # fmt: skip


def test_the_baseline_is_named_by_its_digest(scene: Evaluated) -> None:
    baseline = scene.compare(scene.evaluate(), 3).baseline
    content = scene.objects.read(baseline.uri)
    assert baseline.uri == f"{scene.base}/baseline.json"
    assert baseline.digest == hashlib.sha256(content).hexdigest()


def test_an_explanation_is_named_where_one_was_written(scene: Evaluated) -> None:
    run_id = scene.evaluate()
    assert scene.compare(run_id, 3).explanation is None
    content = b'{"schema_version": "1"}'
    scene.objects.write(f"{scene.base}/explanation.json", content)
    manifest = json.loads(scene.objects.read(f"{scene.base}/manifest.json"))
    manifest["files"]["explanation.json"] = {"sha256": hashlib.sha256(content).hexdigest()}
    scene.objects.write(f"{scene.base}/manifest.json", json.dumps(manifest).encode())
    found = scene.compare(run_id, 3).explanation
    assert found is not None
    assert found.uri == f"{scene.base}/explanation.json"
    scene.objects.write(f"{scene.base}/explanation.json", b"{}")
    with pytest.raises(EvidenceIncompleteError, match="differs from its digest"):
        scene.compare(run_id, 3)


def _with_bias(scene: Evaluated, named: bytes, kept: bytes) -> str:
    """Let the job have written ``bias.json``; return the run."""
    run_id = scene.evaluate()
    manifest = json.loads(scene.objects.read(f"{scene.base}/manifest.json"))
    manifest["files"]["bias.json"] = {"sha256": hashlib.sha256(named).hexdigest(), "bytes": 2}
    scene.objects.write(f"{scene.base}/manifest.json", json.dumps(manifest).encode())
    scene.objects.write(f"{scene.base}/bias.json", kept)
    return run_id


def test_bias_is_named_by_its_digest_where_the_job_wrote_it(scene: Evaluated) -> None:
    other = Evaluated()
    assert other.compare(other.evaluate(), 3).bias is None
    found = scene.compare(_with_bias(scene, b"{}", b"{}"), 3).bias
    assert found is not None
    assert found.uri == f"{scene.base}/bias.json"
    assert found.digest == hashlib.sha256(b"{}").hexdigest()


def test_bias_that_differs_from_the_manifest_is_refused(scene: Evaluated) -> None:
    run_id = _with_bias(scene, b"{}", b"{ }")
    with pytest.raises(EvidenceIncompleteError, match=r"bias\.json differs"):
        scene.compare(run_id, 3)


def test_an_equal_candidate_passes_and_a_worse_one_is_held(scene: Evaluated) -> None:
    run_id = scene.evaluate()
    compared = scene.compare(run_id, 3)
    assert compared.verdict == "pass"
    decision = scene.judge(run_id, compared)
    assert decision.verdict == "pass"
    assert any(reason.startswith("champion: not worse") for reason in decision.reasons)

    other = Evaluated()
    run_id = other.evaluate(worse=0.6)
    compared = other.compare(run_id, 3)
    assert compared.verdict == "worse"
    assert other.judge(run_id, compared).verdict == "hold"


def test_a_champion_that_cannot_answer_is_told_and_does_not_bar_its_successor(
    scene: Evaluated,
) -> None:
    run_id = scene.evaluate(champion="failed")
    compared = scene.compare(run_id, 3)
    assert compared.verdict == "champion_failed"
    decision = scene.judge(run_id, compared)
    assert decision.verdict == "pass"
    assert "no module" in decision.reasons[-1]


@pytest.mark.parametrize(("champion", "version"), [("evaluated", 3), ("absent", None)])
def test_the_registry_can_summarise_what_was_written(
    scene: Evaluated, champion: str, version: int | None
) -> None:
    compared = scene.compare(scene.evaluate(champion=champion), version)
    document = json.loads(scene.objects.read(compared.comparison_uri))
    found = document if document["verdict"] != "no_champion" else None
    evaluation = json.loads(scene.objects.read(compared.evaluation_uri))
    summary = summarize(evaluation, found, version)
    assert (summary.comparison is None) == (version is None)


@pytest.mark.parametrize(
    "name", ["baseline.json", "evaluation.json", "predictions.csv", "manifest.json"]
)
def test_a_file_that_was_changed_after_the_job_is_refused(scene: Evaluated, name: str) -> None:
    run_id = scene.evaluate()
    scene.objects.write(f"{scene.base}/{name}", b"{}")
    with pytest.raises(EvidenceIncompleteError):
        scene.compare(run_id, 3)


def test_a_comparison_of_another_evaluation_is_refused(scene: Evaluated) -> None:
    run_id = scene.evaluate()
    compared = scene.compare(run_id, 3)
    scene.objects.write(compared.evaluation_uri, b"{}")
    with pytest.raises(EvidenceIncompleteError):
        scene.judge(run_id, compared)


def test_an_unknown_run_is_refused(scene: Evaluated) -> None:
    run_id = scene.evaluate()
    with pytest.raises((MalformedEventError, EvidenceIncompleteError)):
        scene.compare("0123456789ab-1", 3)
    with pytest.raises(MalformedEventError):
        scene.judge("0123456789ab-1", scene.compare(run_id, 3))


def _by_time() -> Evaluated:
    """A scene of a project whose later rows judge."""
    declared = declaration(split={"by": "time", "horizon_days": 28})
    data = declared["data"]
    times = [{"name": name, "type": "timestamp"} for name in ("asked_at", "known_at")]
    data |= {"columns": [*data["columns"], *times], "keep": "all",
             "prediction_time": "asked_at", "label_known_at": "known_at"}  # fmt: skip
    return Evaluated(project=parse_project(declared))


@pytest.mark.parametrize(("days", "verdict"), [(28, "pass"), (7, "inconclusive")])
def test_later_rows_are_compared_by_their_days(days: int, verdict: str) -> None:
    scene = _by_time()
    run_id = scene.evaluate(asked_on=[date(2026, 5, 1 + n % days) for n in range(ROWS)])
    compared = scene.compare(run_id, 3)
    document = json.loads(scene.objects.read(compared.comparison_uri))
    assert (compared.verdict, document["days"]) == (verdict, days)
    reasons = scene.judge(run_id, compared).reasons
    told = "7 days judge in blocks of 2, at least 8 are needed"
    assert any(told in reason for reason in reasons) is (days == 7)


def test_later_rows_without_their_days_are_no_evidence() -> None:
    scene = _by_time()
    with pytest.raises(EvidenceIncompleteError, match="do not say when each row was asked for"):
        scene.compare(scene.evaluate(), 3)


def _dataset(scene: Evaluated, name: str, border: str) -> str:
    uri = f"s3://{DATA}/datasets/diabetes/{name}/manifest.json"
    split = {"by": "time", "border": f"{border}T00:00:00.000+00:00"}
    scene.objects.write(uri, json.dumps({"split": split}).encode())
    return uri


def _with_champion(scene: Evaluated, manifest_uri: str) -> None:
    key = {"project": "diabetes", "item": version_item(3)}
    scene.state.put(Table.VERSIONS, {**key, "manifest_uri": manifest_uri})


def test_a_champion_that_trained_before_the_rows_that_judge_is_compared(scene: Evaluated) -> None:
    run_id = scene.evaluate()
    _with_champion(scene, _dataset(scene, "old", "2026-04-30"))
    compared = scene.compare(run_id, 3, _dataset(scene, "new", "2026-05-01"))
    document = json.loads(scene.objects.read(compared.comparison_uri))
    assert (compared.verdict, document["champion_saw_rows"]) == ("pass", False)
    assert scene.judge(run_id, compared).quorum == 1


def test_a_champion_that_trained_on_the_rows_that_judge_is_not_compared(scene: Evaluated) -> None:
    run_id = scene.evaluate(worse=0.4)
    _with_champion(scene, _dataset(scene, "old", "2026-05-02"))
    compared = scene.compare(run_id, 3, _dataset(scene, "new", "2026-05-01"))
    document = json.loads(scene.objects.read(compared.comparison_uri))
    assert (compared.verdict, document["champion_saw_rows"]) == ("champion_failed", True)
    assert document["champion_seen_rows"] == ROWS
    assert "its own reach until 2026-05-02" in document["champion_failure"]
    decision = scene.judge(run_id, compared)
    assert decision.quorum == 2
    assert any("cannot judge the champion" in reason for reason in decision.reasons)


def _by_entity(scene: Evaluated, name: str, salt: str) -> str:
    uri = f"s3://{DATA}/datasets/diabetes/{name}/manifest.json"
    split = {"by": "entity", "salt": salt, "traffic": 0.3, "heldout": 0.3}
    scene.objects.write(uri, json.dumps({"split": split}).encode())
    return uri


def test_a_champion_of_another_salt_is_not_compared_and_two_people_hear_why(
    scene: Evaluated,
) -> None:
    run_id = scene.evaluate()
    _with_champion(scene, _by_entity(scene, "old", "before"))
    compared = scene.compare(run_id, 3, _by_entity(scene, "new", "steward"))
    document = json.loads(scene.objects.read(compared.comparison_uri))
    assert compared.verdict == "champion_failed"
    assert 0 < document["champion_seen_rows"] < ROWS
    decision = scene.judge(run_id, compared)
    assert decision.quorum == 2
    told = f"may have trained on {document['champion_seen_rows']} of {ROWS} rows"
    [reason] = [reason for reason in decision.reasons if told in reason]
    assert "split.salt was before and is steward" in reason


def test_a_champion_whose_manifest_is_gone_is_compared(scene: Evaluated) -> None:
    run_id = scene.evaluate()
    _with_champion(scene, f"s3://{DATA}/datasets/x/manifest.json")
    assert scene.compare(run_id, 3, _dataset(scene, "new", "2026-05-01")).verdict == "pass"
