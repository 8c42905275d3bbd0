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
NEAREST = 9
"""Of them those that count where few have data of the planned size."""

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
        jobs: Training jobs; more than one of a search.
        parallel_jobs: Of them at the same time.
        spot: Whether they train on spare capacity.
    """

    instance_type: str
    max_runtime_s: int
    data_bytes: int = 0
    instance_count: int = 1
    jobs: int = 1
    parallel_jobs: int = 1
    spot: bool = False


@dataclass(frozen=True)
class PastRun:
    """What an earlier run used; None where it did not need the part, as a reused step.

    Attributes:
        run_id: Its id.
        instance_type: Of its training job; empty without one.
        training_s: Seconds that its training jobs worked, times their instances.
        evaluation_s: Billable seconds of its processing jobs, times their instances.
        functions: Dollars of its Lambda functions.
        transitions: State transitions of its training execution.
        training_jobs: How many those were: one, or those of a search.
        billed_share: Of those seconds what was billed; below 1 on spare capacity alone.
        data_bytes: Size of the deliveries that it was started for; 0 where nobody noted it.
    """

    run_id: str
    instance_type: str = ""
    training_s: float | None = None
    evaluation_s: float | None = None
    functions: float | None = None
    transitions: int | None = None
    training_jobs: int = 1
    billed_share: float | None = None
    data_bytes: int = 0


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
    data_bytes: int = 0

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
            "parts": [part.__dict__ for part in self.parts], "data_bytes": self.data_bytes,
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
    spot: list[tuple[float, float]] = []
    jobs = 0
    instance_type = ""
    functions: float | None = None
    transitions: int | None = None
    for entry in entries:
        kind, detail = entry["kind"], entry["detail"]
        if kind == "execution" and str(detail["machine"]).endswith(machine):
            functions = float(detail["function_dollars"])
            transitions = int(detail["transitions"])
        elif "billable_s" in detail:
            worked = float(detail.get("worked_s") or detail["billable_s"])
            seconds[kind] = seconds.get(kind, 0.0) + worked * int(detail["instance_count"])
            if kind == "training_job":
                jobs += 1
                instance_type = str(detail["instance_type"])
                if detail.get("worked_s"):
                    spot.append((float(detail["billable_s"]), worked))
    return PastRun(
        run, instance_type, seconds.get("training_job"), seconds.get("processing_job"),
        functions, transitions, max(jobs, 1),
        sum(billed for billed, _ in spot) / sum(worked for _, worked in spot) if spot else None,
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
    other types do, and the basis says so. Of them those count whose data is between half and twice
    the planned size, or the nine nearest in size (by the ratio) where those are fewer. The time of
    a run on less data is scaled up in proportion to the bytes; that of one on more stands as it is.

    A search is its number of jobs times the time of one. Spare capacity is taken off by the median
    of what was measured in earlier runs on it, and by nothing before there is one; the high value
    by what those that saved least did.

    Raises:
        UnknownPriceError: The table does not list the instance type.
    """
    alike = [run for run in past if run.instance_type == planned.instance_type]
    usable = alike or [run for run in past if run.training_s is not None]
    elsewhere = "" if alike or not usable else ", on other instance types"
    timed, scaled = _of_size(usable, planned.data_bytes)
    training = _times(
        [run.training_s and run.training_s / run.training_jobs * grown for run, grown in timed],
        min(DEFAULT_TRAINING_S, planned.max_runtime_s),
        planned.max_runtime_s * planned.instance_count,
    )  # fmt: skip
    evaluation = _times(
        [run.evaluation_s and run.evaluation_s * grown for run, grown in timed],
        DEFAULT_EVALUATION_S, EVALUATION_LIMIT_S,
    )  # fmt: skip
    share, high_share, capacity = _capacity(planned, past)
    per_second = job_dollars(planned.instance_type, 1, 1, prices)
    training_s = per_second * planned.jobs
    told = training[2] + elsewhere + scaled + _search(planned, training[0]) + capacity
    jobs = [
        Part("training", training_s * share * training[0], training_s * high_share * training[1],
             told),
        Part("evaluation", per_second * evaluation[0], per_second * evaluation[1],
             evaluation[2] + elsewhere + scaled),
    ]  # fmt: skip
    job_s = (
        training[0] * planned.jobs + evaluation[0], training[1] * planned.jobs + evaluation[1]
    )  # fmt: skip
    parts = (*jobs, _functions(past, prices), _transitions(past, prices))
    storage = _storage(planned.data_bytes, job_s, hosting, traffic)
    return Estimate((*parts, storage), prices.label(planned.instance_type), planned.data_bytes)


def _of_size(runs: Sequence[PastRun], data_bytes: int) -> tuple[list[tuple[PastRun, float]], str]:
    """Return the runs that tell the time of this much data, each with its factor, and the words."""
    known = [run for run in runs if run.data_bytes > 0]
    if not known or data_bytes <= 0:
        return [(run, 1.0) for run in runs], ""

    def distance(run: PastRun) -> float:
        return abs(math.log(data_bytes / run.data_bytes))

    alike = [run for run in known if distance(run) <= math.log(2)]
    nearest = alike if len(alike) >= NEAREST else sorted(known, key=distance)[:NEAREST]
    timed = [(run, max(1.0, data_bytes / run.data_bytes)) for run in nearest]
    most = max(grown for _, grown in timed)
    return timed, f", scaled up to {most:.3g} times by size" if most > 1.005 else ""


def _search(planned: PlannedRun, seconds: float) -> str:
    if planned.jobs == 1:
        return ""
    rounds = math.ceil(planned.jobs / planned.parallel_jobs)
    return (
        f"; a search of {planned.jobs} such jobs, {planned.parallel_jobs} at a time, is over after "
        f"about {rounds * seconds:.0f} s"
    )


def _capacity(planned: PlannedRun, past: Sequence[PastRun]) -> tuple[float, float, str]:
    """Return the share of the seconds that spare capacity bills, a high one, and the words."""
    if not planned.spot:
        return 1.0, 1.0, ""
    shares = [run.billed_share for run in past if run.billed_share is not None]
    if not shares:
        return 1.0, 1.0, "; spare capacity, its saving not measured yet: list price"
    share, high = _median(shares), min(1.0, high_of(shares))
    return (
        share,
        high,
        f"; spare capacity billed {share * 100:.0f} % of the time in {_count(shares)}",
    )


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
