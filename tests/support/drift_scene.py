"""A project that serves, beside the endpoints that SageMaker holds for it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward.contracts.steps.serving import ReleasePlan
from steward.domain.project import parse_project
from steward.ports import Item, Table
from steward.service.serving.endpoint_records import endpoint_key
from steward.service.serving.reaping import Reaper
from steward.service.serving.reconciling import Reconciler, Swept
from support.fake_hosting import FakeHosting
from support.fakes import FakeEndpoints
from support.serving_scene import PROJECT, RELEASE, ROLE, ROLLBACK, Scene
from support.training_scene import declaration


@dataclass
class FakeEndpointMetrics:
    """When endpoints were asked, by name."""

    asked: dict[str, list[datetime]] = field(default_factory=dict)

    def invocations(
        self, endpoint: str, variants: Sequence[str], since: datetime, until: datetime
    ) -> int:
        assert variants
        return sum(since <= moment < until for moment in self.asked.get(endpoint, []))


class HostedEndpoints(FakeEndpoints):
    """Endpoints whose deletion SageMaker sees."""

    def __init__(self, hosting: FakeHosting) -> None:
        super().__init__()
        self.hosting = hosting

    def delete(self, endpoint: str, parts: str | None = None) -> None:
        self.hosting.remove(endpoint)
        super().delete(endpoint, parts)
        if endpoint in self.hosting.endpoints:
            self.hosting.settle(endpoint)
            self.deleted.append(endpoint)


@dataclass
class DriftScene(Scene):
    """A scene whose releases really create endpoints."""

    hosting: FakeHosting = field(default_factory=FakeHosting)
    asked: FakeEndpointMetrics = field(default_factory=FakeEndpointMetrics)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hosting.clock = self.clock
        self.endpoints = HostedEndpoints(self.hosting)

    def plan(self, release_id: str) -> ReleasePlan:
        planned = super().plan(release_id)
        if planned.endpoint.create and planned.endpoint.endpoint not in self.hosting.endpoints:
            made = planned.endpoint
            self.hosting.ensure([made.model], made.config)
            self.hosting.create(made.request)
            self.hosting.settle(made.endpoint)
            self.hosting.asked.clear()
        return planned

    def declare_serving(self, **serving: Any) -> None:
        """Change what the project declares of its endpoints."""
        told = declaration()
        told["serving"] = {**told.get("serving", {}), **serving}
        self.project = parse_project(told)
        config = self.project.model_dump(mode="json")
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})

    def reconciler(self) -> Reconciler:
        return Reconciler(
            state=self.state, hosting=self.hosting, workflows=self.workflows, clock=self.clock,
            ids=self.ids, machine=ROLLBACK, causation_id="sweep", environment="dev",
        )  # fmt: skip

    def sweep(self) -> Swept:
        """Look at all projects, as the schedule does."""
        return self.reconciler().sweep()

    def reaper(self, actor: str = "steward") -> Reaper:
        return Reaper(
            state=self.state, hosting=self.hosting, endpoints=self.endpoints, metrics=self.asked,
            workflows=self.workflows, clock=self.clock, ids=self.ids, machine=RELEASE,
            role_arn=ROLE, causation_id="sweep", environment="dev", actor=actor,
        )  # fmt: skip

    def host(self, endpoint: str, role_arn: str = ROLE, **serverless: int) -> None:
        """Let SageMaker have an endpoint that no release made."""
        name = f"{endpoint}-9"
        settings = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, **serverless}
        model = {
            "ModelName": name, "ExecutionRoleArn": role_arn,
            "PrimaryContainer": {"Image": "jobs", "ModelDataUrl": "s3://a/m"},
        }  # fmt: skip
        variant = {"VariantName": "AllTraffic", "ModelName": name, "ServerlessConfig": settings}
        self.hosting.ensure([model], {"EndpointConfigName": name, "ProductionVariants": [variant]})
        self.hosting.create({"EndpointName": endpoint, "EndpointConfigName": name})
        self.hosting.settle(endpoint)
        self.hosting.asked.clear()

    def record(self, endpoint: str) -> Item:
        found = self.state.get(Table.VERSIONS, endpoint_key(PROJECT, endpoint))
        assert found is not None
        return found

    def put_on_another_config(self, endpoint: str, **settings: Any) -> str:
        """Let somebody update an endpoint around Steward; return the configuration's name."""
        live = self.hosting.endpoints[endpoint]["EndpointConfigName"]
        other = copy.deepcopy(self.hosting.configs[live]) | {"EndpointConfigName": "hotfix-7"}
        other["ProductionVariants"][0]["ServerlessConfig"] |= settings
        self.hosting.configs["hotfix-7"] = other
        self.hosting.endpoints[endpoint]["EndpointStatus"] = "InService"
        self.hosting.update(endpoint, "hotfix-7")
        self.hosting.settle(endpoint)
        self.hosting.asked.clear()
        return "hotfix-7"
