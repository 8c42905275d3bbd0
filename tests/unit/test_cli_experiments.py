"""``steward experiment``: what people see of experiments, on records made by the real judge."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from steward.domain.digests import canonical_json
from steward.ports import Item, Table
from steward_cli.app import app
from steward_cli.commands import experiment as command
from steward_cli.console import CommandError, Exit
from steward_cli.experiment_series import (
    arm_units,
    budgets,
    duration,
    metric_series,
    mismatch_series,
    waited_for,
)
from steward_cli.experiment_text import screen
from steward_cli.experiments import Experiment, Experiments
from support import experiment_scene as stories
from support.experiment_scene import PROJECT, ExperimentScene

RELEASE = ExperimentScene.release_id
NAME = f"{PROJECT}/{RELEASE}"


@pytest.fixture(scope="module")
def made() -> dict[str, ExperimentScene]:
    names = ("won", "harmful", "mismatched", "running", "bandit", "shadow_then_ramp")
    return {name: getattr(stories, name)() for name in names}


@pytest.fixture
def read(made: dict[str, ExperimentScene]) -> Callable[[str], Experiment]:
    def of(name: str) -> Experiment:
        scene = made[name]
        return Experiments(scene.state, scene.objects).read(PROJECT, RELEASE)

    return of


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[ExperimentScene], ExperimentScene]:
    def scene_is(scene: ExperimentScene) -> ExperimentScene:
        found = Experiments(scene.state, scene.objects)
        monkeypatch.setattr(command, "reader", lambda choice: found)
        return scene

    return scene_is


def invoked(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["experiment", *words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def drawn(experiment: Experiment, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(screen(experiment, width))
    return out.getvalue()


# What is read


def test_an_id_is_a_project_a_release_or_both(
    use: Callable[[ExperimentScene], ExperimentScene], made: dict[str, ExperimentScene]
) -> None:
    scene = use(made["won"])
    found = Experiments(scene.state, scene.objects)
    assert {found.find(text) for text in (PROJECT, RELEASE, NAME, f"{NAME}/")} == {
        (PROJECT, RELEASE)
    }


@pytest.mark.parametrize("text", ["other", "diabetes/00000009-1", "00000009-1", "other/1"])
def test_an_unknown_id_is_not_found(made: dict[str, ExperimentScene], text: str) -> None:
    found = Experiments(made["won"].state, made["won"].objects)
    with pytest.raises(CommandError) as refused:
        found.find(text)
    assert refused.value.code == Exit.NOT_FOUND
    assert refused.value.hint


def test_a_release_id_of_two_projects_must_name_one() -> None:
    scene = ExperimentScene()
    scene.state.put(Table.PROJECTS, {"project": "hearts", "config": {}})
    scene.state.put(Table.RELEASES, {**scene.record, "project": "hearts"})
    scene.state.put(Table.EXPERIMENTS, {**scene.head, "project": "hearts"})
    with pytest.raises(CommandError, match="means 2 experiments") as refused:
        Experiments(scene.state, scene.objects).find(RELEASE)
    assert "hearts/00000002-1" in str(refused.value.hint)


def test_immutable_objects_are_read_once(made: dict[str, ExperimentScene]) -> None:
    scene = made["running"]
    asked: list[str] = []

    class Counting:
        def read(self, uri: str) -> bytes:
            asked.append(uri)
            return scene.objects.read(uri)

    reader = Experiments(scene.state, Counting())  # type: ignore[arg-type]
    first, second = reader.read(PROJECT, RELEASE), reader.read(PROJECT, RELEASE)
    assert len(asked) == len(first.judged) == len(second.judged) == 20


# What is said of it


def test_an_interval_of_every_metric_is_told_at_every_verdict(
    read: Callable[[str], Experiment],
) -> None:
    experiment = read("won")
    series = {s.metric.name: s for s in metric_series(experiment)}

    assert list(series) == ["recovered", "stay_days", "errors", "slow"]
    assert all(len(s.points) == len(experiment.judged) for s in series.values())
    verdict = experiment.judged[-1].verdict
    assert verdict is not None
    assert series["recovered"].last.lower == verdict.intervals["recovered"].lower
    assert series["recovered"].tone(series["recovered"].last) == "good"
    assert series["errors"].harm_at == 0.02
    assert series["recovered"].worth_at == 0.02
    assert "asymptotic" in series["stay_days"].definition


def test_phases_keep_their_series_apart(read: Callable[[str], Experiment]) -> None:
    phases = [(s.phase, s.metric.name) for s in metric_series(read("shadow_then_ramp"))]
    assert ("shadow", "prediction_difference") in phases
    assert ("ramp", "errors") in phases
    assert ("shadow", "errors") in phases


def test_entities_of_an_arm_are_exposed_first_and_matured_later(
    read: Callable[[str], Experiment],
) -> None:
    stable, candidate = arm_units(read("running"))
    assert (stable.version, candidate.version) == ("v1", "v2")
    assert stable.matured["errors"] == stable.exposed
    assert 0 < stable.matured["recovered"] < stable.exposed


def test_guardrails_that_stopped_are_full(read: Callable[[str], Experiment]) -> None:
    last = read("harmful").judged[-1]
    assert last.plan is not None
    found = {(b.name, b.harm): b for b in budgets(last.plan, last.item["numbers"])}
    assert found["errors", True].reached
    assert found["errors", True].share == 1.0
    assert not found["slow", True].reached


def test_a_mismatch_is_seen_and_needs_a_person(read: Callable[[str], Experiment]) -> None:
    experiment = read("mismatched")
    (series,) = mismatch_series(experiment)
    assert series.needs == pytest.approx(math.log(1000))
    assert series.points[-1][1] > series.needs
    assert "a person" in waited_for(experiment)[0]
    assert "mismatch: no figure can be trusted" in drawn(experiment)


def test_what_is_waited_for_is_named_with_numbers_and_the_planned_end(
    read: Callable[[str], Experiment],
) -> None:
    waits = waited_for(read("running"))
    assert any(re.match(r"recovered: proof that it is better, log e-value .* of 4.38", w)
               for w in waits)  # fmt: skip
    assert waits[-1] == "or the planned end of ab-test-50, in 3 d 4 h"
    assert waited_for(read("won")) == []


def test_a_release_that_nobody_has_looked_at_waits_for_the_first_look() -> None:
    scene = ExperimentScene()
    experiment = Experiments(scene.state, scene.objects).read(PROJECT, RELEASE)
    assert waited_for(experiment) == ["the first look after the traffic has moved"]
    assert "v1 50 %, v2 50 %" in drawn(experiment)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min"), (3660, "1 h 1 min"), (90_061, "1 d 1 h")]
)
def test_durations_are_told_by_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# In the terminal


@pytest.mark.parametrize("width", [60, 80, 110])
def test_the_screen_fits_its_width(read: Callable[[str], Experiment], width: int) -> None:
    for name in ("won", "running", "bandit", "shadow_then_ramp"):
        text = drawn(read(name), width)
        assert max(len(line) for line in text.splitlines()) <= width


def test_the_screen_names_shares_metrics_verdicts_and_reasons(
    read: Callable[[str], Experiment],
) -> None:
    text = drawn(read("shadow_then_ramp"))
    assert "since its end: v1 100 %" in text
    assert "rolled_back" in text
    assert re.search(r"errors\s+harm\s+█{20}", text)
    assert "roll back" in text
    assert "errors is proved worse than the concurrent stable" in " ".join(text.split())


def test_show_prints_once_in_a_pipe_and_json_for_scripts(
    use: Callable[[ExperimentScene], ExperimentScene], made: dict[str, ExperimentScene]
) -> None:
    use(made["running"])
    assert "waiting for" in invoked("show", PROJECT)
    told = json.loads(invoked("show", f"{PROJECT}/{RELEASE}", "--json"))
    assert told["shares"] == {"2": 50.0, "1": 50.0}
    assert len(told["verdicts"]) == 20
    assert told["cohorts"]["frozen"] == len(made["running"].state.query(
        Table.EXPERIMENTS, PROJECT, prefix=f"{RELEASE}#cohort#"))  # fmt: skip
    assert {m["name"] for m in told["metrics"]} >= {"recovered", "prediction_up"}


def test_show_refreshes_on_a_terminal_until_the_experiment_ends(
    use: Callable[[ExperimentScene], ExperimentScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = use(ExperimentScene(stories.declared("ab_test", ab_test={"duration_s": 86_400}),
                                candidate=stories.Truth()))  # fmt: skip
    out = io.StringIO()
    console = Console(file=out, width=90, force_terminal=True)
    monkeypatch.setattr(command, "stdout", lambda: console)
    monkeypatch.setattr("steward_cli.commands.experiment.time.sleep", lambda s: scene.tick())
    invoked("show", PROJECT)
    assert scene.head["status"] == "ended"
    assert scene.head["verdicts"] > 20
    assert "every 5 s; Ctrl-C ends" in out.getvalue()
    assert "not_promoted" in out.getvalue()


def test_what_decides_is_seen_on_a_small_terminal_that_is_drawn_again_and_again(
    use: Callable[[ExperimentScene], ExperimentScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live terminal cuts at its height: on-call needs what is waited for, not every plot."""
    release = stories.declared("ab_test", ab_test={"duration_s": 86_400})
    scene = use(ExperimentScene(release, candidate=stories.Truth()).play(9))
    looks: list[str] = []
    out = io.StringIO()
    console = Console(file=out, width=90, height=36, force_terminal=True)

    def look(_seconds: float) -> None:
        looks.append(plain(out))
        out.truncate(0)
        scene.play(100)

    monkeypatch.setattr(command, "stdout", lambda: console)
    monkeypatch.setattr("steward_cli.commands.experiment.time.sleep", look)
    invoked("show", PROJECT)
    first = looks[0]
    for told in ("Ctrl-C ends", "waiting for", "guardrails", "sample ratio", "continue"):
        assert told in first, told
    assert first.index("waiting for") < first.index("guardrails") < first.index("recovered (")
    assert "recovered (" in plain(out)


