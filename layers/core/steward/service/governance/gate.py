"""Use case: judge a candidate by its project's gate, on evidence that is what it says it is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from steward.contracts.steps.governance import GateDecision, JudgeCandidate
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.gate import (
    ChampionFailed,
    ChampionFinding,
    MetricFinding,
    SliceFinding,
    VersusChampion,
    judge,
)
from steward.ports import ObjectStore, StateStore
from steward.service.pinned import pinned_run


def judge_candidate(
    command: JudgeCandidate, *, state: StateStore, objects: ObjectStore
) -> GateDecision:
    """Read evaluation and comparison, and judge them.

    Raises:
        EvidenceIncompleteError: A file is missing, has not the agreed shape, or the comparison
            was made from another evaluation.
    """
    run = pinned_run(state, command.project, command.run_id)
    evaluation_bytes = objects.read(command.evaluation_uri)
    evaluation = _parsed(evaluation_bytes, command.evaluation_uri)
    comparison = _parsed(objects.read(command.comparison_uri), command.comparison_uri)
    digest = hashlib.sha256(evaluation_bytes).hexdigest()
    if comparison.get("evaluation_sha256") != digest:
        raise EvidenceIncompleteError(
            "the comparison was made from another evaluation", field="evaluation_sha256",
            value=comparison.get("evaluation_sha256"), allowed=digest,
        )  # fmt: skip
    try:
        metrics = {
            entry["metric"]: MetricFinding(
                value=entry["value"], lower=entry["lower"], upper=entry["upper"],
                undefined_because=entry.get("undefined_because"),
            )
            for entry in evaluation["metrics"]
        }  # fmt: skip
        champion = _champion(comparison)
    except (KeyError, TypeError, ValidationError) as error:
        raise EvidenceIncompleteError(
            f"the evidence has not the agreed shape: {error!r}", field="evidence"
        ) from None
    judged = judge(metrics, champion, run.project.gates, run.project.risk_tier)
    return GateDecision(
        verdict=judged.verdict,
        reasons=[f"{reason.rule}: {reason.message}" for reason in judged.reasons],
        inputs_digest=judged.inputs_digest,
    )


def _champion(document: dict[str, Any]) -> ChampionFinding:
    status = document["status"]
    if status == "no_champion":
        return None
    if status == "champion_failed":
        return ChampionFailed(reason=document["champion_failure"] or "no answer")
    return VersusChampion(
        verdict=document["verdict"], difference=document["difference"], lower=document["lower"],
        upper=document["upper"], margin=document["settings"]["margin"], rows=document["rows"],
        slices=[SliceFinding.model_validate(slice_) for slice_ in document["slices"]],
    )  # fmt: skip


def _parsed(content: bytes, uri: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise EvidenceIncompleteError(f"{uri} is not a JSON object", field="evidence", value=uri)
    return document
