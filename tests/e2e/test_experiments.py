"""Experiments over time on the deployed stack: schedules, ticks, ends, and what goes wrong.

Traffic goes through the gateway and outcomes through their URL, as from a ward's system. Waits of
AWS are scaled, so that a tick of a minute comes every six seconds; windows and lateness are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steward.domain.experiments.cohorts import verdicts_of
from steward.domain.experiments.ticks import schedule_name
from steward.ports import Item, Table
from steward_cli.commands.mail import letters
from steward_cli.commands.release import request_release
from steward_cli.demo.traffic import Asked, ask_all
from steward_cli.function_urls import call
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

PROJECT = "trial"
SCHEDULED = Path(__file__).parents[2] / "events" / "incoming" / "scheduled_event.json"
RAMP = "  strategy: canary\n  steps: [10, 50, 100]\n  bake_s: 60\n"
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
ENDED = ("completed", "not_promoted", "rolled_back", "failed")
LONG_S, SHORT_S = 36_000, 600


class Trial:
    """The project under test, asked and judged."""

    def __init__(self, lab: Laboratory, trained: dict[str, Any]) -> None:
        self.lab, self.trained = lab, trained
        self.scheduler = lab.target.client("scheduler")
        self.duration_s, self.entities = 0, 0

    def lasting(self, duration_s: int) -> None:
        """Declare a test of this length."""
        new = TEST.format(duration_s=duration_s)
        old = TEST.format(duration_s=self.duration_s) if self.duration_s else RAMP
        if new != old:
            self.lab.configure(PROJECT, old, new)
        self.duration_s = duration_s

    def begin(self) -> Item:
        """Release another version; return its release once it has a schedule."""
        version = self.lab.register(PROJECT, self.trained)
        self.lab.version(PROJECT, version, "pending")
        self.lab.approve(PROJECT, version)
        return self.under_test(version)

    def under_test(self, version: int) -> Item:
        """Wait until a version's newest release is looked at by the scheduler."""

        def read() -> Item | None:
            release = self.newest(version)
            return release if release and release.get("schedule") else None

        return eventually(read, f"version {version} under test")

    def over(self, version: int) -> Item | None:
        """Return a version's newest release if it has ended."""
        found = self.newest(version)
        return found if found and found["status"] in ENDED else None

    def newest(self, version: int) -> Item | None:
        found = [r for r in self.lab.state.releases(PROJECT) if int(r["version"]) == version]
        return found[-1] if found else None

    def ended(self, release: Item, within: float = 45) -> Item:
        """Wait until a release has ended and its experiment with it."""

        def read() -> Item | None:
            found = self.newest(int(release["version"]))
            over = found and found["status"] in ENDED and self.head(release)["status"] == "ended"
            return found if over else None

        return eventually(read, f"the end of {release['release_id']}", within)

    def head(self, release: Item) -> Item:
        key = {"project": PROJECT, "item": release["release_id"]}
        return self.lab.state.store.get(Table.EXPERIMENTS, key) or {"tick": 0, "status": "none"}

    def ticked(self, release: Item, number: int, within: float = 45) -> Item:
        """Wait until this many ticks were taken."""

        def read() -> Item | None:
            head = self.head(release)
            return head if int(head["tick"]) >= number else None

        return eventually(read, f"tick {number} of {release['release_id']}", within)

    def verdicts(self, release: Item) -> list[Item]:
        prefix = verdicts_of(release["release_id"])
        return self.lab.state.store.query(Table.EXPERIMENTS, PROJECT, prefix=prefix)

    def ask(self, count: int) -> list[Asked]:
        """Ask for so many patients who were never asked for before."""
        rows = [
            {
                "entity_id": f"p{self.entities + number:06d}",
                "features": {"age": 50, "sex": 1, "bmi": 25.0, "bp": 90.0},
            }
            for number in range(count)
        ]
        self.entities += count
        asked = ask_all(self.lab.ward, self.lab.target.output("GatewayUrl"), PROJECT, rows)
        assert {a.status for a in asked} == {200}, asked[0].body
        return asked

    def report(self, asked: list[Asked], recovers: Callable[[Asked], bool]) -> None:
        """Send what became of these patients."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [
            {"inference_id": a.inference_id, "outcome": int(recovers(a)), "observed_at": now}
            for a in asked
        ]
        url = f"{self.lab.target.output('OutcomesUrl').rstrip('/')}/{PROJECT}"
        reply = call(self.lab.ward, url, "POST", rows).raise_for_status()
        assert reply.body["recorded"] == len(asked)

    def schedule(self, release: Item) -> dict[str, Any] | None:
        """Return a release's schedule as Scheduler describes it, None where there is none."""
        name = schedule_name(PROJECT, release["release_id"])
        try:
            found: dict[str, Any] = self.scheduler.get_schedule(
                Name=name, GroupName=self.lab.target.stack
            )
        except self.scheduler.exceptions.ResourceNotFoundException:
            return None
        return found

    def has_no_schedule(self, release: Item) -> bool:
        """Wait until a release's schedule is gone: its end is told by an event."""
        return eventually(lambda: self.schedule(release) is None, "the schedule to be deleted", 15)

    def shares(self) -> dict[int, float]:
        return shares_of(self.lab.state.route(PROJECT))

    def subjects(self, about: str) -> list[str]:
        assert self.lab.target.engine is not None
        return [m.subject for m in letters(self.lab.target.engine.mailbox) if about in m.subject]

    def told(self, about: str) -> str:
        """Wait for a mail whose subject says this."""
        return eventually(lambda: self.subjects(about), f"a mail about {about!r}", 15)[-1]


