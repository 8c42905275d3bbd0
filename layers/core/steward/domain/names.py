"""The one builder of names that AWS limits: length, alphabet, uniqueness for good."""

from __future__ import annotations

import re

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


def job_name(project: str, run: str, kind: str, retry: int = 0) -> str:
    """Return the name of a run's job, unique per account for good.

    Args:
        project: Project name.
        run: Run id, which holds the attempt.
        kind: ``train``, ``eval``, ``test``, ``rehearse`` or ``batch``.
        retry: Redrives and retries of the state so far; each needs a fresh name.
    """
    suffix = [f"r{retry}"] if retry else []
    return sagemaker_name(project, run, kind, *suffix)


def endpoint_name(project: str, version: int, stage: str) -> str:
    """Return the endpoint of a version in a stage: ``staging`` or ``prod``."""
    return sagemaker_name(project, f"v{version}", stage)


def model_name(project: str, version: int, stage: str, suffix: str) -> str:
    """Return the model and endpoint-configuration name of one deployment of a version."""
    return sagemaker_name(project, f"v{version}", stage, suffix)


def variants_endpoint(project: str) -> str:
    """Return the one endpoint on which a project's versions answer as production variants.

    No endpoint of a version has this name, as those have digits after the ``v``.
    """
    return sagemaker_name(project, "variants", "prod")


def variants_config(project: str, label: str | int) -> str:
    """Return a configuration of that endpoint; configurations are immutable."""
    return sagemaker_name(variants_endpoint(project), label)


def variant_name(version: int) -> str:
    """Return the production variant that a version is on its project's endpoint."""
    return f"v{version}"


_VARIANT = re.compile(r"^v(?P<version>[1-9]\d{0,8})$")


def version_of_variant(name: str) -> int | None:
    """Return the version that a production variant is, or None for anybody else's name."""
    match = _VARIANT.match(name)
    return int(match["version"]) if match else None


_VARIANTS_ENDPOINT = re.compile(rf"^(?P<project>{PROJECT_PATTERN[1:-1]})-variants-prod$")


def project_of_variants_endpoint(name: str) -> str | None:
    """Return the project whose versions answer on an endpoint, or None for any other."""
    match = _VARIANTS_ENDPOINT.match(name)
    return match["project"] if match else None


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
    r"(?:(?P<kind>train|eval|test|rehearse|batch)(?:-r\d+)?|(?P<print>card)-[0-9a-f]{12}-\d)$"
)


def job_of(name: str) -> tuple[str, str, str] | None:
    """Return project, run id and kind of a job of ours, or None for anybody else's name."""
    match = _JOB_NAME.match(name)
    return (match["project"], match["run"], match["kind"] or match["print"]) if match else None
