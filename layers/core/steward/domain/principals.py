"""Who somebody is: verified AWS principals reduced to one identity per person."""

from __future__ import annotations

import re

_ASSUMED = re.compile(r"^arn:[a-z-]+:sts::(\d{12}):assumed-role/([^/]+)/(.+)$")
_USER = re.compile(r"^arn:[a-z-]+:iam::(\d{12}):user/(?:.*/)?([^/]+)$")


def identity_of(principal_arn: str, person_roles: frozenset[str] = frozenset()) -> str:
    """Return the identity that counts for authorship and quorum.

    An IAM user is the user's name. A session of one of ``person_roles`` (roles whose trust
    policy fixes the session name to the person's own) is the session name, so the same
    person under two such roles, or as a user, counts once. Any other role session is its
    role: the session name is the caller's free choice and proves nothing.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    """
    session = _ASSUMED.match(principal_arn)
    if session:
        account, role, name = session.groups()
        return f"{account}/{name}" if role in person_roles else f"{account}/role/{role}"
    user = _USER.match(principal_arn)
    if user:
        account, name = user.groups()
        return f"{account}/{name}"
    return principal_arn


def is_person(principal_arn: str, person_roles: frozenset[str] = frozenset()) -> bool:
    """Return whether a principal proves which person acts: an IAM user or a person's session.

    Anybody who may assume another role chooses the session name freely, and the root user is
    nobody's own: neither can show that approver and author are two people.
    """
    session = _ASSUMED.match(principal_arn)
    if session:
        return session.group(2) in person_roles
    return _USER.match(principal_arn) is not None
