"""SageMaker hosting in memory: what is asked happens when ``settle`` is called, as on AWS."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from steward.domain.errors import ConflictError, DependencyError, RejectedError, StewardError
from steward.ports import ListedEndpoint
from support.fakes import FakeClock

_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass
class FakeHosting:
    """Endpoints, configurations and models by name.

    Attributes:
        asked: Every call that changes something, in order.
        refusals: The error that a method raises instead, by its name.
    """

    clock: FakeClock = field(default_factory=FakeClock)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    refusals: dict[str, StewardError] = field(default_factory=dict)

    def _begin(self, method: str, name: str) -> None:
        if method in self.refusals:
            raise self.refusals[method]
        self.asked.append((method, name))

    def _now(self) -> datetime:
        return self.clock.now().astimezone(UTC)

    def describe(self, endpoint: str) -> Mapping[str, Any] | None:
        if "describe" in self.refusals:
            raise self.refusals["describe"]
        found = self.endpoints.get(endpoint)
        told = copy.deepcopy(found) if found else None
        if told:
            told.pop("_next", None)
        return told

    def config(self, name: str) -> Mapping[str, Any] | None:
        return copy.deepcopy(self.configs.get(name))

    def model(self, name: str) -> Mapping[str, Any] | None:
        return copy.deepcopy(self.models.get(name))

    def listed(self, contains: str) -> Iterable[ListedEndpoint]:
        for name, found in list(self.endpoints.items()):
            if contains in name:
                yield ListedEndpoint(name, found["EndpointStatus"], found["CreationTime"])

    def ensure(self, models: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        name = str(config["EndpointConfigName"])
        if "ensure" in self.refusals:
            raise self.refusals["ensure"]
        for model in models:
            self.models.setdefault(str(model["ModelName"]), dict(copy.deepcopy(model)))
        if name not in self.configs:
            self._begin("ensure", name)
            self.configs[name] = dict(copy.deepcopy(config))

    def create(self, request: Mapping[str, Any]) -> None:
        name, config = str(request["EndpointName"]), str(request["EndpointConfigName"])
        self._begin("create", name)
        if name in self.endpoints:
            raise ConflictError(f'Cannot create already existing endpoint "{name}".')
        self._need(config)
        self.endpoints[name] = {
            "EndpointName": name, "EndpointConfigName": config, "EndpointStatus": "Creating",
            "CreationTime": self._now(), "LastModifiedTime": self._now(), "_next": config,
        }  # fmt: skip

    def update(self, endpoint: str, config: str) -> None:
        self._begin("update", endpoint)
        self._need(config)
        self._move(endpoint, "Updating", config)

    def set_variants(self, endpoint: str, wanted: Sequence[Mapping[str, Any]]) -> None:
        self._begin("set_variants", endpoint)
        found = self._move(endpoint, "Updating", None)
        for told in wanted:
            variant = next(
                v for v in found["ProductionVariants"] if v["VariantName"] == told["VariantName"]
            )
            if "DesiredWeight" in told:
                variant["CurrentWeight"] = told["DesiredWeight"]
            variant.get("CurrentServerlessConfig", {}).update(
                told.get("ServerlessUpdateConfig", {})
            )

    def remove_model(self, name: str) -> None:
        self._begin("remove_model", name)
        self.models.pop(name, None)

    def stop_transforms(self, begins: str) -> None:
        self._begin("stop_transforms", begins)

    def remove(self, endpoint: str) -> None:
        found = self.endpoints.get(endpoint)
        if found is None:
            return
        self._begin("remove", endpoint)
        if found["EndpointStatus"] in _BUSY[1:4]:
            raise DependencyError(f'Cannot delete in-progress endpoint "{endpoint}".')
        found["EndpointStatus"] = "Deleting"

    # What happens behind Steward's back

    def settle(self, *names: str) -> None:
        """Let what was asked come to its end."""
        for name in names or tuple(self.endpoints):
            found = self.endpoints[name]
            if found["EndpointStatus"] == "Deleting":
                del self.endpoints[name]
                continue
            config = found.pop("_next", None)
            if config:
                found["EndpointConfigName"] = config
                found["ProductionVariants"] = self._live(self.configs[config])
            if found["EndpointStatus"] in _BUSY:
                found |= {"EndpointStatus": "InService", "LastModifiedTime": self._now()}

    def becomes(self, endpoint: str, status: str, reason: str = "") -> None:
        """Let SageMaker change an endpoint's status by itself."""
        found = self.endpoints[endpoint]
        found |= {"EndpointStatus": status, "LastModifiedTime": self._now()}
        if reason:
            found["FailureReason"] = reason

    def _move(self, endpoint: str, status: str, config: str | None) -> dict[str, Any]:
        found = self.endpoints.get(endpoint)
        if found is None:
            raise DependencyError(f'Could not find endpoint "{endpoint}".')
        if found["EndpointStatus"] in _BUSY:
            raise DependencyError(f'Cannot update in-progress endpoint "{endpoint}".')
        if found["EndpointStatus"] == "Failed":
            raise RejectedError(f'Cannot update failed endpoint "{endpoint}".')
        found |= {"EndpointStatus": status, "LastModifiedTime": self._now()}
        if config:
            found["_next"] = config
        return found

    def _need(self, config: str) -> None:
        if config not in self.configs:
            raise DependencyError(f'Could not find endpoint configuration "{config}".')

    def _live(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        live = []
        for declared in config["ProductionVariants"]:
            model = self.models[declared["ModelName"]]
            told = {
                "VariantName": declared["VariantName"],
                "CurrentWeight": declared.get("InitialVariantWeight", 1.0),
                "DeployedImages": [{"SpecifiedImage": model["PrimaryContainer"]["Image"]}],
            }
            if "ServerlessConfig" in declared:
                told["CurrentServerlessConfig"] = dict(declared["ServerlessConfig"])
            else:
                told["CurrentInstanceCount"] = declared.get("InitialInstanceCount", 1)
            live.append(told)
        return live
