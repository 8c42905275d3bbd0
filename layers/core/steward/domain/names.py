"""The one builder of names that AWS limits: length, alphabet, uniqueness for good."""

from __future__ import annotations

import re
from typing import Literal

from steward.domain.errors import RejectedError

PRIMARY = "data"
"""The source that means the primary table itself."""
PROJECT_PATTERN = r"^[a-z][a-z0-9-]{1,19}$"
_SAGEMAKER_NAME = re.compile(r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")


def check_project(name: str) -> str:
    """Return ``name`` if it may name a project.

    Raises:
        RejectedError: The name does not match ``PROJECT_PATTERN`` or ends in a hyphen.
    """
    if not re.match(PROJECT_PATTERN, name) or name.endswith("-"):
        raise RejectedError(
            f"project name {name!r} is not allowed",
            field="project",
            value=name,
            allowed=f"{PROJECT_PATTERN}, not ending in a hyphen",
        )
    return name


def sagemaker_name(*parts: str | int) -> str:
    """Join ``parts`` with hyphens into a SageMaker name of at most 63 characters.

    Raises:
        RejectedError: The name is too long or has a character that SageMaker refuses.
    """
    name = "-".join(str(part) for part in parts)
    if not _SAGEMAKER_NAME.match(name):
        raise RejectedError(
            f"{name!r} is no SageMaker name",
            field="name",
            value=name,
            allowed="letters, digits and single hyphens between them, at most 63 characters",
        )
    return name


def package_group(environment: str, project: str) -> str:
    """Return the model package group of a project in one environment."""
    return sagemaker_name("steward", environment, project)


def card_name(environment: str, project: str, version: int) -> str:
    """Return the SageMaker model card of a version; each has its own, with its own status."""
    return sagemaker_name("steward", environment, project, f"v{version}")


def run_id(run_key: str, attempt: int) -> str:
    """Return the id of one attempt at a run: first 12 digits of its key, then the attempt."""
    return f"{run_key[:12]}-{attempt}"


def job_name(environment: str, project: str, run: str, kind: str, retry: int = 0) -> str:
    """Return the name of a run's job, unique per account for good.

    Args:
        environment: The environment, of which an account may have several.
        project: Project name.
        run: Run id, which holds the attempt.
        kind: ``train``, ``eval``, ``test``, ``rehearse`` or ``batch``.
        retry: Redrives and retries of the state so far; each needs a fresh name.
    """
    suffix = [f"r{retry}"] if retry else []
    return sagemaker_name(environment, project, run, kind, *suffix)


def tuning_job(environment: str, run: str) -> str:
    """Return the name of a run's search, which SageMaker continues in the names of its jobs.

    It has at most 32 characters, which a project's name would exceed; the run id holds it by its
    digest.
    """
    return f"t-{environment}-{run}"


def endpoint_name(environment: str, project: str, version: int, stage: str) -> str:
    """Return the endpoint of a version in a stage: ``staging`` or ``prod``.

    The stage says which of a version's endpoints it is, in each environment the same two.
    """
    return sagemaker_name(environment, project, f"v{version}", stage)


def model_name(environment: str, project: str, version: int, stage: str, suffix: str) -> str:
    """Return the model and endpoint-configuration name of one deployment of a version."""
    return sagemaker_name(endpoint_name(environment, project, version, stage), suffix)


def variants_endpoint(environment: str, project: str) -> str:
    """Return the one endpoint on which a project's versions answer as production variants.

    No endpoint of a version has this name, as those have digits after the ``v``.
    """
    return sagemaker_name(environment, project, "variants", "prod")


def variants_config(environment: str, project: str, label: str | int) -> str:
    """Return a configuration of that endpoint; configurations are immutable."""
    return sagemaker_name(variants_endpoint(environment, project), label)


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_REMADE = re.compile(r"-[rz][0-9a-z]{6,7}$")


def remade(name: str, mark: Literal["r", "z"], seconds: int) -> str:
    """Return a name for what ``name`` is made anew as, since a name in use cannot be taken again.

    Args:
        name: Of a model or a configuration; its own mark, if it has one, gives way.
        mark: ``r`` for a repair, ``z`` for a configuration without provisioned concurrency.
        seconds: Time of the epoch; to base 36, as names have no room for ten digits.
    """
    digits = ""
    while seconds:
        seconds, last = divmod(seconds, 36)
        digits = _DIGITS[last] + digits
    return sagemaker_name(_REMADE.sub("", name), f"{mark}{digits}")


def variant_name(version: int) -> str:
    """Return the production variant that a version is on its project's endpoint."""
    return f"v{version}"


_VARIANT = re.compile(r"^v(?P<version>[1-9]\d{0,8})$")


def version_of_variant(name: str) -> int | None:
    """Return the version that a production variant is, or None for anybody else's name."""
    match = _VARIANT.match(name)
    return int(match["version"]) if match else None


_OWN_PROJECT = PROJECT_PATTERN[1:-1]
_VARIANTS_ENDPOINT = re.compile(rf"^(?P<project>{_OWN_PROJECT})-variants-prod$")
_ENDPOINT = re.compile(
    rf"^(?P<project>{_OWN_PROJECT})-v(?P<version>[1-9]\d*)-(?P<stage>prod|staging)$"
)
_HOSTED = re.compile(
    rf"^(?P<project>{_OWN_PROJECT})-(?:v(?P<version>[1-9]\d*)-(?:prod|staging|batch)|variants-prod)(?:-|$)"
)


def _within(environment: str, name: str) -> str:
    """Return what follows the environment in a name, nothing where it is another's."""
    prefix = f"{environment}-"
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


def project_of_variants_endpoint(environment: str, name: str) -> str | None:
    """Return the project whose versions answer on an endpoint, or None for any other."""
    match = _VARIANTS_ENDPOINT.match(_within(environment, name))
    return match["project"] if match else None


def stage_of(environment: str, endpoint: str) -> tuple[str, int, str] | None:
    """Return project, version and stage of a version's endpoint; None where it is not ours."""
    match = _ENDPOINT.match(_within(environment, endpoint))
    return (match["project"], int(match["version"]), match["stage"]) if match else None


def project_of_endpoint(environment: str, name: str) -> str | None:
    """Return the project that an endpoint answers production requests for, None for any other."""
    told = stage_of(environment, name)
    if told is not None:
        return told[0] if told[2] == "prod" else None
    return project_of_variants_endpoint(environment, name)


def hosted_of(environment: str, name: str) -> tuple[str, int | None] | None:
    """Return project and version of an endpoint, a configuration or a model of ours.

    The version is None for the endpoint of all versions and its configurations; all of it is
    None for anybody else's name.
    """
    match = _HOSTED.match(_within(environment, name))
    if match is None:
        return None
    return match["project"], int(match["version"]) if match["version"] else None


def metric_namespace(environment: str) -> str:
    """Return the CloudWatch namespace of an environment's own metrics."""
    return f"Steward/{environment}"


def alarm_name(environment: str, project: str, signal: str) -> str:
    """Return the name of a project's guardrail alarm, such as ``candidate-errors``."""
    return f"steward-{environment}-{project}-{signal}"


_DELIVERY_KEY = re.compile(rf"^deliveries/(?P<project>{PROJECT_PATTERN[1:-1]})/(?P<path>.*[^/])$")


def delivery_of_key(key: str) -> tuple[str, str] | None:
    """Return project and path of a key below ``deliveries/<project>/``; None for any other key.

    Folder markers, keys that end in a slash, are none.
    """
    match = _DELIVERY_KEY.match(key)
    return (match["project"], match["path"]) if match else None


def feature_group_name(environment: str, project: str, group: str, version: int) -> str:
    """Return the SageMaker feature group of one version of a project's feature group."""
    return sagemaker_name("steward", environment, project, group, f"v{version}")


_JOB_NAME = re.compile(
    r"^(?P<project>[a-z][a-z0-9-]{1,19})-(?P<run>[0-9a-f]{12}-\d+)-"
    r"(?:(?P<kind>train|eval|test|rehearse|batch)(?:-r\d+)?|(?P<print>card)-[0-9a-f]{8}-\d)$"
)


def job_of(environment: str, name: str) -> tuple[str, str, str] | None:
    """Return project, run id and kind of a job of ours, or None for anybody else's name."""
    match = _JOB_NAME.match(_within(environment, name))
    return (match["project"], match["run"], match["kind"] or match["print"]) if match else None
