"""The requests that make an endpoint of a version, and what is removed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.contracts.steps.serving import EndpointPlan
from steward.domain import names
from steward.domain.errors import DependencyError, EvidenceIncompleteError
from steward.ports import Endpoints, Item

if TYPE_CHECKING:
    from steward.domain.project import Serving

READY = frozenset({"InService", "Creating", "Updating", "SystemUpdating"})


def endpoint_plan(
    version: Item,
    stage: str,
    suffix: str,
    serving: Serving,
    *,
    environment: str,
    endpoints: Endpoints,
    role_arn: str,
) -> EndpointPlan:
    """Return what SageMaker has to create for a stage of a version.

    The names of model and configuration carry ``suffix``, since both are immutable. A live
    endpoint of that stage is taken as it is: a stage of a version never has another artifact.

    Raises:
        EvidenceIncompleteError: The registry record lacks the artifact or the image.
        DependencyError: A dead endpoint of that name is still being removed.
    """
    project, number = str(version["project"]), int(version["version"])
    name = names.model_name(environment, project, number, stage, suffix)
    model = model_request(version, name, role_arn)
    endpoint = names.endpoint_name(environment, project, number, stage)
    status = endpoints.status(endpoint)
    if status is not None and status not in READY:
        endpoints.delete(endpoint)
        raise DependencyError(f"endpoint {endpoint} is {status} and must be gone first")
    workers: dict[str, int] = {
        "MemorySizeInMB": serving.memory_mb,
        "MaxConcurrency": serving.max_concurrency,
    }
    if stage == "prod" and serving.provisioned_concurrency:
        workers["ProvisionedConcurrency"] = serving.provisioned_concurrency
    variant = {"VariantName": "AllTraffic", "ModelName": name, "ServerlessConfig": workers}
    return EndpointPlan(
        endpoint=endpoint,
        create=status is None,
        model=model,
        config={"EndpointConfigName": name, "ProductionVariants": [variant]},
        request={"EndpointName": endpoint, "EndpointConfigName": name},
    )


def model_request(version: Item, name: str, role_arn: str) -> dict[str, Any]:
    """Return the request of ``CreateModel``.

    Raises:
        EvidenceIncompleteError: The registry record lacks the artifact or the image.
    """
    for field in ("artifact_uri", "job_image"):
        if not version.get(field):
            raise EvidenceIncompleteError(
                f"version {version['version']} of {version['project']} has no {field}",
                field=field, value=version.get(field), allowed="what training recorded",
            )  # fmt: skip
    return {
        "ModelName": name,
        "ExecutionRoleArn": role_arn,
        "PrimaryContainer": {
            "Image": version["job_image"],
            "ModelDataUrl": version["artifact_uri"],
        },
    }
