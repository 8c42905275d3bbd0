"""Captured lines of a release as the gateway writes them, made up from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from steward.domain.experiments.units import Design, Step
from steward.domain.exposures import Exposure
from steward.domain.release_declaration import MetricGoal, ReleaseMetric

BEGAN = datetime(2026, 3, 2, 10, tzinfo=UTC)
PROJECT, RELEASE = "vitals", "00000003-1"
GOAL = MetricGoal()


def at(seconds: float) -> datetime:
    """Return a time so long after the release began."""
    return BEGAN + timedelta(seconds=seconds)


def iso(moment: datetime) -> str:
    """Return a time as our writers give it."""
    return moment.isoformat(timespec="milliseconds")


def metric(name: str, kind: str = "binary", **more: Any) -> ReleaseMetric:
    """Return a metric that is valid."""
    if kind in ("mean", "ratio", "adjusted"):
        more.setdefault("standard_deviation", 1.0)
    defaults = {"value": "outcome", "window_s": 600, "goal": GOAL}
    return ReleaseMetric.model_validate({"name": name, "kind": kind, **defaults, **more})


def step(step_id: str, share: float = 0.5, phase: str = "ab_test") -> Step:
    """Return a step with the candidate at a share."""
    return Step(
        step_id=step_id, phase=phase, propensities={"candidate": share, "stable": 1 - share}
    )


def design(*metrics: ReleaseMetric, steps: Sequence[Step] = (), **more: Any) -> Design:
    """Return what is frozen of a release."""
    return Design(
        project=PROJECT, release_id=RELEASE, steps=tuple(steps) or (step("test"),),
        metrics=metrics,
        **{"cohort_s": 600, "lateness_s": 60, "slow_ms": 500, **more},
    )  # fmt: skip


def exposure(entity: str, seconds: float, **more: Any) -> dict[str, Any]:
    """Return one captured exposure. What is given is not copied: rates need half a million."""
    role = more.pop("role", "stable")
    version = {"stable": 2}.get(role, 3)
    given = {
        "project": PROJECT, "route_version": 4, "step_id": "test", "assignment_probability": 0.5,
        "assigned_version": version, "assigned_role": role, "answering_version": version,
        "fallback": False, "entity": entity, "first_exposure": True, "shadow_pair_id": None,
        "inference_id": f"{entity}@{seconds}", "time": iso(at(seconds)), "features": {"age": 40},
        "prediction": {"probability": 0.5, "label": "no"}, "release_id": RELEASE,
        "latency_ms": 12.5,
    }  # fmt: skip
    return {**vars(Exposure(**{**given, **more}))}


def outcome(
    of: dict[str, Any] | str, value: Any, seconds: float, recorded: float | None = None
) -> dict[str, Any]:
    """Return one outcome, of an exposure or of an entity."""
    known = at(seconds if recorded is None else recorded)
    return {
        "project": PROJECT,
        "inference_id": None if isinstance(of, str) else of["inference_id"],
        "entity": of if isinstance(of, str) else None,
        "outcome": value,
        "observed_at": iso(at(seconds)),
        "recorded_at": iso(known),
    }


def write_exposures(path: Path, exposures: Sequence[dict[str, Any]]) -> Path:
    """Write exposures as Firehose delivers them."""
    path.write_text("".join(json.dumps({"capture": e}) + "\n" for e in exposures))
    return path


def write_outcomes(path: Path, outcomes: Sequence[dict[str, Any]]) -> Path:
    """Write outcomes as they are kept."""
    path.write_text("".join(json.dumps(line) + "\n" for line in outcomes))
    return path


def random_story(seed: int, entities: int = 60) -> tuple[list[Any], list[Any], Design]:
    """Return exposures, outcomes and design of a release with everything that may happen."""
    draw = random.Random(seed)
    steps = (
        step("shadow", 0.0, "shadow"), step("first", 0.2, "ramp"), step("second", 0.5, "ramp"),
    )  # fmt: skip
    exposures: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    for number in range(entities):
        entity = f"e{number:03d}"
        for _ in range(draw.choice([1, 1, 2, 5])):
            seconds = draw.choice([draw.uniform(0, 3000), 600.0 * draw.randrange(5)])
            phase = steps[min(2, int(seconds // 1000))]
            candidate = draw.random() < phase.propensities["candidate"]
            exposures.append(
                exposure(
                    entity, seconds, role="candidate" if candidate else "stable",
                    step_id=draw.choice([phase.step_id, phase.step_id, phase.step_id, "other"]),
                    inference_id=f"{entity}-{draw.random():.12f}",
                    failed=draw.random() < 0.1,
                    latency_ms=round(draw.expovariate(1 / 300), 3),
                    prediction=draw.choice([None, *[_prediction(draw)] * 9]),
                    features=_features(draw),
                )
            )  # fmt: skip
            if not candidate and draw.random() < 0.5:
                exposures.append(
                    exposure(
                        entity, seconds + draw.uniform(0, 30), role="shadow",
                        step_id=phase.step_id, shadow_pair_id=exposures[-1]["inference_id"],
                        inference_id=f"s-{draw.random():.12f}", failed=draw.random() < 0.1,
                        latency_ms=round(draw.expovariate(1 / 300), 3),
                        prediction=draw.choice([None, *[_prediction(draw)] * 9]), features={},
                    )
                )  # fmt: skip
    for captured in [e for e in exposures if e["assigned_role"] != "shadow"]:
        for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
            of = draw.choice([captured, captured, captured["entity"]])
            since = (datetime.fromisoformat(captured["time"]) - BEGAN).total_seconds()
            delay = draw.choice([0.0, 600.0, 600.001, draw.uniform(-20, 900)])
            seen = since + delay
            outcomes.append(outcome(of, _outcome(draw), seen, seen + draw.choice([0, 5, 50])))
    exposures += draw.sample(exposures, 10)
    outcomes += draw.sample(outcomes, 10)
    metrics = (
        metric("converted", value="outcome", aggregate="max"),
        metric("known", no_outcome="zero", value="CASE WHEN outcome > 0 THEN 1 ELSE 0 END"),
        metric("capped", "bounded", range=(0.0, 2.0), aggregate="mean"),
        metric("spend", "mean", aggregate="sum", no_outcome="zero"),
        metric("first_spend", "mean"),
        metric("per_request", "ratio", aggregate="sum", denominator="prediction", window_s=300),
        metric("adjusted", "adjusted", covariate="age", window_s=300, aggregate="mean"),
        metric("logarithm", "mean", value="ln(prediction - 0.1)", window_s=0),
        metric("gold", value="segment = 'gold'", window_s=0),
    )
    return exposures, outcomes, design(*metrics, steps=steps)


def _prediction(draw: random.Random) -> dict[str, Any]:
    probability = draw.choice([0.0, 1.0, draw.random(), draw.random()])
    return {"probability": probability, "label": "yes" if probability >= 0.5 else "no"}


def _features(draw: random.Random) -> dict[str, Any]:
    age = draw.choice([draw.randrange(90), draw.uniform(1, 90), None, "old"])
    return {"age": age, "segment": draw.choice(["gold", "silver", None])}


def _outcome(draw: random.Random) -> Any:
    return draw.choice(
        [True, False, 0, 1, 2.5, draw.uniform(-5, 5), "1", "lost", "NaN", 1e200, 1e99]
    )
