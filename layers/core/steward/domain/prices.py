"""What AWS asks for, as a dated table, and what something cost by it. Dollars, before tax.

No free tier, discount or savings plan is taken off, so the sums are upper limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        scanned_tb: Dollars per TB (1024^4 bytes) that a query of Athena scans.
        labels: Of instances whose price is of another region or date: which.
    """

    region: str
    as_of: str
    sources: Mapping[str, str]
    instance_hour: Mapping[str, float]
    transition: float
    gb_second: float
    request: float
    scanned_tb: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, instance_type: str | None = None) -> str:
        """Return what to write beside a sum, of a job on an instance where one is named."""
        usual = f"{self.region} list prices of {self.as_of}"
        other = self.labels.get(instance_type or "")
        return usual if other is None else f"{usual}, {instance_type} {other}"


_TABLE = json.loads((Path(__file__).parent / "price_table.json").read_text(encoding="utf-8"))
"""The dated table; ``steward cost refresh-prices`` writes it again."""


def price_table(table: Mapping[str, Any]) -> PriceTable:
    """Return the compute prices of a table, with instances whose price is from elsewhere.

    Those are told apart by their label; a price of the table's own region goes before.
    """
    own, further = table["compute"], table.get("further_instances") or {}
    label = f"at {further.get('region')} prices of {further.get('as_of')}"
    elsewhere = {
        name: price
        for name, price in (further.get("instance_hour") or {}).items()
        if name not in own["instance_hour"]
    }
    hours = {**own["instance_hour"], **elsewhere}
    return PriceTable(
        region=table["region"],
        labels=dict.fromkeys(elsewhere, label),
        **{**own, "instance_hour": hours},
    )


US_EAST_1 = price_table(_TABLE)


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


@dataclass(frozen=True)
class TrafficPrices:
    """On-demand prices of what a request through the gateway uses, of one region at one date.

    Attributes:
        region: Region of the prices.
        as_of: Date on which they were written down, ISO.
        sources: Page by kind of price.
        log_gb: Dollars per GB that CloudWatch Logs takes, first tier.
        stream_gb: Dollars per GB that Firehose takes and unpacks, each record counted in steps.
        stream_step_bytes: Size that a record of Firehose is rounded up to.
        queue_request: Dollars per request to a standard SQS queue.
        read_unit: Dollars per consistent read of DynamoDB up to 4 KB.
        write_unit: Dollars per write of DynamoDB up to 1 KB; a transaction counts two.
        object_put: Dollars per object that is put into S3.
        object_gb_month: Dollars per GB and month in S3.
    """

    region: str
    as_of: str
    sources: Mapping[str, str]
    log_gb: float
    stream_gb: float
    stream_step_bytes: int
    queue_request: float
    read_unit: float
    write_unit: float
    object_put: float
    object_gb_month: float

    def label(self) -> str:
        """Return what to write beside a sum."""
        return f"{self.region} list prices of {self.as_of}"


TRAFFIC_US_EAST_1 = TrafficPrices(region=_TABLE["region"], **_TABLE["traffic"])
"""Written down from knowledge; only SQS's was found again elsewhere. Compare with the pages."""

_GB = 1024**3


@dataclass(frozen=True)
class RequestUse:
    """What one request uses, on average.

    Attributes:
        seconds: Billed time of the gateway.
        memory_mb: Memory of the gateway.
        log_bytes: What it logs, Lambda's own lines too.
        capture_bytes: Its exposure.
        route_reads: Reads of a route; less than 1 where requests share a cached one.
        mirrored: Share of requests that are copied to a shadow.
        shadow_seconds: Billed time of the shadow's function.
        shadow_memory_mb: Its memory.
        copies_per_batch: Copies that one call of it takes.
        kept: Share of requests whose entity's assignment is written.
    """

    seconds: float
    memory_mb: int
    log_bytes: float
    capture_bytes: float
    route_reads: float = 1.0
    mirrored: float = 0.0
    shadow_seconds: float = 0.0
    shadow_memory_mb: int = 512
    copies_per_batch: float = 1.0
    kept: float = 0.0


