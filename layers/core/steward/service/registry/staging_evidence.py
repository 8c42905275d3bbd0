"""Freezing the evidence of a version once it has proved itself in staging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from steward.contracts.events import ApprovalRequested, StagingFailed, VersionStaged
from steward.domain.approvals import reminder_moments
from steward.domain.bias.told import bias_lines
from steward.domain.errors import ConflictError, EvidenceIncompleteError
from steward.domain.evidence import (
    Dataset,
    Evidence,
    Gate,
    Reference,
    Staging,
    evidence_uri,
)
from steward.domain.model_summary import ModelSummary, summarize
from steward.domain.versions import UNPROVEN, VersionState
from steward.ports import Clock, Ids, Item, ObjectStore, StateStore
from steward.service.emission import Cause, event
from steward.service.pinned import pinned_run
from steward.service.policy_in_force import pinned_policy_of
from steward.service.registry.cards import card_of, write_card
from steward.service.registry.records import need_version
from steward.service.registry.transitions import told_change, transition

if TYPE_CHECKING:
    from steward.domain.project import Project

TOP_FEATURES = 3
"""Features that an approver is told of."""


def record_staging_evidence(
    project: str,
    staged: VersionStaged,
    *,
    causation_id: str,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
    artifacts_bucket: str,
) -> str:
    """Write ``evidence.json``, freeze its digest and ask for approval, in one commit.

    The same event again changes nothing: only a version in state ``registered`` is frozen.

    Returns:
        The state of the version afterwards.

    Raises:
        EvidenceIncompleteError: Something that the evidence names is missing or has changed.
        VersionNotFoundError: The project has no such version.
    """
    item = need_version(state, project, staged.version)
    if item["state"] != VersionState.REGISTERED:
        return str(item["state"])
    configured = pinned_run(state, project, str(item["run_id"])).project
    card = write_card(card_of(item, configured, objects, staged), objects, artifacts_bucket)
    evidence, summary = _assemble(item, staged, objects, card)
    uri = evidence_uri(artifacts_bucket, project, staged.version)
    objects.write(uri, evidence.content())
    policy = pinned_policy_of(item, configured).requirements
    lifetime_s = configured.approval.lifetime_s
    if policy.approval_lifetime_s is not None:
        lifetime_s = min(lifetime_s, policy.approval_lifetime_s)
    now = clock.now()
    expires_at = now + timedelta(seconds=lifetime_s)
    reminders = reminder_moments(
        now, lifetime_s, configured.approval.reminders, policy.remind_before_s
    )
    told = _told(item, configured, summary, staged, _moved_by(item, objects))
    if evidence.bias is not None:
        told["bias"] = _bias_told(objects, evidence.bias)
    request = ApprovalRequested(
        version=staged.version,
        evidence_digest=evidence.digest,
        evidence_uri=uri,
        expires_at=expires_at.isoformat(timespec="seconds"),
        quorum=item["quorum"],
        summary=told,
    )
    change = transition(
        item,
        VersionState.PENDING,
        clock,
        also={
            "card": card.model_dump(mode="json"),
            "evidence_digest": evidence.digest,
            "evidence_uri": uri,
            "expires_at": request.expires_at,
            "reminders": [moment.isoformat(timespec="seconds") for moment in reminders],
            "summary": told,
            "staging_endpoint": staged.endpoint,
        },
    )
    cause = Cause(project, str(item["correlation_id"]), causation_id)
    state.commit([change], [event(request, cause, clock, ids)])
    return VersionState.PENDING.value


def record_staging_failure(
    project: str,
    failed: StagingFailed,
    *,
    causation_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> str:
    """Mark a version whose staging failed; a version that got further stays as it is."""
    item = need_version(state, project, failed.version)
    if item["state"] != VersionState.REGISTERED:
        return str(item["state"])
    error = f"{failed.failed_state}: {failed.error}: {failed.cause}"[:1000]
    wanted = VersionState.STAGING_FAILED
    change = transition(item, wanted, clock, also={"staging_error": error})
    cause = Cause(project, str(item["correlation_id"]), causation_id)
    try:
        state.commit([change], [event(told_change(item, wanted, error), cause, clock, ids)])
    except ConflictError:
        return str(need_version(state, project, failed.version)["state"])
    return VersionState.STAGING_FAILED.value


def _assemble(
    item: Item, staged: VersionStaged, objects: ObjectStore, card: Reference
) -> tuple[Evidence, ModelSummary]:
    smoke = _reference(objects, staged.smoke_uri)
    if smoke.sha256 != staged.smoke_digest:
        raise EvidenceIncompleteError(
            f"{staged.smoke_uri} has digest {smoke.sha256}, but staging said {staged.smoke_digest}",
            field="smoke_digest", value=smoke.sha256, allowed=staged.smoke_digest,
        )  # fmt: skip
    evaluation = _reference(objects, item["evaluation_uri"])
    comparison: Mapping[str, Any] | None = None
    if item.get("comparison_uri"):
        comparison = _document(objects, item["comparison_uri"])
        if comparison.get("evaluation_sha256") != evaluation.sha256:
            raise EvidenceIncompleteError(
                "the comparison was made from another evaluation",
                field="evaluation_sha256", value=comparison.get("evaluation_sha256"),
                allowed=evaluation.sha256,
            )  # fmt: skip
    summary = summarize(
        _document(objects, item["evaluation_uri"]), comparison, item.get("champion_version")
    )
    evidence = Evidence(
        project=item["project"],
        version=item["version"],
        run_id=item["run_id"],
        author=item["author"],
        model_package_arn=item["model_package_arn"],
        code_digest=item["code_digest"],
        config_digest=item["config_digest"],
        job_image=item["job_image"],
        artifact=_reference(objects, item["artifact_uri"]),
        dataset=_dataset(objects, item),
        evaluation=evaluation,
        baseline=_registered(objects, item, "baseline"),
        bias=_registered(objects, item, "bias"),
        card=card,
        explanation=_registered(objects, item, "explanation"),
        metrics=[metric.model_dump(mode="json") for metric in summary.metrics],
        champion_version=item.get("champion_version"),
        comparison=(
            _reference(objects, item["comparison_uri"]) if item.get("comparison_uri") else None
        ),
        comparison_result=(
            summary.comparison.model_dump(mode="json") if summary.comparison else None
        ),
        gate=Gate.model_validate(item["gate"]),
        imported=item.get("imported"),
        staging=Staging(endpoint=staged.endpoint, smoke=smoke, summary=staged.summary),
    )
    return evidence, summary


def _dataset(objects: ObjectStore, item: Item) -> Dataset | None:
    if item["dataset_id"] == UNPROVEN:
        return None
    manifest = _reference(objects, item["manifest_uri"])
    return Dataset(dataset_id=item["dataset_id"], manifest=manifest)


def _registered(objects: ObjectStore, item: Item, name: str) -> Reference | None:
    """Return what was registered with the version, if it is still the same."""
    named = item.get(name)
    if not named:
        return None
    found = _reference(objects, named["uri"])
    if found.sha256 != named["digest"]:
        raise EvidenceIncompleteError(
            f"the {name} changed after the version was registered", field=name,
            value=found.sha256, allowed=named["digest"],
        )  # fmt: skip
    return found


def _bias_told(objects: ObjectStore, bias: Reference) -> list[str]:
    try:
        return bias_lines(_document(objects, bias.uri))
    except (KeyError, TypeError) as error:
        raise EvidenceIncompleteError(
            f"{bias.uri} has not the agreed shape: {error!r}", field="bias", value=bias.uri
        ) from None


def _reference(objects: ObjectStore, uri: str) -> Reference:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return Reference(uri=uri, sha256=objects.sha256(bucket, key))


def _document(objects: ObjectStore, uri: str) -> Mapping[str, Any]:
    try:
        document = json.loads(objects.read(uri))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise EvidenceIncompleteError(f"{uri} is not a JSON object", field="evidence", value=uri)
    return document


def _moved_by(item: Item, objects: ObjectStore) -> list[dict[str, Any]]:
    """Return the features that move the answers most, with their shares."""
    named = item.get("explanation")
    if not named:
        return []
    features = _document(objects, named["uri"]).get("features") or []
    return [{"name": one["name"], "share": one["share"]} for one in features[:TOP_FEATURES]]


def _told(
    item: Item,
    project: Project,
    summary: ModelSummary,
    staged: VersionStaged,
    moved_by: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "description": project.description,
        "owner": project.owner,
        "risk_tier": project.risk_tier,
        "author": item["author"],
        "run_id": item["run_id"],
        "gate": item["gate"]["reasons"],
        **_told_of_policy(item["gate"]),
        "staging": staged.summary,
        "moved_by": moved_by,
        **summary.model_dump(mode="json"),
    }


def _told_of_policy(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a decision must not miss: rules in doubt, waivers, the policy."""
    rules, policy = gate.get("rules") or [], gate.get("policy") or {}
    return {
        "escalated": [rule["rule"] for rule in rules if rule["effect"] == "quorum"],
        "waivers": [
            f"{rule['waived_by']} of {rule['rule']}" for rule in rules if rule.get("waived_by")
        ],
        "policy": f"{policy['name']}, tier {policy['tier']}" if policy else None,
    }
