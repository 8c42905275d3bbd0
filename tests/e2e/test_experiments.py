"""Experiments over time on the deployed stack: schedules, ticks, ends, and what goes wrong.

Traffic goes through the gateway and outcomes through their URL, as from a ward's system. Waits of
AWS are scaled, so that a tick of a minute comes every six seconds; windows and lateness are not.
"""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steward.domain.experiments.ticks import schedule_name
from steward.ports import Item
from steward_cli.commands.release import request_release
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually
from support.trial import Trial

pytestmark = pytest.mark.e2e

PROJECT = "trial"
SCHEDULED = Path(__file__).parents[2] / "events" / "incoming" / "scheduled_event.json"
TEST = """  strategy: ab_test
  bake_s: 10
  tick_s: 60
  cohort_s: 1
  lateness_s: 10
  minimum_units: 20
  ab_test: {{share: 50, duration_s: {duration_s}}}
  metrics:
    - name: recovered
      kind: binary
      value: outcome
      aggregate: max
      window_s: 10
      expected: 0.3
      goal: {{}}
"""
SHORT_S = 600
LONG, SHORT = (TEST.format(duration_s=length_s) for length_s in (36_000, SHORT_S))


@pytest.fixture(scope="module")
def trial(lab: Laboratory, trained: dict[str, Any]) -> Trial:
    """A project whose version 1 answers; what is released later is tested beside it."""
    trial = Trial(lab, PROJECT, trained)
    trial.declare(LONG)
    trial.serve_first()
    return trial


def test_a_better_version_is_promoted_on_what_became_of_the_patients(trial: Trial) -> None:
    trial.declare(LONG)
    release = trial.begin()
    candidate = int(release["version"])
    stable = int(release["stable_version"])
    assert trial.shares() == {candidate: 50, stable: 50}
    schedule = trial.schedule(release)
    assert schedule is not None
    assert schedule["ScheduleExpression"] == "rate(1 minute)"

    for _ in range(4):
        asked = trial.ask(40)
        trial.report(asked, lambda a: (a.version == candidate) != a.entity_id.endswith("7"))
    ended = trial.ended(release)

    assert ended["status"] == "completed"
    assert trial.shares() == {candidate: 100}
    assert trial.has_no_schedule(release)
    verdicts = trial.verdicts(release)
    assert verdicts[-1]["verdict"] == "promote"
    assert "recovered proved better" in verdicts[-1]["reason"]
    numbers = [verdict["number"] for verdict in verdicts]
    assert numbers == list(range(1, len(numbers) + 1))
    trial.told(f"experiment with {PROJECT} {candidate} has started")
    trial.told(f"experiment with {PROJECT} {candidate}: promote")
    trial.told(f"{PROJECT} {candidate} is in production")
    assert len(trial.subjects(f"experiment with {PROJECT} {candidate}: continue")) == 0
    people_can_read_it(trial, release)


def people_can_read_it(trial: Trial, release: Item) -> None:
    """Assert that the commands tell of a promoted experiment what the record holds.

    They run with the rights of olga, who has the policy of readers alone.
    """
    name = f"{PROJECT}/{release['release_id']}"
    steward = functools.partial(trial.lab.steward, person="olga")
    replayed = steward("experiment", "replay", name)
    assert replayed["agrees"], replayed
    assert len(replayed["verdicts"]) == len(trial.verdicts(release))
    for named in ((), (PROJECT,)):
        assert release["release_id"] in json.dumps(steward("experiment", "list", *named))
    shown = steward("experiment", "show", PROJECT, "--once", as_json=False)
    assert "recovered" in shown
    assert "promote" in shown
    page = trial.lab.folder / "experiment.html"
    steward("experiment", "report", name, "--out", str(page))
    text = page.read_text(encoding="utf-8")
    assert "recovered" in text
    assert "<svg" in text
    serving = steward("serving", "at", datetime.now(UTC).isoformat(), PROJECT)
    assert str(release["version"]) in json.dumps(serving)
    assert "ana" in json.dumps(serving)
    assert release["release_id"] in json.dumps(steward("serving", "history", PROJECT))
    assert "not authorized" in trial.lab.steward_error("--profile", "olga", "runs", "list", PROJECT)