def million_requests_dollars(
    use: RequestUse,
    prices: TrafficPrices = TRAFFIC_US_EAST_1,
    functions: PriceTable = US_EAST_1,
) -> dict[str, float]:
    """Return what a million requests cost by part, without the endpoints that answer them.

    An upper limit but for requests to KMS, which keys of buckets and queues keep few: every
    exposure is a record of Firehose by itself, and no free tier is taken off. Parts:
    ``function``, ``logs``, ``stream``, ``storage`` (a month), ``tables``, ``mirror`` (queue,
    function and capture of the shadow), and ``total``.
    """
    million = 1_000_000
    steps = -(-use.capture_bytes // prices.stream_step_bytes)
    record_gb = steps * prices.stream_step_bytes / _GB
    stored_gb = use.capture_bytes / _GB
    logs = use.log_bytes / _GB * prices.log_gb
    stream = record_gb * prices.stream_gb
    storage = stored_gb * prices.object_gb_month
    batches = 1 / use.copies_per_batch
    queue = (1 + 2 * batches) * prices.queue_request
    shadow = function_dollars(use.shadow_memory_mb, 1, 0, functions) * batches
    shadow += function_dollars(use.shadow_memory_mb, 0, use.shadow_seconds, functions)
    parts = {
        "function": function_dollars(use.memory_mb, 1, use.seconds, functions),
        "logs": logs,
        "stream": stream,
        "storage": storage,
        "tables": use.route_reads * prices.read_unit
        + use.kept * (prices.read_unit + 2 * prices.write_unit),
        "mirror": use.mirrored * (queue + shadow + logs + stream + storage),
    }
    dollars = {name: part * million for name, part in parts.items()}
    return {**dollars, "total": sum(dollars.values())}


@dataclass(frozen=True)
class HostingPrices:
    """On-demand prices of an endpoint that stands, of one region at one date.

    Attributes:
        region: Region of the prices.
        as_of: Date on which they were written down, ISO.
        source: Page.
        provisioned_gb_second: Dollars per second and GB (1024 MB) of provisioned concurrency of
            a serverless endpoint, used or not.
        inference_gb_second: Dollars per second and GB in which a serverless endpoint answers.
        volume_gb_month: Dollars per GB and month of the volume of a job's or endpoint's instance.
        instance_hour: Dollars per hour of an instance.
    """

    region: str
    as_of: str
    source: str
    provisioned_gb_second: float
    inference_gb_second: float
    volume_gb_month: float
    instance_hour: Mapping[str, float]

    def label(self) -> str:
        """Return what to write beside a sum."""
        return f"{self.region} list prices of {self.as_of}"


HOSTING_US_EAST_1 = HostingPrices(
    region=_TABLE["region"], instance_hour=US_EAST_1.instance_hour, **_TABLE["hosting"]
)
"""All but the instances is written down from knowledge; instances cost what they do in jobs."""

HOURS_A_MONTH = 730


def standing_dollars(
    settings: Mapping[str, int | str], prices: HostingPrices = HOSTING_US_EAST_1
) -> float | None:
    """Return what a variant costs a month without a request; None where no price is known.

    A serverless variant costs its provisioned concurrency and else nothing; an instance costs
    every hour.

    Args:
        settings: ``MemorySizeInMB`` and ``ProvisionedConcurrency``, or ``InstanceType`` and
            ``InitialInstanceCount``, as a configuration has them.
        prices: The table.
    """
    if "MemorySizeInMB" in settings:
        workers = int(settings.get("ProvisionedConcurrency", 0))
        seconds = HOURS_A_MONTH * 3600
        memory_gb = int(settings["MemorySizeInMB"]) / 1024
        return workers * memory_gb * seconds * prices.provisioned_gb_second
    hourly = prices.instance_hour.get(str(settings.get("InstanceType")))
    if hourly is None:
        return None
    return hourly * int(settings.get("InitialInstanceCount", 1)) * HOURS_A_MONTH


_MB = 1024**2
_LEAST_MB = 10


def query_dollars(
    state: str, is_ddl: bool, scanned_bytes: int, prices: PriceTable = US_EAST_1
) -> float:
    """Return what a query of Athena cost: what it scanned in whole MB, at least 10 of them.

    Statements of the catalogue and failed queries are free; a cancelled one costs what it
    scanned, and nothing where that is nothing.

    Args:
        state: SUCCEEDED, FAILED or CANCELLED.
        is_ddl: Whether it is a statement of the catalogue.
        scanned_bytes: Bytes it scanned.
        prices: The table.
    """
    if is_ddl or state == "FAILED" or (state == "CANCELLED" and not scanned_bytes):
        return 0.0
    scanned_mb = max(_LEAST_MB, -(-scanned_bytes // _MB))
    return scanned_mb * _MB / 1024**4 * prices.scanned_tb
