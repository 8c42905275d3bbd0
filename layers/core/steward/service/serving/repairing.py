"""Putting an endpoint back as it was made: one step at a time, each claimed before it is done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.contracts.events import RouteRepairFailed
from steward.domain.endpoint_drift import Drift, DriftKind, Variant
from steward.domain.errors import ConflictError, StewardError
from steward.domain.names import remade
from steward.ports import Hosting, Item

if TYPE_CHECKING:
    from steward.service.serving.reconciling import Look

MAX_REPAIRS = 5
"""Steps that are tried on one finding; a failed endpoint takes two, deletion and creation."""
CLAIM = timedelta(minutes=2)
"""A claim older than this is of a sweep that died."""


def repair(
    look: Look,
    drift: Drift,
    finding: Item,
    *,
    write: Callable[..., None],
    hosting: Hosting,
    now: datetime,
) -> None:
    """Take one step towards what is wanted; whether it helped shows the next look.

    The step is claimed by a conditional write, so that of two sweeps one takes it.

    Args:
        look: The endpoint.
        drift: What differs.
        finding: As it is recorded.
        write: Changes the endpoint's record where its finding is the second argument.
        hosting: SageMaker.
        now: The time of the claim.

    Raises:
        ConflictError: Another sweep is at it.
    """
    attempt = int(finding["attempts"]) + 1
    if attempt > MAX_REPAIRS:
        cause = f"{MAX_REPAIRS} steps did not help: {drift.found}"
        _failed(look, finding, write, "EndpointFailedError", cause, given_up=True)
        return
    stamp = now.isoformat(timespec="milliseconds")
    claimed = {**finding, "attempts": attempt, "claimed_at": stamp}
    write({"finding": claimed}, finding)
    done = {**claimed, "claimed_at": None}
    try:
        _step(look, drift, now, hosting, lambda config: write({"config": config}, claimed))
    except ConflictError:
        write({"finding": done}, claimed)  # it is there already: the next look tells
    except StewardError as error:
        given_up = attempt >= MAX_REPAIRS
        _failed(look, claimed, write, type(error).__name__, str(error), given_up=given_up)
    else:
        write({"finding": done}, claimed)


def _failed(
    look: Look,
    finding: Item,
    write: Callable[..., None],
    error: str,
    cause: str,
    *,
    given_up: bool,
) -> None:
    told = RouteRepairFailed(
        endpoint=look.endpoint, version=look.version, kind=finding["kind"],
        attempt=int(finding["attempts"]), error=error, cause=cause[:1000], given_up=given_up,
    )  # fmt: skip
    after = {**finding, "claimed_at": None, "given_up": given_up}
    write({"finding": after}, finding, told)


def _step(
    look: Look,
    drift: Drift,
    now: datetime,
    hosting: Hosting,
    remember: Callable[[Item], None],
) -> None:
    """Take the step; the configuration of a fresh name is remembered before it is used."""
    assert look.record is not None
    models, config = look.record["models"], look.record["config"]
    name = str(config["EndpointConfigName"])
    match drift.kind:
        case DriftKind.MISSING:
            hosting.ensure(models, config)
            hosting.create({**look.record["request"], "EndpointConfigName": name})
        case DriftKind.FAILED:
            hosting.remove(look.endpoint)
        case DriftKind.OTHER_CONFIG:
            hosting.ensure(models, config)
            hosting.update(look.endpoint, name)
        case DriftKind.CONFIG_GONE:
            hosting.ensure(models, config)
        case DriftKind.SETTINGS if (desired := _settable(look)) is not None:
            hosting.set_variants(look.endpoint, desired)
        case _:
            fresh = {**config, "EndpointConfigName": _fresh(name, now)}
            remember(fresh)
            hosting.ensure(models, fresh)
            hosting.update(look.endpoint, fresh["EndpointConfigName"])


def _settable(look: Look) -> list[dict[str, Any]] | None:
    """Return what sets live weights and concurrency right, None where only an update does.

    A variant's memory, image and the end of provisioned concurrency need another configuration.
    """
    found = {variant.name: variant for variant in look.found.variants} if look.found else {}
    desired = []
    for wanted in look.wanted.variants:
        there = found.get(wanted.name)
        if there is None or (wanted.image and there.image and wanted.image != there.image):
            return None
        told = _desired(wanted, there)
        if told is None:
            return None
        desired.append(told)
    return desired


def _desired(wanted: Variant, there: Variant) -> dict[str, Any] | None:
    told: dict[str, Any] = {"VariantName": wanted.name}
    if wanted.weight is not None:
        told["DesiredWeight"] = wanted.weight
    if there.settings is not None and wanted.settings is not None:
        names = ("MaxConcurrency", "ProvisionedConcurrency")
        fixed = [name for name in {*wanted.settings, *there.settings} if name not in names]
        ends = "ProvisionedConcurrency" in set(there.settings) - set(wanted.settings)
        if ends or any(wanted.settings.get(name) != there.settings.get(name) for name in fixed):
            return None
        told["ServerlessUpdateConfig"] = {
            name: wanted.settings[name] for name in names if name in wanted.settings
        }
    return told


def _fresh(name: str, now: datetime) -> str:
    """Return a name for the same contents again, since a name in use cannot be made anew."""
    return remade(name, "r", int(now.timestamp()))
