"""Which of two requirements is stricter, and what a project's override makes of its tier's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from steward.domain.declaration import MisplacedError
from steward.domain.digests import digest_of
from steward.domain.errors import InvalidPolicyError, placed
from steward.domain.policy.requirements import Escalation, Policy, Requirements, Stricter

_ORDER = get_args(Escalation)
TIERS = ("minimal", "limited", "high")


def parse_policy(declared: object) -> Policy:
    """Return the policy that a parsed ``policy.yaml`` declares.

    Raises:
        InvalidPolicyError: A key is unknown, a value impossible, or rules contradict each other;
            ``field`` is the path of the first fault.
    """
    if not isinstance(declared, dict):
        raise InvalidPolicyError(
            "policy.yaml is not a mapping", field="$", value=type(declared).__name__,
            allowed=f"a mapping with the keys {', '.join(Policy.model_fields)}",
        )  # fmt: skip
    try:
        policy = Policy.model_validate(declared)
    except ValidationError as invalid:
        raise _refused(invalid) from None
    for lower, higher in pairwise(TIERS):
        looser = first_loosening(getattr(policy.tiers, lower), getattr(policy.tiers, higher))
        if looser is not None:
            raise InvalidPolicyError(
                f"tiers.{higher}.{looser.path}: {looser}; tier {lower} is stricter",
                field=f"tiers.{higher}.{looser.path}", value=looser.value, allowed=looser.allowed,
            )  # fmt: skip
    return policy


def _refused(invalid: ValidationError) -> InvalidPolicyError:
    first = invalid.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "$"
    value, told = first.get("input"), str(first["msg"]).removeprefix("Value error, ")
    cause = (first.get("ctx") or {}).get("error")
    allowed = told
    if isinstance(cause, MisplacedError):
        field = f"{field}.{cause.path}" if field != "$" else cause.path
        value, allowed = cause.value, cause.allowed
    elif first["type"] == "extra_forbidden":
        told, allowed = "unknown key", "a key of docs/policy.md"
    elif first["type"] == "missing":
        value, allowed = None, "it must be there"
    if isinstance(value, dict | list) and first["type"] == "extra_forbidden":
        value = type(value).__name__
    return InvalidPolicyError(
        placed(field, f"{told} (got {value!r})"), field=field, value=value, allowed=allowed
    )


def effective(policy: Policy, tier: str, override: Requirements) -> Requirements:
    """Return what holds for a project: its tier's requirements with its own overrides.

    Bounds are merged by metric, all else that the override names takes the place of the policy's.

    Raises:
        MisplacedError: The override is looser and the policy only lets it tighten, or the two
            together contradict each other.
    """
    base: Requirements = getattr(policy.tiers, tier)
    merged = _merged(base, override)
    try:
        found = Requirements.model_validate(merged)
    except ValidationError as invalid:
        refused = _refused(invalid)
        raise MisplacedError(
            str(refused.field), refused.message, refused.value, str(refused.allowed)
        ) from None
    if policy.overrides == "tighten":
        looser = first_loosening(base, found)
        if looser is not None:
            raise looser
    return found


def requirements_digest(requirements: Requirements) -> str:
    """Return the digest of everything that is required."""
    return digest_of(requirements.model_dump(mode="json"))


def first_loosening(base: BaseModel, other: BaseModel) -> MisplacedError | None:
    """Return the first key in which ``other`` requires less than ``base``, or None."""
    for path, stricter, before, after in _pairs(base, other):
        allowed = _allowed(stricter, before, after)
        if allowed is not None:
            return MisplacedError(
                path, f"{_told(after)} is looser than the policy's {_told(before)}", after, allowed
            )
    return None


def _pairs(
    base: BaseModel, other: BaseModel, prefix: str = ""
) -> Iterator[tuple[str, Stricter, Any, Any]]:
    for name, field in type(base).model_fields.items():
        before, after = getattr(base, name), getattr(other, name)
        if isinstance(before, BaseModel):
            yield from _pairs(before, after, f"{prefix}{name}.")
            continue
        extra = field.json_schema_extra
        stricter = extra.get("stricter") if isinstance(extra, dict) else None
        if stricter is not None and before is not None:
            yield f"{prefix}{name}", stricter, before, after  # type: ignore[misc]


def _allowed(stricter: Stricter, before: Any, after: Any) -> str | None:
    """Return what would be allowed where ``after`` is looser, else None."""
    if stricter == "bounds":
        return _bounds_allowed(before, after)
    keeps, allowed = _COMPARED[stricter](before, after)
    return None if keeps else allowed


def _larger(before: Any, after: Any) -> tuple[bool, str]:
    return after is not None and after >= before, f"at least {before}"


def _smaller(before: Any, after: Any) -> tuple[bool, str]:
    return after is not None and after <= before, f"at most {before}"


def _later(before: Any, after: Any) -> tuple[bool, str]:
    first = _ORDER.index(before)
    keeps = after is not None and _ORDER.index(after) >= first
    return keeps, ", ".join(_ORDER[first:])


def _superset(before: Any, after: Any) -> tuple[bool, str]:
    return after is not None and set(after) >= set(before), f"a list with {', '.join(before)}"


def _subset(before: Any, after: Any) -> tuple[bool, str]:
    return after is not None and set(after) <= set(before), f"some of {', '.join(before)}"


def _each_smaller(before: Any, after: Any) -> tuple[bool, str]:
    keeps = all((after or {}).get(name, float("inf")) <= before[name] for name in before)
    return keeps, ", ".join(f"{name} at most {most:g}" for name, most in before.items())


_COMPARED: dict[str, Callable[[Any, Any], tuple[bool, str]]] = {
    "larger": _larger,
    "smaller": _smaller,
    "later": _later,
    "superset": _superset,
    "subset": _subset,
    "each_smaller": _each_smaller,
}


def _bounds_allowed(before: list[Any], after: list[Any] | None) -> str | None:
    found = {bound.metric: bound for bound in after or ()}
    for bound in before:
        other = found.get(bound.metric)
        low, high = (other.min, other.max) if other else (None, None)
        if bound.min is not None and (low is None or low < bound.min):
            return f"{bound.metric}: min {bound.min:g} or more"
        if bound.max is not None and (high is None or high > bound.max):
            return f"{bound.metric}: max {bound.max:g} or less"
    return None


def _told(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_told, value)) + "]"
    if isinstance(value, BaseModel):
        return str(value.model_dump(mode="json", exclude_none=True))
    return "nothing" if value is None else str(value)


def _merged(base: BaseModel, override: BaseModel) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in type(base).model_fields:
        before, after = getattr(base, name), getattr(override, name)
        if isinstance(before, BaseModel):
            merged[name] = _merged(before, after)
        elif name == "bounds":
            both = {bound.metric: bound for bound in [*(before or ()), *(after or ())]}
            for bound in before or ():
                both[bound.metric] = _filled(bound, both[bound.metric])
            merged[name] = [bound.model_dump() for bound in both.values()] or None
        else:
            merged[name] = before if after is None else after
    return merged


def _filled(before: Any, after: Any) -> Any:
    """Return the later bound with the side that it leaves open taken from the earlier one."""
    sides: Mapping[str, Any] = {
        side: getattr(before, side) if getattr(after, side) is None else getattr(after, side)
        for side in ("min", "max")
    }
    return after.model_copy(update=sides)
