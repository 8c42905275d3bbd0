"""Recomputing every decision on a version from the inputs that were kept with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from steward.domain.approvals import Approval, Ballot, rule_on, vote_digest
from steward.domain.errors import EvidenceIncompleteError, StewardError
from steward.domain.policy.findings import Findings
from steward.domain.policy.in_force import PinnedPolicy
from steward.domain.policy.judging import judge_imported, judge_policy
from steward.domain.policy.strictness import requirements_digest
from steward.domain.versions import VersionState
from steward.ports import Item, ObjectStore


@dataclass(frozen=True)
class Replayed:
    """One decision, computed again.

    Attributes:
        decision: Such as ``gate`` or ``approval 1``.
        agrees: Whether everything came out as it is on record.
        recorded: What is on record.
        recomputed: What the kept inputs give now.
        differences: What differs, one sentence each.
    """

    decision: str
    agrees: bool
    recorded: str
    recomputed: str
    differences: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def replay_version(item: Item, objects: ObjectStore) -> list[Replayed]:
    """Return all decisions on a version, recomputed: the gate's, then each vote.

    Args:
        item: The version's record.
        objects: Where the inputs and the evidence lie.
    """
    return [_gate(item, objects), *_votes(item)]


def _gate(item: Item, objects: ObjectStore) -> Replayed:
    gate = item.get("gate") or {}
    recorded, uri = str(gate.get("verdict")), gate.get("inputs_uri")
    if not uri:
        told = "no inputs were kept: the version is older than this record"
        return Replayed("gate", False, recorded, "unknown", [told])
    try:
        document = json.loads(objects.read(uri))
        findings = Findings.model_validate(document["findings"])
        policy = PinnedPolicy.model_validate(document["policy"])
    except (ValueError, KeyError, TypeError, ValidationError, EvidenceIncompleteError) as error:
        told = f"{uri} cannot be read: {str(error)[:300]}"
        return Replayed("gate", False, recorded, "unknown", [told])
    imported = document.get("decision") == "import"
    judged = (judge_imported if imported else judge_policy)(findings, policy.requirements)
    passed = "not_judged" if imported else "pass"
    recomputed = "hold" if judged.verdict == "hold" else passed
    differences = _input_differences(item, gate, policy, document["sources"], findings, objects)
    if judged.inputs_digest != gate.get("inputs_digest"):
        differences.append(
            f"the kept inputs have digest {judged.inputs_digest}, on record is "
            f"{gate.get('inputs_digest')}"
        )
    if recomputed != recorded:
        differences.append(f"the verdict is {recomputed}, on record is {recorded}")
    reasons = gate.get("reasons") or []
    if imported:  # the first tells where it came from
        reasons = reasons[1:]
    differences += _rule_differences(
        reasons, [f"{rule.rule}: {rule.message}" for rule in judged.rules]
    )
    return Replayed("gate", not differences, recorded, recomputed, differences)


def _input_differences(
    item: Item, gate: dict[str, Any], policy: PinnedPolicy, sources: dict[str, Any],
    findings: Findings, objects: ObjectStore,
) -> list[str]:  # fmt: skip
    differences = []
    digest = requirements_digest(policy.requirements)
    for where, known in (
        ("in the record", (gate.get("policy") or {}).get("digest")),
        ("pinned on the version", (item.get("policy") or {}).get("digest")),
    ):
        if known is not None and known != digest:
            differences.append(f"the kept policy has digest {digest}, {where} is {known}")
    for part in ("evaluation", "comparison", "dataset", "baseline", "bias", "explanation"):
        uri = sources.get("manifest_uri" if part == "dataset" else f"{part}_uri")
        if not uri:
            continue
        bucket, _, key = str(uri).removeprefix("s3://").partition("/")
        try:
            found = objects.sha256(bucket, key)
        except StewardError as error:
            differences.append(f"{part}: {error}")
            continue
        if found != findings.evidence.get(part):
            differences.append(
                f"{part} evidence {uri} has digest {found}, judged was "
                f"{findings.evidence.get(part)}"
            )
    return differences


def _rule_differences(recorded: list[str], recomputed: list[str]) -> list[str]:
    gone = [f"on record only: {told}" for told in recorded if told not in recomputed]
    return gone + [f"recomputed only: {told}" for told in recomputed if told not in recorded]


def _votes(item: Item) -> list[Replayed]:
    """Recompute each vote on the ballot as it was before it."""
    whole = Ballot.model_validate(item)
    state, found = VersionState.PENDING, []
    for index, vote in enumerate(whole.approvals):
        ballot = whole.model_copy(update={"state": state, "approvals": whole.approvals[:index]})
        differences = []
        digest = vote_digest(ballot, vote, vote.evidence_digest or ballot.evidence_digest or "")
        if vote.inputs_digest is not None and digest != vote.inputs_digest:
            differences.append(
                f"the inputs of this vote have digest {digest}, on record is {vote.inputs_digest}"
            )
        try:
            ruling = rule_on(
                ballot, vote, vote.evidence_digest or ballot.evidence_digest or "",
                datetime.fromisoformat(vote.at),
            )  # fmt: skip
            if not ruling.recorded:
                differences.append("the vote repeats an earlier one and would not be recorded")
            state, recomputed = ruling.state, ruling.state.value
        except StewardError as error:
            recomputed = "refused"
            differences.append(f"the vote would be refused: {error}")
        recorded = _recorded_after(whole, index)
        if recorded is not None and recomputed not in (recorded, "refused"):
            differences.append(f"the version would be {recomputed}, on record is {recorded}")
        named = f"{vote.decision} by {vote.identity}"
        found.append(
            Replayed(
                f"vote {index + 1}: {named}", not differences, recorded or "as it went on",
                recomputed, differences,
            )
        )  # fmt: skip
    return found


_APPROVED_SINCE = frozenset(
    {
        VersionState.APPROVED, VersionState.RELEASING, VersionState.PRODUCTION,
        VersionState.RETAINED, VersionState.ROLLED_BACK,
    }
)  # fmt: skip


def _recorded_after(ballot: Ballot, index: int) -> str | None:
    """Return the state that the record says for after this vote, where it can tell."""
    last: Approval = ballot.approvals[-1]
    if index < len(ballot.approvals) - 1:
        return None
    if ballot.state in _APPROVED_SINCE and last.decision == "approve":
        return VersionState.APPROVED.value
    if ballot.state in (VersionState.PENDING, VersionState.REJECTED):
        return ballot.state.value
    return None
