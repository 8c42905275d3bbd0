"""A project that serves, beside the endpoints that SageMaker holds for it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from steward.contracts.steps.serving import ReleasePlan
from steward.domain.project import parse_project
from steward.ports import Item, Table
from steward.service.serving.endpoint_records import endpoint_key
from steward.service.serving.reconciling import Reconciler, Swept
from support.fake_hosting import FakeHosting
from support.serving_scene import PROJECT, ROLLBACK, Scene
from support.training_scene import declaration


@dataclass
class DriftScene(Scene):
    """A scene whose releases really create endpoints."""

    hosting: FakeHosting = field(default_factory=FakeHosting)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hosting.clock = self.clock

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
            ids=self.ids, machine=ROLLBACK, causation_id="sweep",
        )  # fmt: skip

    def sweep(self) -> Swept:
        """Look at all projects, as the schedule does."""
        return self.reconciler().sweep()

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
