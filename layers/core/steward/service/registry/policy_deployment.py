"""Use case: a verified person makes a policy the organisation's."""

from __future__ import annotations

from typing import Any

from steward.contracts.events import PolicyDeployed
from steward.domain.policy.in_force import policy_digest
from steward.domain.policy.platform import PLATFORM
from steward.domain.policy.strictness import parse_policy
from steward.ports import Absent, Clock, Condition, Equals, Ids, Item, Put, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.policy_in_force import ORGANISATION, POLICY_KEY, person_of


def deploy_policy(
    document: object,
    *,
    caller_arn: str,
    request_id: str,
    person_roles: frozenset[str],
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> dict[str, Any]:
    """Make a policy the organisation's; None takes it back, and the shipped one holds again.

    Runs that have started keep the policy that they were pinned to.

    Raises:
        InvalidPolicyError: It is not valid or contradicts itself.
        NotAuthorizedError: The caller proves no person.
        ConflictError: Somebody else deployed one meanwhile.
    """
    identity = person_of(caller_arn, person_roles)
    policy = parse_policy(PLATFORM if document is None else document)
    known = state.get(Table.VERSIONS, POLICY_KEY)
    digest = policy_digest(policy)
    if known is not None and known["digest"] == digest:
        return {**_shown(known), "changed": False}
    stamp = clock.now().isoformat(timespec="milliseconds")
    item: Item = {
        **POLICY_KEY, "document": policy.model_dump(mode="json"), "digest": digest,
        "name": policy.policy, "deployed_by": identity, "deployed_at": stamp,
    }  # fmt: skip
    expected: Condition = Absent() if known is None else Equals("digest", known["digest"])
    deployed = PolicyDeployed(
        name=policy.policy, digest=digest, previous_digest=known["digest"] if known else None
    )
    cause = Cause(ORGANISATION, request_id, request_id, identity)
    kept = {**item, "item": f"policy#{stamp}#{digest[:12]}"}
    state.commit(
        [Put(Table.VERSIONS, item, (expected,)), Put(Table.VERSIONS, kept, (Absent(),))],
        [event(deployed, cause, clock, ids)],
    )
    return {**_shown(item), "changed": True}


def _shown(item: Item) -> dict[str, Any]:
    return {name: item[name] for name in ("name", "digest", "deployed_by", "deployed_at")}
