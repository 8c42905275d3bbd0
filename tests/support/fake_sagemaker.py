"""SageMaker's endpoints as boto3's client shows them, in memory and updated as slowly as wanted."""

# ruff: noqa: N803 - boto3 names its arguments so

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError


def refusal(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class FakeSageMaker:
    """Updates stay ``Updating`` for so many looks; a ``fault`` ends the next one without effect.

    Attributes:
        looks: Descriptions after which an update is done.
        fault: FailureReason of the next change of configuration.
        calls: Names of the changing calls, in order.
    """

    looks: int = 0
    fault: str = ""
    models: set[str] = field(default_factory=set)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refuses: dict[str, ClientError] = field(default_factory=dict)

    def add(self, endpoint: str, config: dict[str, Any]) -> None:
        """Put an endpoint in service with a configuration and its models."""
        name = config["EndpointConfigName"]
        self.configs[name] = copy.deepcopy(config)
        variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
        self.models |= {variant["ModelName"] for variant in variants}
        self.endpoints[endpoint] = {"status": "InService", "config": name, "left": 0}
        self._take(endpoint, name)

    def _take(self, endpoint: str, name: str) -> None:
        at, config = self.endpoints[endpoint], self.configs[name]
        at["config"] = name
        at["weights"] = {
            variant["VariantName"]: float(variant.get("InitialVariantWeight", 1))
            for variant in config["ProductionVariants"]
        }

    def weights(self, endpoint: str) -> dict[str, float]:
        return dict(self.endpoints[endpoint]["weights"])

    def variants(self, endpoint: str) -> list[str]:
        return sorted(self.endpoints[endpoint]["weights"])

    def _changing(self, operation: str) -> None:
        self.calls.append(operation)
        if operation in self.refuses:
            raise self.refuses.pop(operation)

    def _settled(self, operation: str, endpoint: str) -> dict[str, Any]:
        at = self.endpoints[endpoint]
        if at["status"] != "InService":
            text = f'Cannot update in-progress endpoint "{endpoint}".'
            raise refusal(operation, "ValidationException", text)
        at |= {"status": "Updating", "left": self.looks, "failure": ""}
        return at

    def _advance(self, endpoint: str) -> None:
        at = self.endpoints[endpoint]
        if at["status"] != "Updating":
            return
        if at["left"]:
            at["left"] -= 1
            return
        at["status"] = "InService"
        if "failed" in at:
            at["failure"] = at.pop("failed")
            at.pop("pending", None)
        elif "pending" in at:
            self._take(endpoint, at.pop("pending"))
        elif "wanted" in at:
            at["weights"] |= at.pop("wanted")

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName not in self.endpoints:
            text = f'Could not find endpoint "{EndpointName}".'
            raise refusal("DescribeEndpoint", "ValidationException", text)
        self._advance(EndpointName)
        at = self.endpoints[EndpointName]
        shown = [
            {"VariantName": name, "CurrentWeight": weight, "DesiredInstanceCount": 2}
            for name, weight in at["weights"].items()
        ]
        told = {
            "EndpointName": EndpointName, "EndpointStatus": at["status"],
            "EndpointConfigName": at["config"], "ProductionVariants": shown,
        }  # fmt: skip
        return told | ({"FailureReason": at["failure"]} if at.get("failure") else {})

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName not in self.configs:
            text = f'Could not find endpoint configuration "{EndpointConfigName}".'
            raise refusal("DescribeEndpointConfig", "ValidationException", text)
        return copy.deepcopy(self.configs[EndpointConfigName])

    def create_endpoint_config(self, EndpointConfigName: str, **config: Any) -> dict[str, Any]:
        self._changing("create_endpoint_config")
        if EndpointConfigName in self.configs:
            text = f'Cannot create already existing endpoint configuration "{EndpointConfigName}".'
            raise refusal("CreateEndpointConfig", "ValidationException", text)
        self.configs[EndpointConfigName] = {"EndpointConfigName": EndpointConfigName, **config}
        return {}

    def update_endpoint(self, EndpointName: str, EndpointConfigName: str) -> dict[str, Any]:
        self._changing("update_endpoint")
        at = self._settled("UpdateEndpoint", EndpointName)
        at["pending"] = EndpointConfigName
        if self.fault:
            at["failed"], self.fault = self.fault, ""
        return {}

    def update_endpoint_weights_and_capacities(
        self, EndpointName: str, DesiredWeightsAndCapacities: list[dict[str, Any]]
    ) -> dict[str, Any]:
        self._changing("update_endpoint_weights_and_capacities")
        at = self._settled("UpdateEndpointWeightsAndCapacities", EndpointName)
        at["wanted"] = {w["VariantName"]: w["DesiredWeight"] for w in DesiredWeightsAndCapacities}
        return {}

    def list_endpoint_configs(self, NameContains: str, **_page: Any) -> dict[str, Any]:
        found = [name for name in self.configs if NameContains in name]
        return {"EndpointConfigs": [{"EndpointConfigName": name} for name in found]}

    def list_models(self, NameContains: str, **_page: Any) -> dict[str, Any]:
        return {"Models": [{"ModelName": m} for m in self.models if NameContains in m]}

    def delete_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        self._changing("delete_endpoint_config")
        in_use = {at["config"] for at in self.endpoints.values()}
        in_use |= {at["pending"] for at in self.endpoints.values() if "pending" in at}
        assert EndpointConfigName not in in_use, "a configuration in use was deleted"
        del self.configs[EndpointConfigName]
        return {}

    def delete_model(self, ModelName: str) -> dict[str, Any]:
        self._changing("delete_model")
        used = {
            variant["ModelName"]
            for at in self.endpoints.values()
            for part in ("ProductionVariants", "ShadowProductionVariants")
            for variant in self.configs[at["config"]].get(part, [])
        }
        assert ModelName not in used, "a model in use was deleted"
        self.models.discard(ModelName)
        return {}
