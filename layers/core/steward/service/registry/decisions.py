"""What a person decides on a version, through the approval function URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from steward.contracts.approval import DecideVersion, ShowVersion
from steward.contracts.events import Event, VersionApproved, VersionRejected
from steward.domain.approvals import Approval, Ballot, Ruling, rule_on, vote_digest
from steward.domain.errors import ConflictError, EvidenceIncompleteError
from steward.domain.versions import VersionState
from steward.ports import Clock, Equals, Ids, Item, ObjectStore, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.policy_in_force import person_of
from steward.service.registry.records import ballot_of, need_version, version_key, versions_of
from steward.service.registry.transitions import transition

_ATTEMPTS = 5
_SUPERSEDES = frozenset({VersionState.APPROVED, VersionState.RELEASING, VersionState.PRODUCTION})
_SHOWN = (
    "run_id", "author", "evidence_digest", "evidence_uri", "expires_at",
    "model_package_arn", "created_at", "summary",
)  # fmt: skip


def show_version(query: ShowVersion, *, state: StateStore) -> dict[str, Any]:
    """Return a version as far as a decision needs it, with the digest that an approval names.

    Raises:
        VersionNotFoundError: The project has no such version.
    """
    return _view(need_version(state, query.project, query.version))


def decide_version(
    command: DecideVersion,
    *,
    caller_arn: str,
    request_id: str,
    person_roles: frozenset[str],
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
) -> dict[str, Any]:
    """Record a person's decision; with the last one needed, the version's state and its event.

    State, approvals and the event are one transaction on the approvals as they were read, so
    that of two people who decide at once both count. A decision sent twice is recorded once.

    Raises:
        NotAuthorizedError: The caller is no person, or the author who tries to approve.
        ApprovalRefusedError: The digest named is not the frozen one.
        EvidenceIncompleteError: The stored evidence is no longer what was frozen.
        ConflictError: The version's state or expiry does not allow a decision.
        VersionNotFoundError: The project has no such version.
    """
    identity = person_of(caller_arn, person_roles)
    for _ in range(_ATTEMPTS):
        item = need_version(state, command.project, command.version)
        ballot = ballot_of(item)
        vote = Approval(
            identity=identity,
            principal_arn=caller_arn,
            decision=command.decision,
            comment=command.comment,
            at=clock.now().isoformat(timespec="milliseconds"),
        )
        named = command.evidence_digest
        vote = vote.model_copy(
            update={"evidence_digest": named, "inputs_digest": vote_digest(ballot, vote, named)}
        )
        ruling = rule_on(ballot, vote, named, clock.now())
        if not ruling.recorded:
            return _view(item)
        if command.decision == "approve":
            check_not_superseded(state, ballot)
            check_evidence(item, objects)
            check_parts(item, objects)
        cause = Cause(command.project, item["correlation_id"], request_id, identity)
        events = _events(ballot, ruling, vote, cause, clock, ids)
        approvals = [approval.model_dump(mode="json") for approval in ruling.approvals]
        change = _recorded(item, ruling, approvals, clock)
        try:
            state.commit([change], events)
        except ConflictError:
            continue
        return _view({**item, **change.set})
    raise ConflictError(
        f"{command.project} {command.version} changed {_ATTEMPTS} times meanwhile; try again"
    )


def _recorded(item: Item, ruling: Ruling, approvals: list[dict[str, Any]], clock: Clock) -> Update:
    unchanged = Equals("approvals", item["approvals"])
    if ruling.state == item["state"]:
        key = version_key(str(item["project"]), int(item["version"]))
        expect = (Equals("state", item["state"]), unchanged)
        return Update(Table.VERSIONS, key, set={"approvals": approvals}, expect=expect)
    also = {"approvals": approvals}
    return transition(item, ruling.state, clock, also=also, expect=(unchanged,))


def check_evidence(item: Item, objects: ObjectStore) -> None:
    """Raise unless the stored evidence still has the digest that was frozen.

    Raises:
        EvidenceIncompleteError: It differs or is gone.
    """
    uri = str(item["evidence_uri"])
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found = objects.sha256(bucket, key)
    if found != item["evidence_digest"]:
        raise EvidenceIncompleteError(
            f"{uri} has digest {found}, but {item['evidence_digest']} was frozen",
            field="evidence_digest", value=found, allowed=str(item["evidence_digest"]),
        )  # fmt: skip


def superseded_by(versions: list[Item], version: int) -> int | None:
    """Return the newest version that makes an older one's request void, or None.

    A version that is newer and approved, in release or in production does: the older one was
    judged against a champion that is, or is about to be, none any more.
    """
    newer = [
        int(item["version"])
        for item in versions
        if int(item["version"]) > version and item["state"] in _SUPERSEDES
    ]
    return max(newer, default=None)


def check_not_superseded(state: StateStore, ballot: Ballot) -> None:
    """Raise where a newer version has been approved.

    Raises:
        ConflictError: It names the newer version.
    """
    newer = superseded_by(versions_of(state, ballot.project), ballot.version)
    if newer is not None:
        raise ConflictError(
            f"the request of {ballot.name} is superseded: version {newer} was approved meanwhile"
        )


def check_parts(item: Item, objects: ObjectStore) -> None:
    """Raise unless every object that the evidence names still has its digest.

    Raises:
        EvidenceIncompleteError: The first part that differs or is gone; the approval is void.
    """
    evidence = json.loads(objects.read(str(item["evidence_uri"])))
    for part, uri, digest in referenced(evidence):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        found = objects.sha256(bucket, key)
        if found != digest:
            raise EvidenceIncompleteError(
                f"{part} changed after it was frozen: {uri} has digest {found}",
                field=part, value=found, allowed=digest,
            )  # fmt: skip


def referenced(evidence: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield path, URI and SHA-256 of every object that a document of evidence names."""
    if not isinstance(evidence, dict):
        return
    if set(evidence) == {"uri", "sha256"}:
        yield path, evidence["uri"], evidence["sha256"]
        return
    for name in sorted(evidence):
        yield from referenced(evidence[name], f"{path}.{name}" if path else name)


def _events(
    ballot: Ballot, ruling: Ruling, vote: Approval, cause: Cause, clock: Clock, ids: Ids
) -> list[Event]:
    digest = ballot.evidence_digest or ""
    if ruling.state == ballot.state:
        return []
    if ruling.state == VersionState.REJECTED:
        rejected = VersionRejected(
            version=ballot.version, evidence_digest=digest, by=vote.identity, comment=vote.comment
        )
        return [event(rejected, cause, clock, ids)]
    decided = ballot.model_copy(update={"approvals": ruling.approvals})
    approved = VersionApproved(
        version=ballot.version, evidence_digest=digest, approvers=decided.approvers
    )
    return [event(approved, cause, clock, ids)]


def _view(item: Item) -> dict[str, Any]:
    ballot = ballot_of(item)
    return {
        "project": ballot.project,
        "version": ballot.version,
        "state": ballot.state.value,
        "quorum": ballot.needed,
        "approvals": [approval.model_dump(mode="json") for approval in ballot.approvals],
        "missing": max(0, ballot.needed - len(ballot.approvers)),
        **{name: item.get(name) for name in _SHOWN},
    }
