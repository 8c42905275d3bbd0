"""A registry on fakes: a run's artifacts in place, and the steps of a version's life."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from steward.contracts.approval import DecideVersion
from steward.contracts.events import ApprovalRequested, VersionStaged
from steward.contracts.steps.registry import (
    BaselineReference,
    GateResult,
    RegisteredVersion,
    RegisterVersion,
)
from steward.domain.approvals import Decision
from steward.domain.versions import version_item
from steward.ports import Item, Table
from steward.service.registry.decisions import decide_version
from steward.service.registry.registration import register_version
from steward.service.registry.staging_evidence import record_staging_evidence
from support.fakes import FakeClock, FakeIds, FakeObjects, FakeRegistry, FakeState

PROJECT = "diabetes"
RUN = "3f9a1c0b7d2e-1"
BUCKET = "artifacts"
AUTHOR = "000000000000/tess"
PERSON_ROLES = frozenset({"Approver"})


def user(name: str) -> str:
    """Return the ARN of an IAM user."""
    return f"arn:aws:iam::000000000000:user/{name}"


def session(role: str, name: str) -> str:
    """Return the ARN of a role session."""
    return f"arn:aws:sts::000000000000:assumed-role/{role}/{name}"


CONFIG: dict[str, Any] = {
    "project": PROJECT,
    "description": "Progression of diabetes above 140 within a year",
    "owner": "ward-12",
    "data": {
        "entity_id": "patient_id",
        "label": {"name": "progressed"},
        "columns": [
            {"name": "patient_id", "type": "string"},
            {"name": "age", "type": "integer"},
            {"name": "progressed", "type": "integer"},
        ],
    },
    "approval": {"lifetime_s": 86_400},
}


def metrics(brier: float) -> list[dict[str, Any]]:
    """Return metrics as ``evaluation.json`` has them."""
    return [
        {"metric": "brier", "value": brier, "lower": brier - 0.02, "upper": brier + 0.02},
        {"metric": "roc_auc", "value": 0.83, "lower": 0.75, "upper": 0.9},
        {
            "metric": "log_loss",
            "value": None,
            "lower": None,
            "upper": None,
            "undefined_because": "an answer of exactly 0",
        },
    ]


def evaluation(*, champion: bool) -> dict[str, Any]:
    """Return the content of an ``evaluation.json``."""
    slices = [
        {"column": "sex", "value": "1", "rows": 62, "judged": True, "metrics": metrics(0.17)},
        {"column": "age", "value": ">= 60", "rows": 14, "judged": False, "metrics": metrics(0.2)},
    ]
    beside = {"status": "evaluated", "evaluation": {"rows": 118, "confidence": 0.95,
              "metrics": metrics(0.18)}} if champion else {"status": "absent"}  # fmt: skip
    return {
        "rows": 118,
        "confidence": 0.95,
        "metrics": metrics(0.1712),
        "slices": slices,
        "champion": beside,
    }


def comparison(evaluation_sha256: str, *, status: str) -> dict[str, Any]:
    """Return the content of a ``comparison.json``."""
    document: dict[str, Any] = {"status": status, "evaluation_sha256": evaluation_sha256}
    if status == "champion_failed":
        document["champion_failure"] = "KeyError: 's6'"
    if status == "compared":
        document |= {
            "verdict": "pass",
            "superior": False,
            "rows": 118,
            "candidate_loss": 0.1712,
            "champion_loss": 0.1794,
            "difference": -0.0082,
            "lower": -0.0191,
            "upper": 0.0026,
            "slices": [
                {"column": "age", "value": ">= 60", "rows": 14, "difference": 0.003,
                 "lower": None, "verdict": "not_judged"},
                {"column": "sex", "value": "1", "rows": 62, "difference": -0.011,
                 "lower": -0.03, "verdict": "not_proved_worse"},
                {"column": "sex", "value": "2", "rows": 56, "difference": 0.0012,
                 "lower": -0.02, "verdict": "not_proved_worse"},
            ],
            "settings": {"loss": "brier", "margin": 0.02, "confidence": 0.95},
        }  # fmt: skip
    return document


EXPLANATION = json.dumps({
    "schema_version": "1",
    "features": [{"name": "bmi", "share": 0.42}, {"name": "age", "share": 0.3},
                 {"name": "bp", "share": 0.2}, {"name": "sex", "share": 0.08}],
}).encode()  # fmt: skip
"""As much of ``explanation.json`` as the registry reads."""


@dataclass
class Scene:
    """The ports of the registry's use cases."""

    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)

    def command(self, run: str = RUN, *, author: str = AUTHOR, champion: int | None = None,
                status: str | None = None, **config: Any) -> RegisterVersion:  # fmt: skip
        """Put a run and its artifacts in place; return the task's input."""
        declared = {**CONFIG, **config}
        self.state.put(Table.RUNS, {"project": PROJECT, "run_id": run, "config": declared})
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": declared})
        base = f"s3://{BUCKET}/evaluations/{PROJECT}/{run}"
        found = status or ("compared" if champion else "no_champion")
        content = json.dumps(evaluation(champion=found == "compared")).encode()
        digest = self.objects.write(f"{base}/evaluation.json", content)
        document = json.dumps(comparison(digest, status=found)).encode()
        self.objects.write(f"{base}/comparison.json", document)
        kept = self.objects.write(f"{base}/baseline.json", b'{"format": 1}')
        why = self.objects.write(f"{base}/explanation.json", EXPLANATION)
        self.objects.write(
            f"s3://{BUCKET}/models/{run}/model.tar.gz", b"a model of " + run.encode()
        )
        self.objects.write(f"s3://data/datasets/{PROJECT}/d1/manifest.json", b'{"rows": 300}')
        return RegisterVersion(
            project=PROJECT, run_id=run, correlation_id=run, author=author,
            config_digest="c" * 64, code_digest="d" * 64,
            artifact_uri=f"s3://{BUCKET}/models/{run}/model.tar.gz",
            job_image="local/steward-jobs@sha256:" + "0" * 64,
            dataset_id="d1", manifest_uri=f"s3://data/datasets/{PROJECT}/d1/manifest.json",
            evaluation_uri=f"{base}/evaluation.json", comparison_uri=f"{base}/comparison.json",
            champion_version=champion,
            baseline=BaselineReference(uri=f"{base}/baseline.json", digest=kept),
            explanation=BaselineReference(uri=f"{base}/explanation.json", digest=why),
            gate=GateResult(
                verdict="pass",
                reasons=["gate.brier: brier 0.1712 keeps its bound"],
                inputs_digest="e" * 64,
                rules=[
                    {"rule": "gate.brier", "verdict": "pass", "effect": "pass",
                     "message": "brier 0.1712 keeps its bound"}
                ],
                policy={"name": "platform", "tier": "limited", "digest": "f" * 64},
            ),
        )  # fmt: skip

    def register(self, run: str = RUN, **about: Any) -> RegisteredVersion:
        """Register the candidate of a run."""
        return self.run_task(self.command(run, **about))

    def run_task(self, command: RegisterVersion) -> RegisteredVersion:
        """Run the registering task."""
        return register_version(
            command, state=self.state, registry=self.registry, clock=self.clock, ids=self.ids,
            environment="dev",
        )  # fmt: skip

    def staged(self, version: int = 1) -> VersionStaged:
        """Put a smoke report in place; return the event that tells of it."""
        uri = f"s3://{BUCKET}/evidence/{PROJECT}/{version}/smoke.json"
        digest = self.objects.write(uri, b'{"checks": []}')
        return VersionStaged(
            version=version, endpoint=f"dev-{PROJECT}-v{version}-staging", smoke_uri=uri,
            smoke_digest=digest, summary={"checks": 14, "passed": 14, "latency_ms_p95": 41.25},
        )  # fmt: skip

    def stage(self, version: int = 1) -> ApprovalRequested:
        """Freeze the evidence of a registered version; return the request."""
        self.freeze(self.staged(version))
        request = self.state.named("ApprovalRequested")[-1].data
        assert isinstance(request, ApprovalRequested)
        return request

    def freeze(self, staged: VersionStaged) -> str:
        """Handle a ``VersionStaged``."""
        return record_staging_evidence(
            PROJECT, staged, causation_id="e1", state=self.state, objects=self.objects,
            clock=self.clock, ids=self.ids, artifacts_bucket=BUCKET,
        )  # fmt: skip

    def pending(self, run: str = RUN, **about: Any) -> ApprovalRequested:
        """Bring a new version to where a person decides."""
        return self.stage(self.register(run, **about).version)

    def decide(self, caller: str, digest: str, decision: Decision = "approve", *,
               version: int = 1, comment: str = "") -> dict[str, Any]:  # fmt: skip
        """Send a decision as ``caller``."""
        command = DecideVersion(
            project=PROJECT, version=version, evidence_digest=digest, decision=decision,
            comment=comment,
        )  # fmt: skip
        return decide_version(
            command, caller_arn=caller, request_id="r1", person_roles=PERSON_ROLES,
            state=self.state, objects=self.objects, clock=self.clock, ids=self.ids,
        )  # fmt: skip

    def item(self, version: int = 1) -> Item:
        """Return a version's record."""
        found = self.state.get(Table.VERSIONS, {"project": PROJECT, "item": version_item(version)})
        assert found is not None
        return found

    def package(self, version: int = 1) -> dict[str, Any]:
        """Return a version's model package."""
        return self.registry.packages[self.item(version)["model_package_arn"]]
