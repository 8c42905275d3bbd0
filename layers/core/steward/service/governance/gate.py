"""Use case: judge a candidate by its policy, and keep what the verdict follows from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.contracts.steps.governance import GateDecision, JudgeCandidate
from steward.domain.digests import canonical_json
from steward.ports import Clock, ObjectStore, StateStore
from steward.service.pinned import pinned_run
from steward.service.policy_in_force import pinned_policy_of, waivers_of

if TYPE_CHECKING:
    from steward.domain.policy.findings import Findings, Judgement
    from steward.domain.policy.in_force import PinnedPolicy

DOCUMENT_VERSION = "1"


def judge_candidate(
    command: JudgeCandidate,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    artifacts_bucket: str,
) -> GateDecision:
    """Read the evidence, judge it, and keep findings and requirements under their digest.

    The same evidence, policy and waivers give the same bytes at the same place, so that a task
    that is tried again writes nothing new.

    Raises:
        EvidenceIncompleteError: A file is missing, has not the agreed shape, differs from its
            digest, or the comparison was made from another evaluation.
    """
    from steward.domain.policy.judging import judge_policy  # large: paid when a gate judges
    from steward.domain.policy.waivers import in_force
    from steward.service.governance.evidence_findings import Sources, findings_of

    run = pinned_run(state, command.project, command.run_id)
    policy = pinned_policy_of(run.item, run.project)
    waivers = in_force(
        waivers_of(state, command.project), now=clock.now(),
        author=str(run.item.get("author", "")), rules=policy.requirements.waivers,
        run_id=command.run_id,
    )  # fmt: skip
    sources = Sources(command.evaluation_uri, command.comparison_uri, command.manifest_uri)
    findings = findings_of(sources, run.project, waivers, objects)
    judged = judge_policy(findings, policy.requirements)
    uri = (
        f"s3://{artifacts_bucket}/decisions/{command.project}/{command.run_id}/"
        f"gate-{judged.inputs_digest[:16]}.json"
    )
    objects.write(uri, canonical_json(_document(command, findings, policy, judged)))
    return GateDecision(
        verdict="hold" if judged.verdict == "hold" else "pass",
        reasons=[f"{rule.rule}: {rule.message}" for rule in judged.rules],
        inputs_digest=judged.inputs_digest,
        rules=[rule.model_dump(mode="json", exclude_none=True) for rule in judged.rules],
        quorum=judged.quorum,
        policy={"name": policy.name, "digest": policy.digest, "tier": policy.tier},
        inputs_uri=uri,
        waivers=sorted({rule.waived_by for rule in judged.rules if rule.waived_by}),
    )


def _document(
    command: JudgeCandidate, findings: Findings, policy: PinnedPolicy, judged: Judgement
) -> dict[str, Any]:
    return {
        "schema_version": DOCUMENT_VERSION,
        "decision": "gate",
        "project": command.project,
        "run_id": command.run_id,
        "sources": {
            "evaluation_uri": command.evaluation_uri,
            "comparison_uri": command.comparison_uri,
            "manifest_uri": command.manifest_uri,
        },
        "policy": policy.model_dump(mode="json"),
        "findings": findings.model_dump(mode="json"),
        "judgement": judged.model_dump(mode="json"),
    }
