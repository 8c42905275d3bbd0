"""A bandit and shadow traffic on the deployed stack, from the first request to the end.

Shares move by a table of assignments, copies go through the mirror queue, pairs are frozen from
what Firehose delivers: nothing is played by hand but the patients.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steward.domain.experiments.cohorts import cohorts_of
from steward.domain.experiments.plan import PAIRED
from steward.ports import Item, Table
from steward_cli.asking import Asked
from support.laboratory_stack import Laboratory, eventually
from support.trial import Trial

pytestmark = pytest.mark.e2e

BANDIT = """  strategy: bandit
  bake_s: 10
  tick_s: 60
  cohort_s: 1
  lateness_s: 10
  minimum_units: 80
  bandit: {floor: 0.2, duration_s: 36000, batch_s: 60}
  metrics:
    - name: recovered
      kind: binary
      value: outcome
      aggregate: max
      window_s: 5
      expected: 0.3
      goal: {}
"""
SHADOW = """  strategy: canary
  shadow_first: true
  steps: [50, 100]
  bake_s: 60
  tick_s: 60
  cohort_s: 1
  lateness_s: 10
  minimum_units: 20
  shadow: {duration_s: 180, max_difference: 0.05}
"""
PATIENT = 'row["bmi"] == 25.0 and row["bp"] == 90.0'
"""What every patient of these tests has, and no example that a version is staged with."""


@dataclass(frozen=True)
class Played:
    """A release that has ended.

    Attributes:
        trial: Its project.
        release: Its record.
        answers: What patients got, by the phase in which they asked.
    """

    trial: Trial
    release: Item
    answers: dict[str, list[Asked]]


Plays = dict[str, Future[Played]]


@pytest.fixture(scope="module")
def plays(lab: Laboratory, trained: dict[str, Any], projects: Path) -> Iterator[Plays]:
    """Four releases of four projects, side by side."""
    inference = (projects / "diabetes" / "src" / "inference.py").read_text(encoding="utf-8")
    begins = "    score = model"
    assert inference.count(begins) == 1
    errs = inference.replace(begins, f"    if {PATIENT}:\n        raise KeyError('bmi')\n{begins}")
    differs = inference.replace(begins, f"    if {PATIENT}:\n        return 0.99\n{begins}")
    with ThreadPoolExecutor(4) as pool:
        yield {
            "bandit": pool.submit(play_bandit, lab, trained),
            "good": pool.submit(play_shadow, lab, "dusk", trained),
            "errs": pool.submit(play_shadow, lab, "shade", trained, errs),
            "differs": pool.submit(play_shadow, lab, "gloom", trained, differs),
        }


def under(lab: Laboratory, name: str, trained: dict[str, Any], release: str) -> Trial:
    """Return a project that serves its first version and releases others as declared."""
    trial = Trial(lab, name, trained)
    trial.declare(release)
    trial.serve_first()
    return trial


def waves(trial: Trial, release: Item, count: int, most: int = 40) -> Iterator[list[Asked]]:
    """Ask for new patients at each tick until the release has ended."""
    for _ in range(most):
        if trial.over(int(release["version"])):
            return
        tick = int(trial.head(release)["tick"])
        yield trial.ask(count)

        def passed(tick: int = tick) -> bool:
            over = trial.over(int(release["version"])) is not None
            return over or int(trial.head(release)["tick"]) > tick

        eventually(passed, f"the tick after {tick} of {release['release_id']}")
    raise AssertionError(f"{release['release_id']} has not ended after {most} ticks")


def cohorts(trial: Trial, release: Item, step_id: str) -> list[dict[str, Any]]:
    """Return the frozen cohorts of a step as their objects hold them."""
    prefix = f"{cohorts_of(release['release_id'])}{step_id}/"
    items = trial.lab.state.store.query(Table.EXPERIMENTS, trial.name, prefix=prefix)
    return [json.loads(trial.lab.read(item["uri"])) for item in items]


def replays(trial: Trial, release: Item) -> None:
    """Assert that every verdict follows again from what was kept."""
    name = f"{trial.name}/{release['release_id']}"
    replayed = trial.lab.steward("experiment", "replay", name)
    assert replayed["agrees"], replayed
    assert len(replayed["verdicts"]) == len(trial.verdicts(release))


def play_bandit(lab: Laboratory, trained: dict[str, Any]) -> Played:
    """Play a bandit whose candidate is better; ask the first patients again as shares move."""
    trial = under(lab, "casino", trained, BANDIT)
    release = trial.begin()
    candidate = int(release["version"])
    answers: dict[str, list[Asked]] = {"first": [], "again": []}
    for asked in waves(trial, release, 40):
        answers["first"] = answers["first"] or asked
        trial.report(asked, lambda a: (a.version == candidate) != a.entity_id.endswith("7"))
        if trial.shares().get(candidate, 0) > 75:
            again = trial.ask_again(answers["first"])
            if trial.over(candidate) is None:
                answers["again"] = again
    return Played(trial, trial.ended(release), answers)


def play_shadow(
    lab: Laboratory, name: str, trained: dict[str, Any], inference: str | None = None
) -> Played:
    """Play shadow traffic and what follows it."""
    trial = under(lab, name, trained, SHADOW)
    release = trial.begin(inference)
    answers: dict[str, list[Asked]] = {}
    for asked in waves(trial, release, 16):
        answers.setdefault(trial.head(release)["phase"], []).extend(asked)
    return Played(trial, trial.ended(release), answers)


def test_a_bandit_moves_shares_by_frozen_batches_and_promotes_the_better_version(
    plays: Plays,
) -> None:
    played = plays["bandit"].result()
    trial, release = played.trial, played.release
    candidate, stable = int(release["version"]), int(release["stable_version"])
    assert release["status"] == "completed"
    assert trial.shares() == {candidate: 100}
    batches = trial.head(release)["steps"]
    ids = [batch["step_id"] for batch in batches]
    assert ids == [f"bandit-b{number:04d}" for number in range(1, len(batches) + 1)]
    shares = [round(float(batch["propensities"]["candidate"]), 3) for batch in batches]
    assert shares[0] == 0.5
    assert 0.75 < max(shares) <= 0.8
    assert len([step for step in ids if cohorts(trial, release, step)]) >= 2, ids
    assert trial.verdicts(release)[-1]["verdict"] == "promote"
    replays(trial, release)

    first, again = played.answers["first"], played.answers["again"]
    assert {a.version for a in first} == {candidate, stable}
    assert [a.version for a in again] == [a.version for a in first]


@pytest.mark.parametrize(("which", "why"), [("errs", "errors"), ("differs", "prediction_diff")])
def test_a_bad_shadow_is_stopped_before_it_answers_anyone(
    plays: Plays, which: str, why: str
) -> None:
    played = plays[which].result()
    trial, release = played.trial, played.release
    version, stable = int(release["version"]), int(release["stable_version"])
    assert release["status"] == "rolled_back", trial.verdicts(release)
    assert why in trial.verdicts(release)[-1]["reason"]
    assert set(played.answers) == {"shadow"}
    assert {(a.version, a.fallback) for a in played.answers["shadow"]} == {(stable, False)}
    assert {shift["shares"].get(str(version), 0) for shift in release["shifts"]} == {0}
    assert trial.shares() == {stable: 100}
    assert trial.has_no_schedule(release)
    endpoint = f"local-{trial.name}-v{version}-prod"
    eventually(lambda: trial.lab.endpoint(endpoint) is None, f"{endpoint} to be removed")
    replays(trial, release)


def test_a_good_shadow_is_judged_in_pairs_and_handed_over_to_the_ramp(plays: Plays) -> None:
    played = plays["good"].result()
    trial, release = played.trial, played.release
    candidate, stable = int(release["version"]), int(release["stable_version"])
    assert release["status"] == "completed", trial.verdicts(release)
    assert {a.version for a in played.answers["shadow"]} == {stable}
    assert candidate in {a.version for a in played.answers["ramp"]}
    shifts = [shift["step_id"] for shift in release["shifts"]]
    assert shifts == [
        "shadow-100", "canary-1-50", "canary-2-100", "canary-2-100-done",
    ]  # fmt: skip
    frozen = cohorts(trial, release, "shadow-100")
    pairs = sum(
        cohort["statistics"].get("prediction_difference", {}).get(PAIRED, {}).get("n", 0)
        for cohort in frozen
    )
    assert pairs >= 20, frozen
    judged = [v for v in trial.verdicts(release) if v["phase"] == "shadow"]
    assert judged[-1]["next"] == "shift", judged[-1]
    assert any("prediction_difference" in name for name in judged[-1]["numbers"])
    assert trial.shares() == {candidate: 100}
    replays(trial, release)
