"""Models and endpoint configurations."""

from __future__ import annotations

from typing import Any

from steward_local import authority
from steward_local.authority import Principal
from steward_local.sagemaker import image, jobs, packages, settings, state_events, store
from steward_local.sagemaker.errors import invalid
from steward_local.sagemaker.s3_files import RoleFiles
from steward_local.sagemaker.store import now

MAX_VARIANTS = 10
_SERVERLESS = (
    "One or more endpoint features are not supported using the serverless configuration. "
    "The following features are not supported: "
)


def containers_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a model, however they were given."""
    primary = model.get("PrimaryContainer")
    return [primary] if primary else model.get("Containers", [])


def create_model(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateModel`: checks the role, the image and that the artifact can be read."""
    at = store.current()
    name = params["ModelName"]
    arn = at.arn("model", name)
    given = containers_of(params)
    if len(given) != 1 or ("PrimaryContainer" in params and "Containers" in params):
        raise invalid(
            "Specify either PrimaryContainer or one of Containers; the embedded SageMaker runs "
            "models of one container."
        )
    role = params.get("ExecutionRoleArn")
    if not role:
        raise invalid("ExecutionRoleArn is required to create a model.")
    jobs.require_role(role, caller)
    resolved = _resolve(given[0], caller)
    _check_image(resolved)
    _check_artifact(resolved, role)
    record = {
        "ModelName": name,
        "ModelArn": arn,
        "CreationTime": now(),
        "EnableNetworkIsolation": False,
        **{key: value for key, value in params.items() if key != "Tags"},
    }
    with at.lock:
        if name.lower() in at.models:
            raise invalid(f'Cannot create already existing model "{arn}".')
        at.models[name.lower()] = {**record, "Resolved": resolved}
    at.tag(arn, params.get("Tags"))
    state_events.model_changed(record, at.tags[arn])
    return {"ModelArn": arn}


def _resolve(container: dict[str, Any], caller: Principal) -> dict[str, Any]:
    package_name = container.get("ModelPackageName")
    if not package_name:
        return container
    package = packages.find(package_name)
    caller.require("sagemaker:DescribeModelPackage", package["ModelPackageArn"])
    specification = package.get("InferenceSpecification") or {}
    source = (specification.get("Containers") or [{}])[0]
    kept = {
        key: source[key] for key in ("Image", "ModelDataUrl", "ModelDataSource") if key in source
    }
    variables = {**source.get("Environment", {}), **container.get("Environment", {})}
    return {**container, **kept, "Environment": variables}


def _check_image(container: dict[str, Any]) -> None:
    uri = container.get("Image")
    if not uri:
        raise invalid("The embedded SageMaker needs the Image of a model's container.")
    if image.runner_of(uri) is None:
        raise invalid(
            f"Requested image {uri} not found. (local image: {image.local_image_uri()}; it is made "
            "of this folder's code: where that changed, train again or take the old code back)"
        )


def artifact_of(container: dict[str, Any]) -> tuple[str, bool] | None:
    """S3 URI of a container's model data and whether it is one gzipped tar."""
    if container.get("ModelDataUrl"):
        return container["ModelDataUrl"], True
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if source is None:
        return None
    return source["S3Uri"], source["CompressionType"] == "Gzip"


def _check_artifact(container: dict[str, Any], role: str) -> None:
    artifact = artifact_of(container)
    if artifact is None:
        return
    uri, _ = artifact
    at = store.current()
    options = settings.current()
    credentials = authority.assume_for_service(role, jobs.SERVICE, "SageMaker")
    files = RoleFiles(credentials, options.endpoint, at.region)
    found = files.probe(uri)
    if found == "missing":
        raise invalid(f"Could not find model data at {uri}.")
    if found == "denied":
        raise invalid(
            f'Could not access model data at {uri}. Please ensure that the role "{role}" exists '
            'and that its trust relationship policy allows the action "sts:AssumeRole" for the '
            f'service principal "{jobs.SERVICE}". Also ensure that the role has "s3:GetObject" '
            f"permissions and that the object is located in {at.region}."
        )


def find_model(name: str) -> dict[str, Any]:
    """The record of a model; AWS's error when there is none."""
    at = store.current()
    record = at.models.get(name.lower())
    if record is None:
        raise invalid(f'Could not find model "{at.arn("model", name)}".')
    return record


