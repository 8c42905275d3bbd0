"""What a project cost, by run, version or month, and what a million predictions cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from steward.domain.prices import HOSTING_US_EAST_1, RequestUse, million_requests_dollars
from steward.ports import Item

By = Literal["run", "version", "month"]
MILLION = 1_000_000

USUAL_ANSWER_S = 0.05
USUAL_USE = RequestUse(seconds=0.1, memory_mb=1024, log_bytes=2500, capture_bytes=1000)
"""What a request uses where nothing was measured, of the order that bench/exposures.py prints."""

Latency = Callable[[], float | None]


_UNFINISHED = frozenset({"waiting", "running"})


def costs_by(
    by: By,
    entries: Sequence[Item],
    runs: Sequence[Item],
    versions: Sequence[Item],
    batches: Sequence[Item] = (),
) -> list[dict[str, Any]]:
    """Return one line per run, version or month: dollars, what had no price, the estimate.

    A run's cost is that of its jobs and executions, staging and release included. A version's is
    that of the run which trained it and of the batches that it scored; what led to no version is
    its own line. A run has a difference from its estimate once it has ended and all of its
    training has a price.
    """
    trained = {str(version["run_id"]): int(version["version"]) for version in versions}
    trained |= {
        str(batch["batch_id"]): int(batch["version"]) for batch in batches if batch.get("version")
    }
    ended = {
        str(run["run_id"]): run.get("estimate")
        for run in runs
        if run.get("status") not in _UNFINISHED
    }
    estimates = {str(run["run_id"]): run.get("estimate") for run in runs}
    keys: Mapping[By, Callable[[Item], str]] = {
        "run": lambda entry: str(entry["run_id"]),
        "version": lambda entry: str(trained.get(str(entry["run_id"]), "none")),
        "month": lambda entry: str(entry["at"])[:7],
    }
    lines: dict[str, dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: str(entry["at"])):
        key = keys[by](entry)
        line = lines.setdefault(
            key, {by: key, "dollars": 0.0, "entries": 0, "unpriced": 0, "since": entry["at"]}
        )
        line["dollars"] += float(entry["dollars"] or 0)
        line["entries"] += 1
        line["unpriced"] += entry["dollars"] is None
    if by == "run":
        for key, line in lines.items():
            training = _of_training(entries, key)
            actual = sum(float(entry["dollars"] or 0) for entry in training)
            line.update(_against_estimate(estimates.get(key), actual))
            if key not in ended or any(entry["dollars"] is None for entry in training):
                line["difference"] = None
    return list(lines.values())


def _of_training(entries: Iterable[Item], run: str) -> list[Item]:
    """Return what a run cost until its version was registered, which is what is estimated."""
    return [
        entry
        for entry in entries
        if entry["run_id"] == run
        and (
            entry["kind"] != "execution"
            or str(entry["detail"]["machine"]).endswith("train-candidate")
        )
    ]


def _against_estimate(estimate: Mapping[str, Any] | None, actual: float) -> dict[str, Any]:
    """Return what was estimated of the parts that entries record: storage is in none of them."""
    known: dict[str, Any] = {
        "training": actual, "expected": None, "high": None, "storage": None, "difference": None,
    }  # fmt: skip
    if estimate is None:
        return known
    stored = [part for part in estimate["parts"] if part["name"] == "storage"]
    storage = sum(float(part["expected"]) for part in stored)
    expected = float(estimate["expected"]) - storage
    high = float(estimate["high"]) - sum(float(p.get("high", p["expected"])) for p in stored)
    return {
        **known, "expected": expected, "high": high, "storage": storage,
        "difference": actual - expected,
    }  # fmt: skip


def predictions_by_version(chunks: Iterable[Item]) -> dict[int, int]:
    """Return the captured predictions of each version that monitoring still has a record of."""
    counts: dict[int, int] = {}
    for chunk in chunks:
        version = int(chunk["version"])
        counts[version] = counts.get(version, 0) + int(chunk["rows"])
    return counts


def batch_costs(entries: Iterable[Item], batches: Iterable[Item]) -> dict[str, Any]:
    """Return what batches cost, the rows that they delivered, and dollars per million of these.

    Batches that failed cost too; they have delivered no row.
    """
    known = list(batches)
    ids = {str(batch["batch_id"]) for batch in known}
    dollars = sum(float(entry["dollars"] or 0) for entry in entries if entry["run_id"] in ids)
    rows = sum(int(batch.get("rows") or 0) for batch in known if batch["status"] == "succeeded")
    million = dollars / rows * MILLION if rows else None
    return {"dollars": dollars, "rows": rows, "million": million}


def per_million(
    dollars: float, predictions: int, memory_mb: int, latency_s: float | None
) -> dict[str, Any]:
    """Return what a million predictions cost at list prices: making the model, and answering.

    Args:
        dollars: What was recorded of training, staging and releases, batches left out.
        predictions: How many answers that was spread over so far.
        memory_mb: Memory of the serverless endpoint.
        latency_s: Measured mean time in which the endpoint answers; None where unknown.
    """
    answer_s = USUAL_ANSWER_S if latency_s is None else latency_s
    endpoint = memory_mb / 1024 * answer_s * HOSTING_US_EAST_1.inference_gb_second * MILLION
    gateway = million_requests_dollars(USUAL_USE)["total"]
    making = dollars / predictions * MILLION if predictions else None
    return {
        "predictions": predictions, "making": making, "endpoint": endpoint, "gateway": gateway,
        "answering": endpoint + gateway, "answer_s": answer_s, "measured": latency_s is not None,
        "prices": HOSTING_US_EAST_1.label(),
    }  # fmt: skip
