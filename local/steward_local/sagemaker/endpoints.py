"""Endpoints: their operations and the background work that brings variants up and down."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import Any

from steward_local.authority import AssumeRoleError, Principal
from steward_local.sagemaker import (
    capacity,
    hosting_config,
    jobs,
    settings,
    state_events,
    store,
)
from steward_local.sagemaker.capture import Capture
from steward_local.sagemaker.errors import invalid
from steward_local.sagemaker.s3_files import TransferError
from steward_local.sagemaker.store import Store, now
from steward_local.sagemaker.variant import INVOCATION_SECONDS, StartError, Variant


@dataclass
class Fleet:
    """What one endpoint configuration runs."""

    config: dict[str, Any]
    variants: list[Variant]
    shadows: list[Variant]
    capture: Capture | None = None
    in_flight: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    def enter(self) -> None:
        """Count a request that this fleet answers."""
        with self._idle:
            self.in_flight += 1

    def leave(self) -> None:
        """Count a request that has its answer."""
        with self._idle:
            self.in_flight -= 1
            self._idle.notify_all()

    def drain(self) -> None:
        """Wait until every request has its answer, at most as long as an invocation may take."""
        with self._idle:
            self._idle.wait_for(lambda: self.in_flight == 0, INVOCATION_SECONDS)

    def close(self) -> None:
        """End every process; captured records are written first."""
        if self.capture is not None:
            self.capture.close()
        for variant in [*self.variants, *self.shadows]:
            variant.close()


@dataclass
class Endpoint:
    """An endpoint and the fleet behind it (none before it first is in service)."""

    record: dict[str, Any]
    fleet: Fleet | None = None
    deleted: threading.Event = field(default_factory=threading.Event)


def find(name: str) -> Endpoint:
    """The endpoint; AWS's error when there is none."""
    at = store.current()
    endpoint: Endpoint | None = at.endpoints.get(name.lower())
    if endpoint is None:
        raise invalid(f'Could not find endpoint "{at.arn("endpoint", name)}".')
    return endpoint


