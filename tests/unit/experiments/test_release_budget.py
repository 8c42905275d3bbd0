"""The rollback budget of a canary holds over its steps, looks and holds: by simulation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from steward.domain.experiments.judged_step import judged_step
from steward.domain.experiments.plan import ExperimentPlan
from steward.domain.guardrails import Counts, StepStatistics
from steward.domain.release_declaration import Release
from steward.domain.strategies import plan_for
from steward.domain.strategies.experiment_plans import experiment_plans
from steward.service.serving.judging import assemble_record

RELEASE = Release(guardrails={"error_margin": 0.0, "slow_margin": 0.0})  # type: ignore[arg-type]
PLAN = plan_for(RELEASE, "gateway", [], first=False)
LOOKS = 4


class World(NamedTuple):
    """How entities of both versions behave.

    Attributes:
        rates: Chance of an error by step.
        sticky: Share of the entities of a step that were there in the step before, and fail or
            answer as they did then.
        worse: What the candidate adds to the chance.
    """

    rates: tuple[float, float] = (0.02, 0.02)
    sticky: float = 0.0
    worse: float = 0.0


def rolled_back(world: World, plan: ExperimentPlan, rng: np.random.Generator, size: int) -> bool:
    """Play one canary up to its last step, looking ``LOOKS`` times at each."""
    places: NDArray[np.float64] = rng.random(0)
    fails: NDArray[np.bool_] = places < 0
    head: dict[str, object] = {"steps": [], "fast": {}}
    for step, rate in zip(PLAN.steps[:2], world.rates, strict=True):
        share = step.share / 100
        kept = round(world.sticky * len(places))
        fresh = size - kept
        places = np.concatenate([places[:kept], rng.random(fresh)])
        fails = np.concatenate([fails[:kept], rng.random(fresh) < rate])
        order = rng.permutation(size)
        candidate = (places < share)[order]
        failed = fails[order] | (candidate & (rng.random(size) < world.worse))
        propensities = {"candidate": share, "stable": 1 - share}
        steps = head["steps"]
        assert isinstance(steps, list)
        steps.append({"step_id": step.step_id, "phase": "ramp", "propensities": propensities})
        for look in range(1, LOOKS + 1):
            seen = slice(0, size * look // LOOKS)
            fast = {
                arm: {"units": int(of[seen].sum()), "errors": int((of & failed)[seen].sum()),
                      "slow": 0}
                for arm, of in (("candidate", candidate), ("stable", ~candidate))
            }  # fmt: skip
            frozen = head["fast"]
            assert isinstance(frozen, dict)
            frozen[step.step_id] = fast
            record = assemble_record(head, "ramp", [], holds=0, ended=False)
            statistics = StepStatistics(
                release_id="r", step_id=step.step_id, share=step.share, since="a", until="b",
                holds=look - 1, counts=Counts(requests=size, errors=0, slow=0), alarms={},
                standing=[], limits=step.limits,
            )  # fmt: skip
            if judged_step(statistics, plan, record).decision.verdict == "roll_back":
                return True
    return False


def share_rolled_back(world: World, size: int, releases: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    bakes_s = sum(step.bake_s for step in PLAN.steps[:2])
    plan = experiment_plans(RELEASE, PLAN, 2 * size / bakes_s)["ramp"]
    return sum(rolled_back(world, plan, rng, size) for _ in range(releases)) / releases


@pytest.mark.parametrize(
    ("world", "size"),
    [
        (World(), 300),
        (World(), 3000),
        (World(rates=(0.002, 0.002)), 2000),
        (World(rates=(0.01, 0.08)), 1000),
        (World(sticky=1.0), 1500),
    ],
    ids=["few", "many", "rare errors", "a base rate that moves", "entities that come again"],
)
def test_a_sound_version_is_rolled_back_within_the_budget(world: World, size: int) -> None:
    """40 canaries each; comparisons may roll back .04 of them, and did .0075 of 400 at most."""
    assert share_rolled_back(world, size, releases=40, seed=13) <= 0.05


def test_a_harmful_version_is_found() -> None:
    assert share_rolled_back(World(worse=0.1), 1500, releases=40, seed=14) >= 0.95