def plain(out: io.StringIO) -> str:
    """Return what a terminal was sent, without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())


def test_the_list_tells_each_experiment_with_its_outcome(
    use: Callable[[ExperimentScene], ExperimentScene], made: dict[str, ExperimentScene]
) -> None:
    use(made["won"])
    text = invoked("list")
    assert NAME in text
    assert "completed" in text
    assert json.loads(invoked("list", PROJECT, "--json"))[0]["outcome"] == "completed"
    assert json.loads(invoked("list", "other", "--json")) == []


# Judged again


@pytest.mark.parametrize(
    "name", ["won", "harmful", "mismatched", "running", "bandit", "shadow_then_ramp"]
)
def test_every_verdict_agrees_when_it_is_judged_again(
    use: Callable[[ExperimentScene], ExperimentScene],
    made: dict[str, ExperimentScene],
    name: str,
) -> None:
    use(made[name])
    told = json.loads(invoked("replay", NAME, "--json"))
    assert told["agrees"] is True
    assert len(told["verdicts"]) == made[name].head["verdicts"]
    assert "agree" in invoked("replay", NAME)


def rewritten(scene: ExperimentScene, number: int) -> Iterator[dict[str, Any]]:
    """Yield the stored object of a verdict and write it back as it was changed."""
    uri = f"{scene.prefix}verdicts/{number:06d}.json"
    document = json.loads(scene.objects.read(uri))
    yield document
    scene.objects.write(uri, canonical_json(document))


def tamper_count(scene: ExperimentScene) -> None:
    for document in rewritten(scene, 2):
        arms = document["record"]["steps"][0]["statistics"]["errors"]
        for name in ("y", "y2", "yd"):
            arms["candidate"][name] += 1


def tamper_reason(scene: ExperimentScene) -> None:
    for document in rewritten(scene, 2):
        document["decision"]["reason"] = "it was better"


def tamper_item(scene: ExperimentScene) -> None:
    item: Item = scene.verdicts[1]
    numbers = {**item["numbers"], "units": item["numbers"]["units"] + 1}
    scene.state.put(Table.EXPERIMENTS, {**item, "verdict": "promote", "numbers": numbers})


def tamper_plan(scene: ExperimentScene) -> None:
    digests = {**scene.head["plan_digests"], "ab_test": "0" * 64}
    scene.state.put(Table.EXPERIMENTS, {**scene.head, "plan_digests": digests})


def tamper_cohort(scene: ExperimentScene) -> None:
    key = f"{RELEASE}#cohort#"
    pointer = scene.state.query(Table.EXPERIMENTS, PROJECT, prefix=key)[0]
    cohort = json.loads(scene.objects.read(pointer["uri"]))
    cohort["exposures"]["candidate"] += 1
    scene.objects.write(pointer["uri"], canonical_json(cohort))


def tamper_last(scene: ExperimentScene) -> None:
    scene.state.put(Table.EXPERIMENTS, {**scene.head, "verdicts": 99})


def tamper_garbage(scene: ExperimentScene) -> None:
    scene.objects.write(f"{scene.prefix}verdicts/000002.json", b'{"plan": 1}')


def tamper_impossible(scene: ExperimentScene) -> None:
    for document in rewritten(scene, 2):
        document["record"]["steps"][0]["statistics"]["errors"]["candidate"]["y"] = 10.0**9


def tamper_negative(scene: ExperimentScene) -> None:
    for document in rewritten(scene, 2):
        document["record"]["steps"][0]["statistics"]["errors"]["stable"]["n"] = -1


def tamper_arm(scene: ExperimentScene) -> None:
    for document in rewritten(scene, 2):
        del document["record"]["steps"][0]["propensities"]["stable"]


def tamper_fast(scene: ExperimentScene) -> None:
    fast = {step: dict(arms) for step, arms in scene.head["fast"].items()}
    step = next(iter(fast))
    fast[step]["candidate"] = {**fast[step]["candidate"], "errors": 10**9}
    scene.state.put(Table.EXPERIMENTS, {**scene.head, "fast": fast})


def tamper_gone(scene: ExperimentScene) -> None:
    bucket, _, key = f"{scene.prefix}verdicts/000002.json".removeprefix("s3://").partition("/")
    for stored in list(scene.objects.versions(bucket, key)):
        scene.objects.remove(bucket, key, str(stored.version_id))


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (tamper_count, "digest"),
        (tamper_reason, "decision.reason, item.reason"),
        (tamper_item, "item.verdict, item.numbers.units"),
        (tamper_plan, "plan.digest"),
        (tamper_cohort, "cohort ab-test-50/w00021600/20260106T090000Z: digest"),
        (tamper_cohort, "record: verdict 9, ab-test-50: exposures"),
        (tamper_last, "head.verdicts is 99, the last verdict is 9"),
        (tamper_garbage, "object: plan: Input should be"),
        (tamper_impossible, "object: record.steps[0].statistics.errors.candidate.y: "),
        (tamper_negative, "object: record.steps[0].statistics.errors.stable.n: "),
        (tamper_arm, "object: propensities"),
        (tamper_fast, "record: ab_test: the frozen counts cannot be added up: "),
        (tamper_gone, "object: it is gone"),
    ],
)
def test_whatever_was_changed_afterwards_is_named_and_fails(
    use: Callable[[ExperimentScene], ExperimentScene],
    tamper: Callable[[ExperimentScene], None],
    says: str,
) -> None:
    scene = use(ExperimentScene(candidate=stories.Truth()).play(9))
    tamper(scene)
    text = invoked("replay", NAME, code=1)
    assert says in " ".join(text.split())
    assert "differ" in text
    told = json.loads(invoked("replay", NAME, "--json", code=1))
    assert len(told["verdicts"]) == 9
    broken = [v["number"] for v in told["verdicts"] if v["differences"]]
    assert not set(broken) - {2} or tamper is tamper_plan
