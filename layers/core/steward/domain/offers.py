"""Offers: a version that one environment lays ready, and that the next one fetches from there.

What is offered is the export of `domain.version_archive`, each member an object of its own, with
the terms beside it: who approved the version, and the policy that its gate judged by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steward.domain.digests import canonical_json, digest_of
from steward.domain.errors import RejectedError

TERMS = "terms.json"
MAX_TERMS_BYTES = 1024**2
MAX_APPROVERS = 50
_BUS = re.compile(r"^arn:aws[a-z-]*:events:[a-z0-9-]+:(\d{12}):event-bus/[A-Za-z0-9._/-]{1,256}$")


@dataclass(frozen=True)
class Neighbour:
    """The environment before or after, known by the bus that takes what comes from here.

    Attributes:
        bus_arn: That bus.
        account: Whose it is, by its ARN.
    """

    bus_arn: str
    account: str

    @property
    def region(self) -> str:
        """Where the bus is."""
        return self.bus_arn.split(":")[3]

    @property
    def stack(self) -> str:
        """The stack that the bus is of, as its name says."""
        return self.bus_arn.rpartition("/")[2].removesuffix("-promotions")


def neighbour(bus_arn: str) -> Neighbour | None:
    """Return whom a bus ARN names, None for no ARN.

    Raises:
        RejectedError: It is no ARN of a bus.
    """
    if not bus_arn:
        return None
    found = _BUS.match(bus_arn)
    if found is None:
        raise RejectedError(
            f"{bus_arn!r} is no ARN of an event bus", field="bus_arn", value=bus_arn,
            allowed="arn:aws:events:REGION:ACCOUNT:event-bus/NAME",
        )  # fmt: skip
    return Neighbour(bus_arn, found[1])


def neighbours(bus_arns: str) -> tuple[Neighbour, ...]:
    """Return whom a comma-separated list of bus ARNs names, in its order.

    Raises:
        RejectedError: One is no ARN of a bus.
    """
    found = (neighbour(arn.strip()) for arn in bus_arns.split(","))
    return tuple(one for one in found if one is not None)


def choose(goals: tuple[Neighbour, ...], environment: str, at: str | None = None) -> Neighbour:
    """Return which of several next environments is meant.

    Where there is one, it is that one: it says itself whether it is the environment asked for.
    Of several it is the one whose stack bears the environment in its name (``steward-prod``,
    ``prod-eu``), or whose account, region or stack is ``at``.

    Raises:
        RejectedError: There is none, or not exactly one.
    """
    if not goals:
        raise RejectedError(
            "versions go nowhere from this environment", field="PromoteTo",
            allowed="a stack deployed with PromoteTo, the bus of the next environment",
        )  # fmt: skip
    if at is not None:
        found = [one for one in goals if at in (one.account, one.region, one.stack)]
    elif len(goals) == 1:
        found = list(goals)
    else:
        found = [one for one in goals if environment in one.stack.split("-")]
    if len(found) != 1:
        told = [f"{one.stack} in {one.account} {one.region}" for one in goals]
        raise RejectedError(
            f"{len(found)} of the next environments are meant", field="at",
            value=at or environment, allowed="account, region or stack of one: " + "; ".join(told),
        )  # fmt: skip
    return found[0]


class Terms(BaseModel):
    """What the environment before says of a version beside its export.

    Attributes:
        approvers: Who approved it there; it counts for nothing here and is kept.
        policy: What its gate judged by, as pinned there; the evidence holds its digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    approvers: list[str] = Field(min_length=1, max_length=MAX_APPROVERS)
    policy: dict[str, Any]

    def content(self) -> bytes:
        """Return the bytes that are stored."""
        return canonical_json(self.model_dump(mode="json"))


def terms_of(approvers: list[str], policy: dict[str, Any]) -> Terms:
    """Return the terms of an offer to be made.

    Raises:
        RejectedError: More people approved than terms can name, or the policy is too large.
    """
    if not 1 <= len(approvers) <= MAX_APPROVERS:
        raise RejectedError(
            f"{len(approvers)} people approved it", field="terms.approvers", value=len(approvers),
            allowed=f"1 to {MAX_APPROVERS} approvers",
        )  # fmt: skip
    terms = Terms(approvers=approvers, policy=policy)
    size = len(terms.content())
    if size > MAX_TERMS_BYTES:
        raise RejectedError(
            f"{TERMS} has {size} bytes", field="terms.policy", value=size,
            allowed=f"at most {MAX_TERMS_BYTES} bytes",
        )  # fmt: skip
    return terms


def parse_terms(content: bytes) -> Terms:
    """Return the terms of an offer.

    Raises:
        RejectedError: They do not have that shape.
    """
    try:
        return Terms.model_validate_json(content)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        field = ".".join(str(part) for part in ("terms", *first["loc"]))
        raise RejectedError(f"{field}: {first['msg']}", field=field, allowed=first["msg"]) from None


def offer_id(bus_arn: str, environment: str, project: str, export_digest: str, attempt: int) -> str:
    """Return the id of one attempt to bring one export to one environment."""
    return digest_of(
        {"bus": bus_arn, "environment": environment, "project": project, "export": export_digest,
         "attempt": attempt}
    )  # fmt: skip


def export_folder(bucket: str, account: str, project: str, export_digest: str) -> str:
    """Return where an export lies for an account, without a slash at its end."""
    return f"s3://{bucket}/exports/{account}/{project}/{export_digest}"


def check_export_folder(uri: str, account: str, project: str, export_digest: str) -> None:
    """Raise unless a URI is the folder of that export for that account, in whatever bucket.

    Raises:
        RejectedError: It leads elsewhere.
    """
    bucket = uri.removeprefix("s3://").partition("/")[0]
    named = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket)
    if named is None or uri != export_folder(bucket, account, project, export_digest):
        raise RejectedError(
            f"{uri!r} is not where an export for account {account} lies", field="export_uri",
            value=uri, allowed=export_folder("BUCKET", account, project, export_digest),
        )  # fmt: skip
