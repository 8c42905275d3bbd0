"""What a person decides on a version, through the approval function URL."""

from __future__ import annotations

from typing import Any

from steward.contracts.approval import DecideVersion, ShowVersion
from steward.contracts.events import Event, VersionApproved, VersionRejected
from steward.domain.approvals import Approval, Ballot, Ruling, rule_on
from steward.domain.errors import ConflictError, EvidenceIncompleteError, NotAuthorizedError
from steward.domain.principals import identity_of, is_person
from steward.domain.versions import VersionState
from steward.ports import Clock, Equals, Ids, Item, ObjectStore, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.registry.records import ballot_of, need_version, version_key
from steward.service.registry.transitions import transition

_ATTEMPTS = 5
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
    if not is_person(caller_arn, person_roles):
        raise NotAuthorizedError(
            f"{caller_arn} does not prove which person decides",
            field="caller", value=caller_arn,
            allowed="an IAM user, or a session of a role in PERSON_ROLES "
            f"({', '.join(sorted(person_roles)) or 'none is set'})",
        )  # fmt: skip
    identity = identity_of(caller_arn, person_roles)
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
        ruling = rule_on(ballot, vote, command.evidence_digest, clock.now())
        if not ruling.recorded:
            return _view(item)
        if command.decision == "approve":
            check_evidence(item, objects)
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
