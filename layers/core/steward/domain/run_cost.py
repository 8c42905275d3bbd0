"""What a training run is expected to cost, from what earlier runs used. Dollars, before tax.

Each part has an expected and a high value. The expected one is the median of earlier runs. The
high one is an order statistic: of n runs alike, the next one stays at or below the k-th smallest
with probability k / (n + 1), so the smallest k with k / (n + 1) >= 0.9 is taken. Below nine runs
no order statistic gives that, and twice the largest stands in for it. The sum of high parts is
above what nine runs in ten cost, since parts are seldom high together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steward.domain.prices import (
    HOSTING_US_EAST_1,
    HOURS_A_MONTH,
    TRAFFIC_US_EAST_1,
    US_EAST_1,
    HostingPrices,
    PriceTable,
    TrafficPrices,
    function_dollars,
    job_dollars,
    transition_dollars,
)

COVERAGE = 0.9
LATEST_RUNS = 20
"""Runs that are looked back on."""

VOLUME_GB = 30
EVALUATION_LIMIT_S = 3600

DEFAULT_TRAINING_S = 600.0
DEFAULT_EVALUATION_S = 300.0
DEFAULT_TRANSITIONS = 40
DEFAULT_FUNCTION_CALLS = 20
DEFAULT_FUNCTION_S = 60.0
DEFAULT_FUNCTION_MB = 1024
"""What stands for a project that has no run yet; high values are the limits, or twice as much."""

_KEPT_FLOOR_BYTES = 50 * 1024**2
_GB = 1024**3


@dataclass(frozen=True)
class PlannedRun:
    """What is known of a run before it starts.

    Attributes:
        instance_type: Of its training and evaluation job.
        max_runtime_s: The training job is stopped after it.
        data_bytes: Size of its deliveries, which it copies into a dataset.
        instance_count: Instances of the training job.
    """

    instance_type: str
    max_runtime_s: int
    data_bytes: int = 0
    instance_count: int = 1


@dataclass(frozen=True)
class PastRun:
    """What an earlier run used; None where it did not need the part, as a reused step.

    Attributes:
        run_id: Its id.
        instance_type: Of its training job; empty without one.
        training_s: Billable seconds of its training jobs, times their instances.
        evaluation_s: Billable seconds of its processing jobs, times their instances.
        functions: Dollars of its Lambda functions.
        transitions: State transitions of its training execution.
    """

    run_id: str
    instance_type: str = ""
    training_s: float | None = None
    evaluation_s: float | None = None
    functions: float | None = None
    transitions: int | None = None


@dataclass(frozen=True)
class Part:
    """One part of an estimate.

    Attributes:
        name: ``training``, ``evaluation``, ``functions``, ``transitions`` or ``storage``.
        expected: Dollars.
        high: Dollars.
        basis: What both come from, for people.
    """

    name: str
    expected: float
    high: float
    basis: str


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to cost."""

    parts: tuple[Part, ...]
    prices: str

    @property
    def expected(self) -> float:
        """Dollars, sum of the expected parts."""
        return sum(part.expected for part in self.parts)

    @property
    def high(self) -> float:
        """Dollars, sum of the high parts."""
        return sum(part.high for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as a run's item and ``--json`` hold it."""
        return {
            "expected": self.expected, "high": self.high, "prices": self.prices,
            "parts": [part.__dict__ for part in self.parts],
        }  # fmt: skip


def time_partition(project: str) -> str:
    """Return the partition of the cost table that holds a project's entries by time."""
    return f"{project}#time"


def time_item(at: str, entry: str) -> str:
    """Return the sort key of an entry there; it starts with the month."""
    return f"{at}#{entry}"


def month_of(moment: datetime) -> str:
    """Return the calendar month of a time in UTC, such as ``2026-11``."""
    return moment.strftime("%Y-%m")


def _median(values: Sequence[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def high_of(values: Sequence[float]) -> float:
    """Return a bound that the next value keeps with a probability of ``COVERAGE``.

    The order statistic that the module names, or twice the largest value where there are too
    few. At least one value.
    """
    rank = math.ceil(COVERAGE * (len(values) + 1))
    ordered = sorted(values)
    return ordered[rank - 1] if rank <= len(ordered) else 2 * ordered[-1]


def past_runs(entries: Iterable[Mapping[str, Any]], machine: str) -> list[PastRun]:
    """Return what the latest runs used, newest first, from cost entries in any order.

    Only runs whose training execution succeeded count: a failed one stopped early and says
    little of the next. ``COVERAGE`` is of the latest ``LATEST_RUNS``.

    Args:
        entries: Items of the cost table, of one project.
        machine: How the name of the training machine ends.
    """
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    ended: dict[str, str] = {}
    for entry in entries:
        run, detail = str(entry["run_id"]), entry["detail"]
        by_run.setdefault(run, []).append(entry)
        trained = entry["kind"] == "execution" and str(detail["machine"]).endswith(machine)
        if trained and detail["status"] == "SUCCEEDED":
            ended[run] = str(entry["at"])
    latest = sorted(ended, key=lambda run: ended[run], reverse=True)[:LATEST_RUNS]
    return [_past_run(run, by_run[run], machine) for run in latest]


def _past_run(run: str, entries: Sequence[Mapping[str, Any]], machine: str) -> PastRun:
    seconds: dict[str, float] = {}
    instance_type = ""
    functions: float | None = None
    transitions: int | None = None
    for entry in entries:
        kind, detail = entry["kind"], entry["detail"]
        if kind == "execution" and str(detail["machine"]).endswith(machine):
            functions = float(detail["function_dollars"])
            transitions = int(detail["transitions"])
        elif "billable_s" in detail:
            used = float(detail["billable_s"]) * int(detail["instance_count"])
            seconds[kind] = seconds.get(kind, 0.0) + used
            if kind == "training_job":
                instance_type = str(detail["instance_type"])
    return PastRun(
        run, instance_type, seconds.get("training_job"), seconds.get("processing_job"),
        functions, transitions,
    )  # fmt: skip


def estimate(
    planned: PlannedRun,
    past: Sequence[PastRun],
    prices: PriceTable = US_EAST_1,
    hosting: HostingPrices = HOSTING_US_EAST_1,
    traffic: TrafficPrices = TRAFFIC_US_EAST_1,
) -> Estimate:
    """Return what a run is expected to cost.

    Runs on the planned instance type tell the time of its jobs; where there are none, those on
    other types do, and the basis says so. It does not follow the size of the data: a delivery
    ten times as large takes longer than the runs before it.

    Raises:
        UnknownPriceError: The table does not list the instance type.
    """
    alike = [run for run in past if run.instance_type == planned.instance_type]
    timed = alike or [run for run in past if run.training_s is not None]
    elsewhere = "" if alike or not timed else ", on other instance types"
    training = _times(
        [run.training_s for run in timed], min(DEFAULT_TRAINING_S, planned.max_runtime_s),
        planned.max_runtime_s * planned.instance_count,
    )  # fmt: skip
    evaluation = _times(
        [run.evaluation_s for run in timed], DEFAULT_EVALUATION_S, EVALUATION_LIMIT_S
    )
    per_second = job_dollars(planned.instance_type, 1, 1, prices)
    jobs = [
        Part(name, per_second * low, per_second * high, basis + elsewhere)
        for name, (low, high, basis) in (("training", training), ("evaluation", evaluation))
    ]
    job_s = (training[0] + evaluation[0], training[1] + evaluation[1])
    parts = (*jobs, _functions(past, prices), _transitions(past, prices))
    storage = _storage(planned.data_bytes, job_s, hosting, traffic)
    return Estimate((*parts, storage), prices.label())


def _times(
    seconds: Sequence[float | None], default: float, limit: float
) -> tuple[float, float, str]:
    known = [value for value in seconds if value is not None]
    if not known:
        return default, float(limit), f"no run yet: {default:.0f} s, at most {limit:.0f} s"
    expected, high = min(_median(known), limit), min(high_of(known), limit)
    return expected, high, f"{_count(known)}: {expected:.0f} s, high {high:.0f} s"


def _count(known: Sequence[float]) -> str:
    return f"{len(known)} run{'s' if len(known) > 1 else ''}"


def _functions(past: Sequence[PastRun], prices: PriceTable) -> Part:
    known = [run.functions for run in past if run.functions is not None]
    if known:
        return Part("functions", _median(known), high_of(known), _count(known))
    usual = function_dollars(
        DEFAULT_FUNCTION_MB, DEFAULT_FUNCTION_CALLS, DEFAULT_FUNCTION_S, prices
    )
    calls = f"no run yet: {DEFAULT_FUNCTION_CALLS} calls, {DEFAULT_FUNCTION_S:.0f} s"
    return Part("functions", usual, 2 * usual, calls)


def _transitions(past: Sequence[PastRun], prices: PriceTable) -> Part:
    known = [float(run.transitions) for run in past if run.transitions is not None]
    expected = _median(known) if known else float(DEFAULT_TRANSITIONS)
    high = high_of(known) if known else 2.0 * DEFAULT_TRANSITIONS
    each = transition_dollars(1, prices)
    basis = f"{_count(known) if known else 'no run yet'}: {expected:.0f}, high {high:.0f}"
    return Part("transitions", expected * each, high * each, basis)


def _storage(
    data_bytes: int, job_s: tuple[float, float], hosting: HostingPrices, traffic: TrafficPrices
) -> Part:
    """Return volumes of the jobs, and a month in S3 of dataset and model."""
    second = VOLUME_GB * hosting.volume_gb_month / (HOURS_A_MONTH * 3600)
    kept = max(data_bytes, _KEPT_FLOOR_BYTES) / _GB * traffic.object_gb_month
    basis = f"{VOLUME_GB} GB volumes while jobs run; dataset and model a month in S3"
    return Part("storage", second * job_s[0] + kept, second * job_s[1] + 2 * kept, basis)
