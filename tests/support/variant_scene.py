"""A project on production variants, on fakes, and the tasks that its machines play."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from steward.contracts.steps.serving import ApplyRoute
from steward.domain import names
from steward.domain.project import parse_project
from steward.ports import Table
from steward.service.serving.applying import apply_route, settle
from support.machine_player import Task, TaskError
from support.serving_machines import step
from support.serving_scene import PROJECT, Scene
from support.training_scene import declaration

ENDPOINT = names.variants_endpoint("dev", PROJECT)


class VariantScene(Scene):
    """The world of one test, its project routed by production variants."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.declare_variants()

    def declare_variants(self, **release: Any) -> None:
        told = declaration()
        told["release"] = {**told.get("release", {}), **release}
        told["serving"] = {
            "router": "endpoint_variants", "variants": {"instance_type": "ml.m5.large"},
        }  # fmt: skip
        self.project = parse_project(told)
        config = self.project.model_dump(mode="json")
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})

    def weights(self) -> dict[str, float]:
        return self.sagemaker.weights(ENDPOINT)

    def settle(self) -> dict[str, Any]:
        """Do what the event of a release's end starts."""
        return settle(
            PROJECT, state=self.state, router=self.router, clock=self.clock,
            sleep=self.clock.advance,
        )  # fmt: skip

    def tasks(self) -> dict[str, Any]:
        """Return the tasks of the machines that SageMaker and the router play."""
        return {
            "CreateModel": self._model,
            "CreateVariants": _asked(self.sagemaker.create_endpoint_config),
            "UpdateEndpoint": _asked(self.sagemaker.update_endpoint),
            "CreateEndpoint": self._create,
            "DescribeEndpoint": _asked(self.sagemaker.describe_endpoint),
            "ApplyRoute": step(ApplyRoute, self.apply),
        }

    def apply(self, command: ApplyRoute) -> Any:
        return apply_route(command, state=self.state, router=self.router, clock=self.clock)

    def _model(self, arguments: Any) -> Any:
        self.sagemaker.models.add(arguments["ModelName"])
        return {}

    def _create(self, arguments: Any) -> Any:
        config = self.sagemaker.configs[arguments["EndpointConfigName"]]
        self.sagemaker.add(arguments["EndpointName"], config)
        return {}


def _asked(call: Callable[..., Any]) -> Task:
    def task(arguments: Any) -> Any:
        try:
            return call(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            name = {"ResourceLimitExceeded": "ResourceLimitExceededException"}.get(code)
            told = error.response["Error"]["Message"]
            raise TaskError(f"SageMaker.{name or 'SageMakerException'}", told) from error

    return task