def describe_model(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeModel`."""
    return find_model(params["ModelName"])


def delete_model(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteModel`; running endpoints keep what they loaded, as on AWS."""
    at = store.current()
    with at.lock:
        record = find_model(params["ModelName"])
        del at.models[params["ModelName"].lower()]
        tags = at.tags.pop(record["ModelArn"], {})
    state_events.model_changed(
        {key: value for key, value in record.items() if key != "Resolved"}, tags
    )
    return {}


def list_models(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListModels`."""
    return _listed(store.current().models, params, "ModelName", "Models")


def create_endpoint_config(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`CreateEndpointConfig`: variants of models that exist, in combinations that AWS allows."""
    at = store.current()
    name = params["EndpointConfigName"]
    arn = at.arn("endpoint-config", name)
    variants = params["ProductionVariants"]
    shadows = params.get("ShadowProductionVariants", [])
    _check_variants(variants, shadows, params)
    record = {
        "EndpointConfigName": name,
        "EndpointConfigArn": arn,
        "CreationTime": now(),
        **{key: value for key, value in params.items() if key != "Tags"},
    }
    with at.lock:
        if name.lower() in at.endpoint_configs:
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        at.endpoint_configs[name.lower()] = record
    at.tag(arn, params.get("Tags"))
    return {"EndpointConfigArn": arn}


def _check_variants(
    variants: list[dict[str, Any]], shadows: list[dict[str, Any]], params: dict[str, Any]
) -> None:
    if len(variants) > MAX_VARIANTS:
        raise invalid(f"An endpoint configuration has at most {MAX_VARIANTS} variants.")
    if shadows and (len(shadows) > 1 or len(variants) > 1):
        raise invalid(
            "When ShadowProductionVariants is given, exactly one production variant and one "
            "shadow variant are allowed."
        )
    names = [variant["VariantName"] for variant in [*variants, *shadows]]
    if len(set(names)) != len(names):
        raise invalid("Variant names must be unique within an endpoint configuration.")
    for variant in [*variants, *shadows]:
        if "ModelName" not in variant:
            raise invalid("ModelName is required for each variant.")
        find_model(variant["ModelName"])
        _check_capacity(variant)
    if any("ServerlessConfig" in variant for variant in [*variants, *shadows]):
        refused = [
            *(["multiple production variants"] if len(variants) > 1 else []),
            *(["shadow variants"] if shadows else []),
            *(["data capture"] if params.get("DataCaptureConfig", {}).get("EnableCapture") else []),
        ]
        if refused:
            raise invalid(_SERVERLESS + ", ".join(refused) + ".")
    if sum(variant.get("InitialVariantWeight", 1.0) for variant in variants) <= 0:
        raise invalid("At least one production variant needs a weight above zero.")


def _check_capacity(variant: dict[str, Any]) -> None:
    serverless = variant.get("ServerlessConfig")
    if serverless is None:
        if "InstanceType" not in variant:
            raise invalid("InstanceType is required for a variant without a ServerlessConfig.")
        variant.setdefault("InitialInstanceCount", 1)
        return
    if "InstanceType" in variant or "InitialInstanceCount" in variant:
        raise invalid(
            "InstanceType and InitialInstanceCount must not be given with a ServerlessConfig."
        )
    memory = serverless["MemorySizeInMB"]
    if memory % 1024:
        raise invalid(
            f"MemorySizeInMB must be 1024, 2048, 3072, 4096, 5120 or 6144, but was {memory}."
        )
    if serverless.get("ProvisionedConcurrency", 0) > serverless["MaxConcurrency"]:
        raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")


def find_endpoint_config(name: str) -> dict[str, Any]:
    """The record of an endpoint configuration; AWS's error when there is none."""
    at = store.current()
    record = at.endpoint_configs.get(name.lower())
    if record is None:
        raise invalid(f'Could not find endpoint configuration "{at.arn("endpoint-config", name)}".')
    return record


def describe_endpoint_config(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeEndpointConfig`."""
    return find_endpoint_config(params["EndpointConfigName"])


def delete_endpoint_config(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteEndpointConfig`."""
    at = store.current()
    with at.lock:
        record = find_endpoint_config(params["EndpointConfigName"])
        del at.endpoint_configs[params["EndpointConfigName"].lower()]
        at.tags.pop(record["EndpointConfigArn"], None)
    return {}


def list_endpoint_configs(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListEndpointConfigs`."""
    return _listed(
        store.current().endpoint_configs, params, "EndpointConfigName", "EndpointConfigs"
    )


def _listed(
    records: dict[str, dict[str, Any]], params: dict[str, Any], name: str, member: str
) -> dict[str, Any]:
    contains = params.get("NameContains", "").lower()
    kept = [record for record in list(records.values()) if contains in record[name].lower()]
    kept.sort(
        key=lambda record: record[name if params.get("SortBy") == "Name" else "CreationTime"],
        reverse=params.get("SortOrder", "Descending") != "Ascending",
    )
    page, token = jobs.paged(kept, params)
    return {member: page, **({"NextToken": token} if token else {})}
