"""Every decision can be computed again; a changed input is found and named."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from steward.contracts.steps.governance import JudgeCandidate
from steward.contracts.steps.registry import GateResult
from steward.ports import Table
from steward.service.governance.gate import judge_candidate
from steward.service.governance.replay import Replayed, replay_version
from support.registry_scene import BUCKET, PROJECT, RUN, Scene, comparison, user

GATES = [{"metric": "brier", "max": 0.25}]


class Decided(Scene):
    """A version that was judged by the real gate and approved."""

    def played(self) -> Decided:
        command = self.command(gates=GATES)
        judged = judge_candidate(
            JudgeCandidate(
                project=PROJECT, run_id=RUN, correlation_id=RUN,
                evaluation_uri=command.evaluation_uri,
                comparison_uri=str(command.comparison_uri), manifest_uri=command.manifest_uri,
            ),
            state=self.state, objects=self.objects, clock=self.clock, artifacts_bucket=BUCKET,
        )  # fmt: skip
        self.decision = judged
        gate = GateResult.model_validate(judged.model_dump(mode="json"))
        self.run_task(command.model_copy(update={"gate": gate}))
        self.decide(user("ana"), self.stage().evidence_digest)
        return self

    def replay(self) -> dict[str, Replayed]:
        return {
            one.decision.split(":")[0]: one for one in replay_version(self.item(), self.objects)
        }

    def set_item(self, **changes: Any) -> None:
        self.state.put(Table.VERSIONS, {**self.item(), **changes})


@pytest.fixture
def scene() -> Decided:
    scene = Decided()
    base = f"s3://{BUCKET}/evaluations/{PROJECT}/{RUN}"
    scene.command(gates=GATES)
    baseline = scene.objects.read(f"{base}/baseline.json")
    digest = hashlib.sha256(baseline).hexdigest()
    files = {"files": {"baseline.json": {"sha256": digest}}}
    scene.objects.write(f"{base}/manifest.json", json.dumps(files).encode())
    return scene.played()


def test_all_decisions_come_out_as_they_are_on_record(scene: Decided) -> None:
    found = scene.replay()
    assert list(found) == ["gate", "vote 1"]
    assert all(one.agrees for one in found.values()), found
    assert found["gate"].recomputed == "pass"
    assert found["vote 1"].recomputed == "approved"


def test_a_changed_kept_input_is_named(scene: Decided) -> None:
    uri = str(scene.decision.inputs_uri)
    document = json.loads(scene.objects.read(uri))
    document["findings"]["metrics"]["brier"]["value"] = 0.3
    scene.objects.write(uri, json.dumps(document).encode())
    gate = scene.replay()["gate"]
    assert not gate.agrees
    assert gate.recomputed == "hold"
    told = " ".join(gate.differences)
    assert "the kept inputs have digest" in told
    assert "above the maximum 0.25" in told


def test_a_changed_policy_is_named(scene: Decided) -> None:
    uri = str(scene.decision.inputs_uri)
    document = json.loads(scene.objects.read(uri))
    document["policy"]["requirements"]["quorum"] = 3
    scene.objects.write(uri, json.dumps(document).encode())
    told = " ".join(scene.replay()["gate"].differences)
    assert "the kept policy has digest" in told
    assert "pinned on the version" in told


def test_changed_evidence_is_named(scene: Decided) -> None:
    uri = str(scene.item()["comparison_uri"])
    scene.objects.write(uri, json.dumps(comparison("0" * 64, status="no_champion")).encode())
    gate = scene.replay()["gate"]
    assert [told.split()[0] for told in gate.differences] == ["comparison"]


def test_kept_inputs_that_are_gone_or_broken_are_told(scene: Decided) -> None:
    scene.objects.write(str(scene.decision.inputs_uri), b"{}")
    assert "cannot be read" in scene.replay()["gate"].differences[0]
    scene.set_item(gate={"verdict": "pass", "reasons": []})
    assert "no inputs were kept" in scene.replay()["gate"].differences[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"author": "000000000000/ana"}, "is the author"),
        ({"quorum": 2}, "would be pending, on record is approved"),
        ({"expires_at": "2020-01-01T00:00:00+00:00"}, "expired"),
    ],
)
def test_a_changed_record_of_a_vote_is_found(
    scene: Decided, change: dict[str, Any], told: str
) -> None:
    scene.set_item(**change)
    vote = scene.replay()["vote 1"]
    assert not vote.agrees
    assert "the inputs of this vote have digest" in vote.differences[0]
    assert told in " ".join(vote.differences)


def test_the_same_judgement_is_kept_at_the_same_place(scene: Decided) -> None:
    uri, before = scene.decision.inputs_uri, scene.objects.read(str(scene.decision.inputs_uri))
    again = Decided()
    again.objects = scene.objects
    command = again.command(gates=GATES)
    judged = judge_candidate(
        JudgeCandidate(
            project=PROJECT, run_id=RUN, correlation_id=RUN,
            evaluation_uri=command.evaluation_uri, comparison_uri=str(command.comparison_uri),
            manifest_uri=command.manifest_uri,
        ),
        state=again.state, objects=again.objects, clock=again.clock, artifacts_bucket=BUCKET,
    )  # fmt: skip
    assert judged.inputs_uri == uri
    assert scene.objects.read(str(uri)) == before