def _set_status(at: Store, endpoint: Endpoint, status: str, reason: str = "") -> None:
    with at.lock:
        endpoint.record["EndpointStatus"] = status
        endpoint.record["LastModifiedTime"] = now()
        endpoint.record.pop("FailureReason", None)
        if reason:
            endpoint.record["FailureReason"] = reason[: jobs.MAX_REASON]
        record = describe_record(endpoint)
    state_events.endpoint_changed(record, at.tags.get(record["EndpointArn"], {}))


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateEndpoint`: the variants start in the background."""
    at = store.current()
    name, config_name = params["EndpointName"], params["EndpointConfigName"]
    config = hosting_config.find_endpoint_config(config_name)
    caller.require("sagemaker:CreateEndpoint", config["EndpointConfigArn"])
    capacity.check_quota(name)
    arn = at.arn("endpoint", name)
    moment = now()
    record = {
        "EndpointName": name,
        "EndpointArn": arn,
        "EndpointConfigName": config["EndpointConfigName"],
        "EndpointStatus": "Creating",
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
    endpoint = Endpoint(record)
    with at.lock:
        if name.lower() in at.endpoints:
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        at.endpoints[name.lower()] = endpoint
    at.tag(arn, params.get("Tags"))
    state_events.endpoint_changed(record, at.tags[arn])
    jobs.in_background(lambda: _bring_up(at, endpoint, copy.deepcopy(config)), f"endpoint-{name}")
    return {"EndpointArn": arn}


def _start_fleet(at: Store, endpoint: Endpoint, config: dict[str, Any]) -> Fleet:
    options = settings.current()
    name = endpoint.record["EndpointName"]
    if lack := capacity.shortage(name):
        raise StartError(lack)

    def build(production: dict[str, Any]) -> Variant:
        model = hosting_config.find_model(production["ModelName"])
        return Variant(options, at.region, name, production, copy.deepcopy(model))

    fleet = Fleet(config, [], [])
    try:
        for group, member in (
            (fleet.variants, "ProductionVariants"),
            (fleet.shadows, "ShadowProductionVariants"),
        ):
            for production in config.get(member, []):
                variant = build(production)
                group.append(variant)
                variant.start(endpoint.deleted)
    except BaseException:
        fleet.close()
        raise
    wanted = config.get("DataCaptureConfig")
    if wanted:
        fleet.capture = Capture(wanted, name, fleet.variants[0].role_arn, at.region)
    return fleet


def _bring_up(at: Store, endpoint: Endpoint, config: dict[str, Any]) -> None:
    """Start the fleet of `config` and put it in the place of the one before."""
    before = endpoint.fleet
    try:
        fleet = _start_fleet(at, endpoint, config)
    except (StartError, TransferError, AssumeRoleError, jobs.ImageError) as error:
        _give_up(at, endpoint, str(error))
        return
    except Exception as error:  # noqa: BLE001 - the fault is the endpoint's FailureReason
        _give_up(at, endpoint, getattr(error, "message", repr(error)))
        return
    with at.lock:
        gone = endpoint.deleted.is_set()
        if not gone:
            endpoint.fleet = fleet
            endpoint.record["EndpointConfigName"] = config["EndpointConfigName"]
    if gone:
        fleet.close()
        return
    _set_status(at, endpoint, "InService")
    if before is not None:
        before.drain()
        before.close()


def _give_up(at: Store, endpoint: Endpoint, reason: str) -> None:
    if not endpoint.deleted.is_set():
        _set_status(at, endpoint, "InService" if endpoint.fleet else "Failed", reason)


def update(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`UpdateEndpoint`: the new fleet serves when it is healthy; a bad one changes nothing."""
    at = store.current()
    endpoint = _settled(params["EndpointName"])
    config = copy.deepcopy(hosting_config.find_endpoint_config(params["EndpointConfigName"]))
    caller.require("sagemaker:UpdateEndpoint", config["EndpointConfigArn"])
    if params.get("RetainAllVariantProperties") and endpoint.fleet is not None:
        left_out = params.get("ExcludeRetainedVariantProperties", [])
        excluded = {item["VariantPropertyType"] for item in left_out}
        kept = {variant.name: variant for variant in endpoint.fleet.variants}
        for production in config["ProductionVariants"]:
            known = kept.get(production["VariantName"])
            if known is not None and "DesiredWeight" not in excluded:
                production["InitialVariantWeight"] = known.weight
    _set_status(at, endpoint, "Updating")
    jobs.in_background(
        lambda: _bring_up(at, endpoint, config), f"endpoint-{params['EndpointName']}"
    )
    return {"EndpointArn": endpoint.record["EndpointArn"]}


def _settled(name: str) -> Endpoint:
    endpoint = find(name)
    if endpoint.record["EndpointStatus"] not in {"InService", "Failed", "OutOfService"}:
        raise invalid(f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".')
    return endpoint


def update_weights(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`UpdateEndpointWeightsAndCapacities`: asynchronous, as on AWS."""
    at = store.current()
    endpoint = _settled(params["EndpointName"])
    fleet = endpoint.fleet
    if fleet is None:
        raise invalid(
            f'Cannot update endpoint "{endpoint.record["EndpointArn"]}": it has no variants.'
        )
    known = {variant.name: variant for variant in fleet.variants}
    for wanted in params["DesiredWeightsAndCapacities"]:
        variant = known.get(wanted["VariantName"])
        if variant is None:
            raise invalid(
                f"The variant name(s) {wanted['VariantName']} is/are not present within endpoint "
                "configuration."
            )
        if variant.serverless and "DesiredInstanceCount" in wanted:
            raise invalid("A serverless variant has no DesiredInstanceCount.")
        if not variant.serverless and "ServerlessUpdateConfig" in wanted:
            raise invalid("An instance variant has no ServerlessUpdateConfig.")
    _set_status(at, endpoint, "Updating")

    def apply() -> None:
        with at.lock:
            for wanted in params["DesiredWeightsAndCapacities"]:
                variant = known[wanted["VariantName"]]
                variant.weight = float(wanted.get("DesiredWeight", variant.weight))
                variant.instances = wanted.get("DesiredInstanceCount", variant.instances)
                if "ServerlessUpdateConfig" in wanted:
                    variant.rescale(
                        {**(variant.serverless or {}), **wanted["ServerlessUpdateConfig"]}
                    )
        _set_status(at, endpoint, "InService")

    jobs.in_background(apply, f"endpoint-weights-{params['EndpointName']}")
    return {"EndpointArn": endpoint.record["EndpointArn"]}


def delete(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteEndpoint`: gone from the lists when its processes are."""
    at = store.current()
    endpoint = find(params["EndpointName"])
    if endpoint.record["EndpointStatus"] in {"Updating", "RollingBack"}:
        raise invalid(f'Cannot delete in-progress endpoint "{endpoint.record["EndpointArn"]}".')
    endpoint.deleted.set()
    _set_status(at, endpoint, "Deleting")

    def remove() -> None:
        if endpoint.fleet is not None:
            endpoint.fleet.close()
        with at.lock:
            at.endpoints.pop(params["EndpointName"].lower(), None)
            at.tags.pop(endpoint.record["EndpointArn"], None)

    jobs.in_background(remove, f"endpoint-delete-{params['EndpointName']}")
    return {}


def _variant_summary(variant: Variant) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "VariantName": variant.name,
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        "DeployedImages": [
            {
                "SpecifiedImage": variant._model["Resolved"]["Image"],
                "ResolvedImage": variant._model["Resolved"]["Image"],
            }
        ],
    }
    if variant.serverless:
        summary |= {
            "CurrentInstanceCount": 0,
            "CurrentServerlessConfig": variant.serverless,
        }
    else:
        summary |= {
            "CurrentInstanceCount": variant.instances,
            "DesiredInstanceCount": variant.instances,
        }
    return summary


def describe_record(endpoint: Endpoint) -> dict[str, Any]:
    """The description of an endpoint; variants only once it has been in service."""
    record = dict(endpoint.record)
    fleet = endpoint.fleet
    if fleet is not None:
        record["ProductionVariants"] = [_variant_summary(v) for v in fleet.variants]
        if fleet.shadows:
            record["ShadowProductionVariants"] = [_variant_summary(v) for v in fleet.shadows]
        if "DataCaptureConfig" in fleet.config:
            wanted = fleet.config["DataCaptureConfig"]
            record["DataCaptureConfig"] = {
                "EnableCapture": wanted.get("EnableCapture", False),
                "CaptureStatus": "Started" if wanted.get("EnableCapture") else "Stopped",
                "CurrentSamplingPercentage": wanted["InitialSamplingPercentage"],
                "DestinationS3Uri": wanted["DestinationS3Uri"],
                "KmsKeyId": wanted.get("KmsKeyId", ""),
            }
    return record


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeEndpoint`."""
    with store.current().lock:
        return describe_record(find(params["EndpointName"]))


def list_endpoints(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListEndpoints`."""
    at = store.current()
    contains, status = params.get("NameContains", "").lower(), params.get("StatusEquals")
    with at.lock:
        kept = [
            dict(endpoint.record)
            for endpoint in at.endpoints.values()
            if contains in endpoint.record["EndpointName"].lower()
            and status in {None, endpoint.record["EndpointStatus"]}
        ]
    order = {"Name": "EndpointName", "Status": "EndpointStatus"}.get(
        params.get("SortBy", ""), "CreationTime"
    )
    kept.sort(key=lambda item: item[order], reverse=params.get("SortOrder") != "Ascending")
    page, token = jobs.paged(kept, params)
    return {"Endpoints": page, **({"NextToken": token} if token else {})}


def close_all() -> None:
    """End every endpoint's processes; for a reset."""
    for at in store.every():
        for endpoint in list(at.endpoints.values()):
            endpoint.deleted.set()
            if endpoint.fleet is not None:
                endpoint.fleet.close()
