"""What AWS asks for, as a dated table, and what something cost by it. Dollars, before tax.

No free tier, discount or savings plan is taken off, so the sums are upper limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steward.domain.errors import UnknownPriceError


@dataclass(frozen=True)
class PriceTable:
    """On-demand prices of one region at one date.

    Attributes:
        region: Region of the prices.
        as_of: Date on which they were read, ISO.
        sources: Page by kind of price.
        instance_hour: Dollars per hour of an instance in SageMaker training and processing.
        transition: Dollars per state transition of a standard workflow.
        gb_second: Dollars per GB (1024 MB) and second of an x86 Lambda function, first tier.
        request: Dollars per Lambda invocation.
    """

    region: str
    as_of: str
    sources: Mapping[str, str]
    instance_hour: Mapping[str, float]
    transition: float
    gb_second: float
    request: float

    def label(self) -> str:
        """Return what to write beside a sum."""
        return f"{self.region} list prices of {self.as_of}"


US_EAST_1 = PriceTable(
    region="us-east-1",
    as_of="2026-11-23",
    sources={
        "instance_hour": "https://aws.amazon.com/sagemaker/pricing/",
        "transition": "https://aws.amazon.com/step-functions/pricing/",
        "lambda": "https://aws.amazon.com/lambda/pricing/",
    },
    instance_hour={
        "ml.t3.medium": 0.05,
        "ml.t3.large": 0.10,
        "ml.t3.xlarge": 0.20,
        "ml.t3.2xlarge": 0.399,
        "ml.m5.large": 0.115,
        "ml.m5.xlarge": 0.23,
        "ml.m5.2xlarge": 0.461,
        "ml.m5.4xlarge": 0.922,
        "ml.m5.12xlarge": 2.765,
        "ml.m5.24xlarge": 5.53,
        "ml.c5.xlarge": 0.204,
        "ml.c5.2xlarge": 0.408,
        "ml.c5.4xlarge": 0.816,
        "ml.c5.9xlarge": 1.836,
        "ml.c5.18xlarge": 3.672,
        "ml.r5.large": 0.151,
        "ml.r5.xlarge": 0.302,
        "ml.r5.2xlarge": 0.605,
        "ml.r5.4xlarge": 1.21,
        "ml.g4dn.xlarge": 0.7364,
        "ml.g5.xlarge": 1.408,
        "ml.p3.2xlarge": 3.825,
    },
    transition=0.025 / 1000,
    gb_second=0.0000166667,
    request=0.20 / 1_000_000,
)


def job_dollars(
    instance_type: str, instance_count: int, seconds: float, prices: PriceTable = US_EAST_1
) -> float:
    """Return what a training or processing job cost: hours of each instance times its price.

    Args:
        instance_type: Such as ``ml.m5.large``.
        instance_count: Instances side by side.
        seconds: Billable seconds of each.
        prices: The table.

    Raises:
        UnknownPriceError: The table does not list the instance type.
    """
    hourly = prices.instance_hour.get(instance_type)
    if hourly is None:
        raise UnknownPriceError(
            f"no price of {instance_type} in {prices.label()}",
            field="instance_type", value=instance_type,
            allowed=", ".join(sorted(prices.instance_hour)),
        )  # fmt: skip
    return hourly * instance_count * seconds / 3600


def function_dollars(
    memory_mb: int, calls: int, seconds: float, prices: PriceTable = US_EAST_1
) -> float:
    """Return what invocations of one Lambda function cost; ``seconds`` is their sum."""
    return memory_mb / 1024 * seconds * prices.gb_second + calls * prices.request


def transition_dollars(transitions: int, prices: PriceTable = US_EAST_1) -> float:
    """Return what an execution's state transitions cost, retries included."""
    return transitions * prices.transition
