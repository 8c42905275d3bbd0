"""Two runs side by side: what went in, what came out, what it cost and what was reused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steward.domain.delivery_lists import DeliveryList, list_of
from steward.domain.steps import SCHEMAS, step_attribute

Document = Mapping[str, Any]

_INPUTS = (
    "dataset_id", "config_digest", "code_digest", "image", "author", "feature_views",
)  # fmt: skip
_OUTCOME = ("status", "verdict", "version", "failed_state", "error")


def steps_of(run: Document) -> dict[str, dict[str, Any]]:
    """Return what is noted of each step of a run, in the order in which they are carried out."""
    noted = {step: run.get(step_attribute(step)) for step in SCHEMAS}
    return {step: dict(found) for step, found in noted.items() if found}


def saved_dollars(run: Document) -> float:
    """Return what the steps that a run reused cost the run that carried them out."""
    return sum(
        float(step.get("saved_dollars") or 0)
        for step in steps_of(run).values() if step["status"] == "reused"
    )  # fmt: skip


def reused_steps(run: Document) -> list[str]:
    """Return a sentence for each step that a run reused: of which run, and what that saved."""
    return [_said(name, step) for name, step in steps_of(run).items() if step["status"] == "reused"]


def _said(name: str, step: Document) -> str:
    saved = [f"{float(step['saved_s']):.0f} s"] if step.get("saved_s") is not None else []
    if step.get("saved_dollars") is not None:
        saved.append(f"${float(step['saved_dollars']):.4f}")
    return f"{name} of run {step['reused_from']}" + (f", {' and '.join(saved)} saved" * bool(saved))


def compare_runs(
    first: Document,
    second: Document,
    evaluations: tuple[Document | None, Document | None],
    dollars: tuple[float | None, float | None],
    deliveries: tuple[Sequence[str] | None, Sequence[str] | None],
) -> dict[str, Any]:
    """Return inputs, parameters, metrics, outcome, cost and reused steps, each of both runs.

    Args:
        first: A run's item.
        second: The other's.
        evaluations: ``evaluation.json`` of each, where there is one.
        dollars: Cost of each, where it is known.
        deliveries: What each trained on, None where the list cannot be read.
    """
    both = (first, second)
    parameters = [_parameters(run) for run in both]
    rows = {name: _pair(*(run.get(name) for run in both)) for name in _INPUTS}
    return {
        "runs": [run["run_id"] for run in both],
        "inputs": {**rows, "deliveries": _deliveries(both, deliveries)},
        "parameters": {
            name: _pair(*(known.get(name) for known in parameters))
            for name in sorted({*parameters[0], *parameters[1]})
        },
        "metrics": _metrics(evaluations),
        "outcome": {name: _pair(*(run.get(name) for run in both)) for name in _OUTCOME},
        "dollars": _pair(*dollars),
        "saved_dollars": _pair(*(saved_dollars(run) for run in both)),
        "steps": [steps_of(run) for run in both],
    }


def _pair(a: Any, b: Any) -> dict[str, Any]:
    return {"a": a, "b": b, "same": a == b}


def trained_list(run: Document) -> DeliveryList | None:
    """Return the list of what a run trained on, or was started for; None where it had none."""
    item = run.get("trained_on") or run.get("deliveries")
    return list_of(item) if item else None


def _deliveries(
    runs: tuple[Document, Document], named: tuple[Sequence[str] | None, Sequence[str] | None]
) -> dict[str, Any]:
    lists = [trained_list(run) for run in runs]
    digests = [listed and listed.sha256 for listed in lists]
    a, b = (set(ids or ()) for ids in named)
    known = None not in named
    return {
        "a": lists[0].count if lists[0] else 0, "b": lists[1].count if lists[1] else 0,
        "same": digests[0] == digests[1],
        "only_a": sorted(a - b)[:20] if known else None,
        "only_b": sorted(b - a)[:20] if known else None,
    }  # fmt: skip


def _parameters(run: Document) -> dict[str, Any]:
    training = dict((run.get("config") or {}).get("training") or {})
    chosen = {
        **(training.pop("hyperparameters", None) or {}),
        **(steps_of(run).get("training", {}).get("tuned") or {}),
    }
    return {**training, **{f"hyperparameters.{name}": value for name, value in chosen.items()}}


def _metrics(evaluations: tuple[Document | None, Document | None]) -> dict[str, Any]:
    known = [
        {found["metric"]: found for found in (document or {}).get("metrics", [])}
        for document in evaluations
    ]
    for one, document in zip(known, evaluations, strict=True):
        for simple in (document or {}).get("simple_forecasts", []):
            named = {f"{simple['name']}: {m['metric']}": m for m in simple["metrics"]}
            one.update(named)
    names = sorted({*known[0], *known[1]})
    return {name: {side: _estimate(k.get(name)) for side, k in zip("ab", known, strict=True)}
            for name in names}  # fmt: skip


def _estimate(found: Document | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: found.get(name) for name in ("value", "lower", "upper")}
