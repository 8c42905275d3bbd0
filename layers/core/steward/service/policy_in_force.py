"""The policy in force: the organisation's own where one is deployed, else the shipped one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from steward.domain.errors import NotAuthorizedError
from steward.domain.principals import identity_of, is_person
from steward.ports import Item, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.policy.in_force import PinnedPolicy
    from steward.domain.policy.requirements import Policy
    from steward.domain.policy.waivers import Waiver
    from steward.domain.project import Project

ORGANISATION = "#organisation"
"""Partition of what belongs to no project; no project's name holds a ``#``."""

WAIVERS = "waiver#"
"""Beginning of the sort keys of a project's waivers, in the versions table."""

POLICY_KEY = {"project": ORGANISATION, "item": "policy"}


@dataclass(frozen=True)
class InForce:
    """A policy and where it is from."""

    policy: Policy
    source: Literal["platform", "organisation"]
    item: Item | None = None


def policy_in_force(state: StateStore) -> InForce:
    """Return the policy that holds now."""
    from steward.domain.policy.platform import platform_policy  # large: paid when one is read
    from steward.domain.policy.strictness import parse_policy

    item = state.get(Table.VERSIONS, POLICY_KEY)
    if item is None:
        return InForce(platform_policy(), "platform")
    return InForce(parse_policy(item["document"]), "organisation", item)


def pin_policy(state: StateStore, project: Project) -> PinnedPolicy:
    """Return what the policy in force requires of a project.

    Raises:
        InvalidProjectError: The project asks for less than the policy lets it.
    """
    from steward.domain.policy.in_force import pinned

    found = policy_in_force(state)
    return pinned(found.policy, found.source, project)


def pinned_policy_of(item: Item, project: Project) -> PinnedPolicy:
    """Return what was pinned on a run or version, or the shipped policy for those before it."""
    from steward.domain.policy.in_force import PinnedPolicy, pinned
    from steward.domain.policy.platform import platform_policy

    known = item.get("policy")
    if known:
        return PinnedPolicy.model_validate(known)
    return pinned(platform_policy(), "platform", project, checks_strategy=False)


def waivers_of(state: StateStore, project: str) -> list[Waiver]:
    """Return all waivers of a project, oldest first."""
    from steward.domain.policy.waivers import Waiver

    items = state.query(Table.VERSIONS, project, prefix=WAIVERS)
    return sorted(map(Waiver.model_validate, items), key=lambda waiver: waiver.granted_at)


def person_of(caller_arn: str, person_roles: frozenset[str]) -> str:
    """Return the identity of a caller who proves to be one person.

    Raises:
        NotAuthorizedError: A role whose session name anybody may choose, or the root user.
    """
    if not is_person(caller_arn, person_roles):
        raise NotAuthorizedError(
            f"{caller_arn} does not prove which person decides",
            field="caller", value=caller_arn,
            allowed="an IAM user, or a session of a role in PERSON_ROLES "
            f"({', '.join(sorted(person_roles)) or 'none is set'})",
        )  # fmt: skip
    return identity_of(caller_arn, person_roles)
