"""The policy's judgement of what an archive brought: bias and explanation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steward.contracts.steps.registry import GateResult
from steward.domain.digests import canonical_json
from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.ports import Clock, Item, ObjectStore, StateStore
from steward.service.policy_in_force import waivers_of

if TYPE_CHECKING:
    from steward.contracts.steps.registry import RegisterVersion
    from steward.domain.policy.findings import Findings, Judgement
    from steward.domain.policy.in_force import PinnedPolicy

VERDICT = "not_judged"
"""Of the gate of an import: nothing here compared it with the version in production."""


def judge_import(
    command: RegisterVersion,
    documents: Mapping[str, Mapping[str, Any]],
    evidence: Mapping[str, str],
    policy: PinnedPolicy,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    bucket: str,
) -> GateResult:
    """Judge what was brought, keep findings and requirements, and return the gate's result.

    Args:
        command: The registration, with the reason why no gate has judged it.
        documents: ``bias`` and ``explanation``, as far as they came.
        evidence: SHA-256 of each part that came.
        policy: What the policy in force requires of the project.
        state: Where waivers are.
        objects: Where the decision is kept.
        clock: Decides which waivers are in force.
        bucket: Of artifacts.

    Raises:
        EvidenceIncompleteError: A document has not the agreed shape.
        RejectedError: A rule holds that no waiver in force names.
    """
    from steward.domain.policy.judging import judge_imported
    from steward.domain.policy.waivers import in_force

    waivers = in_force(
        waivers_of(state, command.project), now=clock.now(), author=command.author,
        rules=policy.requirements.waivers, run_id=command.run_id,
    )  # fmt: skip
    findings = _findings(documents, evidence, waivers)
    judged = judge_imported(findings, policy.requirements)
    held = [rule for rule in judged.rules if rule.effect == "hold"]
    if held:
        raise RejectedError(
            f"the policy holds this import: {held[0].message}", field=held[0].rule,
            value=[rule.rule for rule in held],
            allowed=f"evidence that keeps {policy.name}, tier {policy.tier}; or a waiver of each",
        )  # fmt: skip
    uri = (
        f"s3://{bucket}/decisions/{command.project}/{command.run_id}/"
        f"gate-{judged.inputs_digest[:16]}.json"
    )
    objects.write(uri, canonical_json(_document(command, findings, policy, judged)))
    return GateResult(
        verdict=VERDICT,
        reasons=[
            *command.gate.reasons, *(f"{rule.rule}: {rule.message}" for rule in judged.rules),
        ],
        inputs_digest=judged.inputs_digest,
        rules=[rule.model_dump(mode="json", exclude_none=True) for rule in judged.rules],
        quorum=judged.quorum,
        policy={"name": policy.name, "digest": policy.digest, "tier": policy.tier},
        inputs_uri=uri,
        waivers=sorted({rule.waived_by for rule in judged.rules if rule.waived_by}),
    )  # fmt: skip


def _findings(
    documents: Mapping[str, Mapping[str, Any]], evidence: Mapping[str, str], waivers: Any
) -> Findings:
    from steward.domain.policy.documents import bias_findings, explanation_finding
    from steward.domain.policy.findings import Findings

    bias, explanation = documents.get("bias"), documents.get("explanation")
    try:
        return Findings(
            evidence=evidence,
            bias=bias_findings(bias) if bias is not None else None,
            explanation=explanation_finding(explanation) if explanation is not None else None,
            waivers=waivers,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceIncompleteError(
            f"what was brought has not the agreed shape: {error!r}"[:500],
            field=", ".join(documents),
            allowed="as the evaluation job writes it",
        ) from None


def _document(
    command: RegisterVersion, findings: Findings, policy: PinnedPolicy, judged: Judgement
) -> Item:
    named = {"baseline": command.baseline, "bias": command.bias, "explanation": command.explanation}
    return {
        "schema_version": "1",
        "decision": "import",
        "project": command.project,
        "run_id": command.run_id,
        "sources": {
            "evaluation_uri": command.evaluation_uri,
            "manifest_uri": command.manifest_uri if "dataset" in findings.evidence else None,
            **{f"{name}_uri": one.uri for name, one in named.items() if one is not None},
        },
        "policy": policy.model_dump(mode="json"),
        "findings": findings.model_dump(mode="json"),
        "judgement": judged.model_dump(mode="json"),
    }