@pytest.fixture(scope="module")
def trial(lab: Laboratory, trained: dict[str, Any]) -> Trial:
    """A project whose version 1 answers; what is released later is tested beside it."""
    trial = Trial(lab, trained)
    lab.add_project(PROJECT)
    trial.lasting(LONG_S)
    version = lab.register(PROJECT, trained)
    lab.version(PROJECT, version, "pending")
    lab.approve(PROJECT, version)
    lab.version(PROJECT, version, "production")
    return trial


def test_a_better_version_is_promoted_on_what_became_of_the_patients(trial: Trial) -> None:
    trial.lasting(LONG_S)
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
    ended = trial.ended(release, within=90)

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
    """Assert that the commands tell of a promoted experiment what the record holds."""
    name = f"{PROJECT}/{release['release_id']}"
    replayed = trial.lab.steward("experiment", "replay", name)
    assert replayed["agrees"], replayed
    assert len(replayed["verdicts"]) == len(trial.verdicts(release))
    shown = trial.lab.steward("experiment", "show", name, "--once", as_json=False)
    assert "recovered" in shown
    assert "promote" in shown
    page = trial.lab.folder / "experiment.html"
    trial.lab.steward("experiment", "report", name, "--out", str(page))
    text = page.read_text(encoding="utf-8")
    assert "recovered" in text
    assert "<svg" in text
    serving = trial.lab.steward("serving", "at", datetime.now(UTC).isoformat(), PROJECT)
    assert str(release["version"]) in json.dumps(serving)
    assert "ana" in json.dumps(serving)


def test_a_version_that_is_no_better_is_not_promoted_and_may_be_released_again(
    trial: Trial,
) -> None:
    trial.lasting(SHORT_S)
    stable = trial.lab.state.route(PROJECT)
    release = trial.begin()
    candidate = int(release["version"])
    asked = trial.ask(60)
    trial.report(asked, lambda a: int(a.entity_id[1:]) % 3 == 0)
    ended = trial.ended(release, within=120)

    assert ended["status"] == "not_promoted"
    assert trial.shares() == shares_of(stable)
    assert trial.has_no_schedule(release)
    assert int(trial.head(release)["tick"]) >= SHORT_S // 60
    assert trial.verdicts(release)[-1]["verdict"] == "inconclusive"
    trial.told(f"{PROJECT} {candidate} was not promoted")
    trial.lab.version(PROJECT, candidate, "approved")
    name = f"{PROJECT}-v{candidate}-prod"
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
    trial.lasting(LONG_S)
    before = trial.shares()
    release = trial.begin()
    trial.ticked(release, 1)
    trial.lab.alarm(PROJECT, "errors")
    assert trial.ended(release)["status"] == "rolled_back"
    assert trial.shares() == before
    assert trial.has_no_schedule(release)
    assert trial.head(release)["outcome"] == "rolled_back"


def test_an_experiment_survives_what_happens_to_its_ticks_and_schedule(trial: Trial) -> None:
    trial.lasting(LONG_S)
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
    eventually(lambda: len(trial.verdicts(release)) > judged, "the next judgement", 60)

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
        version = lab.register(PROJECT, trial.trained)
        lab.version(PROJECT, version, "pending")
        lab.approve(PROJECT, version)
        ended = eventually(lambda: trial.over(version), "the end of the release")
    assert (ended["status"], ended["failed_state"]) == ("failed", "ScheduleTicks")
    assert "not authorized" in ended["cause"]
    assert trial.shares() == before
    eventually(lambda: trial.head(ended)["status"] == "ended", "the end of its experiment", 15)
    assert trial.has_no_schedule(ended)
