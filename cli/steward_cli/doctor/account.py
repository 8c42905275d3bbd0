"""The account: who calls, what its region offers, and its quotas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError

from steward_cli.doctor.findings import Finding, looked, paged
from steward_cli.target import Target

AREA = "account"

WITHOUT_FUNCTION_URLS = frozenset(
    {
        "ap-south-2", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
        "ap-east-2", "ca-west-1", "eu-south-2", "eu-central-2", "il-central-1", "me-central-1",
    }
)  # fmt: skip
"""Lambda's guide, "Creating and managing function URLs", read 2026-11-29."""

WITH_SERVERLESS_INFERENCE = frozenset(
    {
        "us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1",
        "ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1",
        "ap-southeast-2", "ca-central-1", "eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3",
        "eu-north-1", "eu-south-1", "me-south-1", "sa-east-1",
    }
)  # fmt: skip
"""Where serverless inference began in 2022, by knowledge; elsewhere the doctor does not know."""

LEAST_CONCURRENCY = 100
"""AWS keeps 100 unreserved: below it the gateway's reservation is refused."""


def account_findings(target: Target, instances: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Yield what is found of the caller, the region and the quotas.

    Args:
        target: Where to look.
        instances: Pairs of instance type and use (``training job``, ``processing job``,
            ``endpoint``) that the configured projects need.
    """
    yield from looked(AREA, "credentials", lambda: _caller(target))
    if target.engine is not None:
        yield Finding(AREA, "region", "ok", f"{target.region}, on the embedded AWS")
        yield Finding(AREA, "quotas", "ok", "the embedded AWS has none")
        return
    yield from region_findings(target.region)
    yield from looked(AREA, "lambda concurrency", lambda: _concurrency(target))
    yield from looked(AREA, "sagemaker quotas", lambda: _instances(target, sorted(set(instances))))


def _caller(target: Target) -> Iterator[Finding]:
    try:
        arn = target.identity()
    except NoCredentialsError:
        yield Finding(
            AREA, "credentials", "fail", "there are none",
            "aws configure sso, AWS_PROFILE, or `steward up` for the embedded AWS",
        )  # fmt: skip
        return
    except ClientError as error:
        code = error.response["Error"]["Code"]
        again = "sign in again: aws sso login, or fresh keys"
        yield Finding(AREA, "credentials", "fail", f"AWS refuses them: {code}", again)
        return
    if arn.endswith(":root") and target.engine is None:
        yield Finding(
            AREA, "credentials", "warn", f"{arn}, which no policy restricts",
            "use a role of your own: approvals name who signed",
        )  # fmt: skip
        return
    yield Finding(AREA, "credentials", "ok", arn)


def region_findings(region: str) -> Iterator[Finding]:
    """Yield whether a region has function URLs and serverless inference."""
    if region in WITHOUT_FUNCTION_URLS:
        yield Finding(
            AREA, "function URLs", "fail", f"{region} has none, and the gateway needs one",
            "deploy to another region",
        )  # fmt: skip
    else:
        yield Finding(AREA, "function URLs", "ok", region)
    if region in WITH_SERVERLESS_INFERENCE:
        yield Finding(AREA, "serverless inference", "ok", region)
        return
    yield Finding(
        AREA, "serverless inference", "unknown", f"not known whether {region} has it",
        "look it up; without it use serving.router: endpoint_variants",
    )  # fmt: skip


def _concurrency(target: Target) -> Iterator[Finding]:
    limits = target.client("lambda").get_account_settings()["AccountLimit"]
    total = int(limits["ConcurrentExecutions"])
    free = int(limits["UnreservedConcurrentExecutions"])
    says = f"{total} at once, {free} unreserved"
    if total <= LEAST_CONCURRENCY:
        yield Finding(
            AREA, "lambda concurrency", "fail",
            f"{says}; with {LEAST_CONCURRENCY} or less nothing can be reserved for the gateway",
            "aws service-quotas request-service-quota-increase --service-code lambda"
            " --quota-code L-B99A9384 --desired-value 1000",
        )  # fmt: skip
        return
    yield Finding(AREA, "lambda concurrency", "ok", says)


def _instances(target: Target, wanted: list[tuple[str, str]]) -> Iterator[Finding]:
    names = {f"{kind} for {use} usage": (kind, use) for kind, use in wanted}
    known: dict[str, dict[str, Any]] = {}
    if names:
        quotas = paged(
            target.client("service-quotas"), "list_service_quotas", "Quotas",
            ServiceCode="sagemaker",
        )  # fmt: skip
        known = {quota["QuotaName"]: quota for quota in quotas if quota["QuotaName"] in names}
    for name in names:
        quota = known.get(name)
        if quota is None:
            says = "Service Quotas does not list it"
            yield Finding(AREA, name, "unknown", says, "is the instance type spelt right?")
        elif float(quota["Value"]) < 1:
            yield Finding(
                AREA, name, "fail", f"{quota['Value']:g}: runs will fail",
                "aws service-quotas request-service-quota-increase --service-code sagemaker"
                f" --quota-code {quota['QuotaCode']} --desired-value 1",
            )  # fmt: skip
        else:
            yield Finding(AREA, name, "ok", f"{quota['Value']:g}")