def test_a_version_that_is_no_better_is_not_promoted_and_may_be_released_again(
    trial: Trial,
) -> None:
    trial.declare(SHORT)
    stable = trial.lab.state.route(PROJECT)
    release = trial.begin()
    candidate = int(release["version"])
    asked = trial.ask(60)
    trial.report(asked, lambda a: int(a.entity_id[1:]) % 3 == 0)
    ended = trial.ended(release)

    assert ended["status"] == "not_promoted"
    assert trial.shares() == shares_of(stable)
    assert trial.has_no_schedule(release)
    assert int(trial.head(release)["tick"]) >= SHORT_S // 60
    assert trial.verdicts(release)[-1]["verdict"] == "inconclusive"
    trial.told(f"{PROJECT} {candidate} was not promoted")
    trial.lab.version(PROJECT, candidate, "approved")
    name = f"local-{PROJECT}-v{candidate}-prod"
    eventually(lambda: trial.lab.endpoint(name) is None, f"{name} to be removed")

    request_release(trial.lab.target, PROJECT, candidate, "with another month")

    def once_more() -> Item | None:
        found = trial.newest(candidate)
        return found if found and found["release_id"] != release["release_id"] else None

    again = eventually(once_more, "another release")
    assert again["release_id"].endswith("-2")
    trial.under_test(candidate)
    trial.lab.alarm(PROJECT, "errors")
    assert trial.ended(again)["status"] == "rolled_back"


def test_a_rollback_ends_the_experiment_and_deletes_its_schedule(trial: Trial) -> None:
    trial.declare(LONG)
    before = trial.shares()
    release = trial.begin()
    trial.ticked(release, 1)
    trial.lab.alarm(PROJECT, "errors")
    assert trial.ended(release)["status"] == "rolled_back"
    assert trial.shares() == before
    assert trial.has_no_schedule(release)
    assert trial.head(release)["outcome"] == "rolled_back"


def test_an_experiment_survives_what_happens_to_its_ticks_and_schedule(trial: Trial) -> None:
    trial.declare(LONG)
    release = trial.begin()
    lab = trial.lab
    judge = lab.function("Serving", "JudgeStepFunction")

    with lab.throttled(judge):
        number = int(trial.ticked(release, 1)["tick"])
        name = f"{schedule_name(PROJECT, release['release_id'])}-tick-"
        underway = lab.execution("TickMachineArn", name, running=True)
        lab.refused(underway["executionArn"], "Lambda.TooManyRequestsException")
        assert int(trial.head(release)["tick"]) == number
        lab.target.client("stepfunctions").stop_execution(
            executionArn=underway["executionArn"], error="Operator", cause="changed my mind"
        )
        eventually(lambda: trial.head(release).get("failed_ticks"), "the failed tick")
    trial.told(f"experiment with {PROJECT} {release['version']} could not be judged")
    judged = len(trial.verdicts(release))
    eventually(lambda: len(trial.verdicts(release)) > judged, "the next judgement")

    start = lab.function("Serving", "StartTickFunction")
    with lab.throttled(start):
        before = int(trial.head(release)["tick"])
    trial.ticked(release, before + 1)

    schedule = schedule_name(PROJECT, release["release_id"])
    trial.scheduler.delete_schedule(Name=schedule, GroupName=lab.target.stack)
    answer = lab.target.client("lambda").invoke(
        FunctionName=lab.function("Serving", "ScheduleTicksFunction"),
        Payload=SCHEDULED.read_bytes(),
    )
    assert json.loads(answer["Payload"].read()) == {"repaired": [schedule]}
    trial.told(f"the schedule of {PROJECT}'s experiment was gone")
    before = int(trial.head(release)["tick"])
    trial.ticked(release, before + 1)

    lab.alarm(PROJECT, "errors")
    assert trial.ended(release)["status"] == "rolled_back"


@pytest.mark.parametrize("action", ["scheduler:CreateSchedule", "iam:PassRole"])
def test_without_one_statement_of_its_role_nothing_is_scheduled_and_traffic_is_back(
    trial: Trial, action: str
) -> None:
    before = trial.shares()
    lab = trial.lab
    with lab.without_action(lab.role_of_function("Serving", "ScheduleTicksFunction"), action):
        version = trial.register()
        lab.approve(PROJECT, version)
        ended = eventually(lambda: trial.over(version), "the end of the release")
    assert (ended["status"], ended["failed_state"]) == ("failed", "ScheduleTicks")
    assert "not authorized" in ended["cause"]
    assert trial.shares() == before
    eventually(lambda: trial.head(ended)["status"] == "ended", "the end of its experiment")
    assert trial.has_no_schedule(ended)
