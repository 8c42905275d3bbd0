"""Steps are reused while their inputs and their outputs are the same, and never otherwise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from steward.contracts.steps.training import (
    Champion,
    DoneEvaluation,
    DoneTraining,
    RecalledStep,
    RecallStep,
)
from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    EvidenceIncompleteError,
    MalformedEventError,
    ThrottledError,
)
from steward.ports import FinishedJob, Table
from steward.service.training.recall import recall_step
from support.fake_finished_jobs import FakeFinishedJobs
from support.training_scene import ARTIFACTS, Scene

MODEL = b"the model"
BASE = {
    "deliveries": {"uri": "s3://a/runs/d.json", "sha256": "5e", "count": 1},
    "dataset": {
        "dataset_id": "9d2f", "manifest_uri": "s3://d/m", "train_uri": "s3://d/t",
        "heldout_uri": "s3://d/h", "config_uri": "s3://d/c/", "config_digest": "cd",
        "examples_uri": "s3://d/e", "train_rows": 160, "heldout_rows": 118,
    },
}  # fmt: skip


@dataclass
class Runs(Scene):
    """Runs of one project that look for their steps."""

    jobs: FakeFinishedJobs = field(default_factory=FakeFinishedJobs)

    def new_run(self, name: str, **attributes: Any) -> str:
        item = {"project": "diabetes", "run_id": name, "status": "running", **attributes}
        self.state.put(Table.RUNS, item)
        return name

    def command(self, run_id: str, **changes: Any) -> RecallStep:
        run = {
            "project": "diabetes", "run_id": run_id, "author": "tess", "config_digest": "c0",
            "code_digest": "c1", "image": "jobs@sha256:0f",
            "deliveries": BASE["deliveries"],
            "trains_without_new_data": False, "code_uri": "s3://a/c", "champion": None,
            "hyperparameters": {"C": "0.1"}, "instance_type": "ml.m5.large",
            "max_runtime_s": 600, "spot": False, "training_timeout_s": 2400,
            "stopping_condition": {"MaxRuntimeInSeconds": 600},
            "tuning": None,
            "checkpoints_uri": f"s3://{ARTIFACTS}/checkpoints/diabetes/w",
            "training_job": f"dev-diabetes-{run_id}-train",
            "evaluation_job": f"dev-diabetes-{run_id}-eval",
            "models_uri": f"s3://{ARTIFACTS}/models/diabetes/{run_id}",
            "evaluations_uri": f"s3://{ARTIFACTS}/evaluations/diabetes/{run_id}",
        }  # fmt: skip
        dataset = {**BASE["dataset"]}
        dataset |= {name: changes.pop(name) for name in list(changes) if name in dataset}
        run |= {name: changes.pop(name) for name in list(changes) if name in run}
        return RecallStep.model_validate(
            {"project": "diabetes", "run_id": run_id, "correlation_id": run_id,
             "run": run, "dataset": dataset, **changes}
        )  # fmt: skip

    def recall(self, run_id: str, **changes: Any) -> RecalledStep:
        return recall_step(
            self.command(run_id, **changes), state=self.state, objects=self.objects,
            jobs=self.jobs, clock=self.clock, ids=self.ids,
        )  # fmt: skip

    def train(self, run_id: str, content: bytes = MODEL) -> DoneTraining:
        uri = f"s3://{ARTIFACTS}/models/diabetes/{run_id}/j/output/model.tar.gz"
        self.objects.write(uri, content)
        return DoneTraining(model_uri=uri, job=f"dev-diabetes-{run_id}-train", seconds=72)

    def evaluate(self, run_id: str) -> DoneEvaluation:
        base = f"s3://{ARTIFACTS}/evaluations/diabetes/{run_id}"
        files = {}
        for name in ("evaluation.json", "predictions.csv", "baseline.json"):
            content = f"{name} of {run_id}".encode()
            self.objects.write(f"{base}/{name}", content)
            files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        self.objects.write(f"{base}/manifest.json", json.dumps({"files": files}).encode())
        return DoneEvaluation(job=f"dev-diabetes-{run_id}-eval", started_ms=1000, ended_ms=41_000)

    def whole(self, run_id: str, **changes: Any) -> RecalledStep:
        """Carry a run out as the machine does; return the last answer."""
        done: dict[str, Any] = {}
        for _ in range(4):
            answer = self.recall(run_id, **changes, **done)
            if answer.next == "comparison":
                return answer
            if answer.next == "training":
                done["training"] = self.train(run_id)
            else:
                done["evaluation"] = self.evaluate(run_id)
        raise AssertionError("the steps never end")

    def noted(self, run_id: str, step: str) -> dict[str, Any]:
        found: dict[str, Any] = self.run(run_id)[f"step_{step}"]
        return found


FIRST, SECOND = "aaaaaaaaaaaa-1", "bbbbbbbbbbbb-1"


@pytest.fixture
def scene() -> Runs:
    runs = Runs()
    runs.new_run(FIRST)
    runs.new_run(SECOND)
    return runs


def test_a_first_run_carries_everything_out(scene: Runs) -> None:
    assert scene.recall(FIRST).next == "training"
    assert scene.recall(FIRST, training=scene.train(FIRST)).next == "evaluation"
    last = scene.whole(FIRST)
    assert last.next == "comparison"
    assert last.evaluated_in == FIRST
    assert scene.noted(FIRST, "training")["status"] == "ran"
    assert scene.state.named("StepReused") == []


def test_a_later_run_with_the_same_inputs_reuses_both_in_one_call(scene: Runs) -> None:
    scene.whole(FIRST)
    answer = scene.recall(SECOND)
    assert answer.next == "comparison"
    assert answer.model_uri == scene.train(FIRST).model_uri
    assert answer.evaluations_uri.endswith(FIRST)
    assert answer.evaluated_in == FIRST
    told: dict[str, Any] = {
        event.data.step: event.data  # type: ignore[attr-defined]
        for event in scene.state.named("StepReused")
    }
    assert set(told) == {"training", "evaluation"}
    assert told["training"].reused_from == FIRST
    assert told["training"].saved_s == 72
    assert told["training"].saved_dollars == pytest.approx(0.115 * 72 / 3600)
    assert told["evaluation"].saved_s == 40
    assert scene.noted(SECOND, "evaluation")["reused_from"] == FIRST


@pytest.mark.parametrize(
    "change",
    [
        {"dataset_id": "9d2e"}, {"config_digest": "ce"}, {"code_digest": "c2"},
        {"image": "jobs@sha256:10"}, {"hyperparameters": {"C": "0.2"}},
        {"instance_type": "ml.m5.xlarge"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_one_changed_input_trains_again_and_what_follows_too(
    scene: Runs, change: dict[str, Any]
) -> None:
    scene.whole(FIRST)
    answer = scene.recall(SECOND, **change)
    assert (answer.next, answer.model_uri) == ("training", None)
    trained = scene.train(SECOND, b"another model")
    assert scene.recall(SECOND, **change, training=trained).next == "evaluation"


def test_what_decides_nothing_of_the_model_is_no_reason_to_train(scene: Runs) -> None:
    scene.whole(FIRST)
    assert scene.recall(SECOND, max_runtime_s=900).next == "comparison"


def test_a_changed_champion_is_judged_against_anew(scene: Runs) -> None:
    uri = f"s3://{ARTIFACTS}/models/diabetes/c/model.tar.gz"
    scene.objects.write(uri, b"champion")
    champion = Champion(version=1, artifact_uri=uri)
    scene.whole(FIRST)
    assert scene.recall(SECOND, champion=champion).next == "evaluation"
    scene.whole(SECOND, champion=champion)
    third = scene.new_run("cccccccccccc-1")
    assert scene.recall(third, champion=champion).evaluated_in == SECOND
    scene.objects.write(uri, b"champion with another byte")
    assert scene.recall(third, champion=champion).next == "evaluation"


def test_a_deleted_output_is_a_miss_that_says_so(scene: Runs) -> None:
    scene.whole(FIRST)
    uri = scene.train(FIRST).model_uri
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    for info in list(scene.objects.versions(bucket, key)):
        assert info.version_id is not None
        scene.objects.remove(bucket, key, info.version_id)
    assert scene.recall(SECOND).next == "training"
    assert "it was deleted since run aaaaaaaaaaaa-1" in scene.noted(SECOND, "training")["reason"]


def test_a_changed_output_is_a_miss_that_says_so_and_is_kept_anew(scene: Runs) -> None:
    scene.whole(FIRST)
    scene.train(FIRST, b"tampered")
    assert scene.recall(SECOND).next == "training"
    scene.whole(SECOND)
    noted = scene.noted(SECOND, "training")
    assert noted["status"] == "ran"
    assert "it was changed since run aaaaaaaaaaaa-1 wrote it" in noted["reason"]
    third = scene.new_run("cccccccccccc-1")
    assert scene.recall(third).model_uri == scene.train(SECOND).model_uri


def test_one_changed_file_of_an_evaluation_reruns_the_evaluation_alone(scene: Runs) -> None:
    scene.whole(FIRST)
    scene.objects.write(f"s3://{ARTIFACTS}/evaluations/diabetes/{FIRST}/predictions.csv", b"x")
    answer = scene.recall(SECOND)
    assert answer.next == "evaluation"
    assert answer.model_uri is not None


def test_the_same_bytes_written_again_are_still_a_hit(scene: Runs) -> None:
    scene.whole(FIRST)
    scene.train(FIRST)
    assert scene.recall(SECOND).next == "comparison"


def test_a_request_without_cache_carries_everything_out_and_is_reused_later(scene: Runs) -> None:
    scene.whole(FIRST)
    wilful = scene.new_run("cccccccccccc-1", use_cache=False)
    answer = scene.whole(wilful)
    assert answer.evaluated_in == wilful
    assert scene.recall(SECOND).evaluated_in == wilful


def test_a_call_that_comes_twice_tells_once(scene: Runs) -> None:
    scene.whole(FIRST)
    assert scene.recall(SECOND) == scene.recall(SECOND)
    assert len(scene.state.named("StepReused")) == 2
    done = {"training": scene.train(FIRST), "evaluation": scene.evaluate(FIRST)}
    assert scene.recall(FIRST, **done) == scene.recall(FIRST, **done)


def test_a_run_that_stopped_between_job_and_keeping_keeps_when_it_goes_on(scene: Runs) -> None:
    trained = scene.train(FIRST)
    assert scene.recall(SECOND).next == "training"
    scene.recall(FIRST, training=trained)
    assert scene.recall(SECOND).model_uri == trained.model_uri


def test_of_two_equal_steps_the_first_kept_wins(scene: Runs) -> None:
    mine, other = scene.train(FIRST), scene.train(SECOND)

    def faster() -> None:
        scene.recall(SECOND, training=other)

    scene.state.before_commit.append(faster)
    scene.recall(FIRST, training=mine)
    third = scene.new_run("cccccccccccc-1")
    assert scene.recall(third).model_uri == other.model_uri
    assert scene.noted(FIRST, "training")["status"] == "ran"


def test_a_job_that_left_nothing_is_incomplete_evidence(scene: Runs) -> None:
    gone = DoneTraining(model_uri=f"s3://{ARTIFACTS}/models/none", job="j")
    with pytest.raises(EvidenceIncompleteError, match="models/none"):
        scene.recall(FIRST, training=gone)
    trained = scene.train(FIRST)
    done = scene.evaluate(FIRST)
    scene.objects.write(f"s3://{ARTIFACTS}/evaluations/diabetes/{FIRST}/manifest.json", b"[]")
    with pytest.raises(EvidenceIncompleteError, match="agreed shape"):
        scene.recall(FIRST, training=trained, evaluation=done)


@pytest.mark.parametrize("error", [ThrottledError, AccessDeniedError, DependencyError])
def test_a_lookup_that_fails_lets_the_step_run_and_says_so(
    scene: Runs, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    scene.whole(FIRST)

    def refused(*_: Any, **__: Any) -> Any:
        raise error("no")

    monkeypatch.setattr(scene.objects, "describe", refused)
    assert scene.recall(SECOND).next == "training"
    reason = scene.noted(SECOND, "training")["reason"]
    assert reason == f"the step cache could not be read: {error.__name__}: no"
    monkeypatch.undo()
    last = scene.whole(SECOND)
    assert (last.next, last.evaluated_in) == ("comparison", FIRST)  # the model is the same


@pytest.mark.parametrize("error", [ThrottledError, AccessDeniedError])
def test_a_run_table_that_cannot_be_read_and_written_stops_no_lookup(
    scene: Runs, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    scene.whole(FIRST)
    command = scene.command(SECOND)
    read = scene.state.get

    def refused(table: Table, key: dict[str, str]) -> Any:
        if key.get("run_id", "").startswith("step#"):
            raise error("no")
        return read(table, key)

    def unwritten(*_: Any, **__: Any) -> None:
        raise error("no")

    monkeypatch.setattr(scene.state, "get", refused)
    monkeypatch.setattr(scene.state, "commit", unwritten)
    answer = recall_step(
        command, state=scene.state, objects=scene.objects, jobs=scene.jobs, clock=scene.clock,
        ids=scene.ids,
    )  # fmt: skip
    assert answer.next == "training"


def test_a_champion_that_cannot_be_read_is_evaluated_against_without_a_key(
    scene: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = {"version": 1, "artifact_uri": f"s3://{ARTIFACTS}/models/diabetes/1/model.tar.gz"}
    scene.objects.write(str(champion["artifact_uri"]), b"champion")
    scene.whole(FIRST, champion=champion)
    hashed = scene.objects.sha256

    def refused(bucket: str, key: str, version_id: str | None = None) -> str:
        if key.startswith("models/diabetes/1/"):
            raise AccessDeniedError("no")
        return hashed(bucket, key, version_id)

    monkeypatch.setattr(scene.objects, "sha256", refused)
    answer = scene.recall(SECOND, champion=champion)
    assert (answer.next, answer.step_key) == ("evaluation", "")
    assert "could not be read" in scene.noted(SECOND, "evaluation")["reason"]
    done = scene.evaluate(SECOND)
    answer = scene.recall(SECOND, champion=champion, evaluation=done)
    assert (answer.next, answer.evaluated_in) == ("comparison", SECOND)


AGAIN = "aaaaaaaaaaaa-2"


def completed(scene: Runs, **changes: Any) -> None:
    """Let the jobs of the first attempt complete; its execution dies before anything is kept."""
    scene.new_run(AGAIN)
    asked = scene.recall(FIRST, **changes)
    model = scene.train(FIRST)
    kind = "tuning" if asked.next == "tuning" else "training"
    job = FinishedJob(model.job, FIRST, model.model_uri, 72.0)
    scene.jobs.add(kind, asked.step_key, job)  # type: ignore[arg-type]


def test_a_training_that_completed_before_its_execution_died_is_not_repeated(scene: Runs) -> None:
    completed(scene)
    answer = scene.recall(AGAIN)
    assert (answer.next, answer.model_uri) == ("evaluation", scene.train(FIRST).model_uri)
    noted = scene.noted(AGAIN, "training")
    assert (noted["status"], noted["reused_from"], noted["saved_s"]) == ("reused", FIRST, 72)
    [told] = scene.state.named("StepReused")
    assert told.data.reused_from == FIRST  # type: ignore[attr-defined]
    assert scene.recall(SECOND).model_uri == answer.model_uri  # it is kept from now on
    assert scene.jobs.asked == [
        ("training", "aaaaaaaaaaaa-"), ("training", "aaaaaaaaaaaa-"),
        ("evaluation", "aaaaaaaaaaaa-"), ("evaluation", "bbbbbbbbbbbb-"),
    ]  # fmt: skip


def test_a_search_that_completed_is_found_with_what_it_chose(scene: Runs) -> None:
    tuning = {"job": "t-a", "config": {"Strategy": "Random"}, "metric_definitions": []}
    scene.new_run(AGAIN)
    asked = scene.recall(FIRST, tuning=tuning)
    model = scene.train(FIRST)
    job = FinishedJob("t-a-003", FIRST, model.model_uri, None, {"C": "0.4"})
    scene.jobs.add("tuning", asked.step_key, job)
    assert scene.recall(AGAIN, tuning=tuning).next == "evaluation"
    assert scene.noted(AGAIN, "training")["tuned"] == {"C": "0.4"}


def test_an_evaluation_that_completed_is_not_repeated(scene: Runs) -> None:
    completed(scene)
    asked = scene.recall(AGAIN)
    done = scene.evaluate(FIRST)
    uri = f"s3://{ARTIFACTS}/evaluations/diabetes/{FIRST}"
    scene.jobs.add("evaluation", asked.step_key, FinishedJob(done.job, FIRST, uri, 40.0))
    answer = scene.recall(AGAIN)
    assert (answer.next, answer.evaluations_uri, answer.evaluated_in) == ("comparison", uri, FIRST)


@pytest.mark.parametrize(
    "change", [{"code_digest": "c2"}, {"dataset_id": "other"}, {"hyperparameters": {"C": "9"}}]
)
def test_a_completed_job_of_other_inputs_is_not_taken(scene: Runs, change: dict[str, Any]) -> None:
    completed(scene)
    assert scene.recall(AGAIN, **change).next == "training"


def test_a_completed_job_whose_outputs_are_gone_or_half_written_is_not_taken(scene: Runs) -> None:
    scene.new_run(AGAIN)
    asked = scene.recall(FIRST)
    gone = FinishedJob("j", FIRST, f"s3://{ARTIFACTS}/models/diabetes/gone/model.tar.gz", 1.0)
    scene.jobs.add("training", asked.step_key, gone)
    assert scene.recall(AGAIN).next == "training"
    asked = scene.recall(AGAIN, training=scene.train(AGAIN))
    half = f"s3://{ARTIFACTS}/evaluations/diabetes/{FIRST}"
    scene.objects.write(f"{half}/manifest.json", b"{}")
    scene.jobs.add("evaluation", asked.step_key, FinishedJob("e", FIRST, half, 1.0))
    assert scene.recall(AGAIN).next == "evaluation"


def test_who_reuses_nothing_looks_for_no_completed_job(scene: Runs) -> None:
    completed(scene)
    scene.jobs.asked.clear()
    scene.new_run(AGAIN, use_cache=False)
    assert scene.recall(AGAIN).next == "training"
    assert scene.jobs.asked == []


@pytest.mark.parametrize("error", [ThrottledError, AccessDeniedError, DependencyError])
def test_a_list_of_jobs_that_cannot_be_read_lets_the_step_run(
    scene: Runs, error: type[Exception]
) -> None:
    completed(scene)
    scene.jobs.failure = error("not now")
    assert scene.recall(AGAIN).next == "training"
    assert "not now" in scene.noted(AGAIN, "training")["reason"]


def test_an_instance_type_without_price_saves_time_and_no_known_dollars(scene: Runs) -> None:
    scene.whole(FIRST, instance_type="ml.new9.large")
    scene.recall(SECOND, instance_type="ml.new9.large")
    [told, _] = scene.state.named("StepReused")
    assert (told.data.saved_s, told.data.saved_dollars) == (72, None)  # type: ignore[attr-defined]


def test_another_schema_of_the_step_is_a_miss(scene: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.whole(FIRST)
    monkeypatch.setattr("steward.domain.steps.SCHEMAS", {"training": 2, "evaluation": 1})
    assert scene.recall(SECOND).next == "training"


def test_another_project_finds_nothing(scene: Runs) -> None:
    scene.whole(FIRST)
    scene.state.put(Table.RUNS, {"project": "other", "run_id": SECOND, "status": "running"})
    command = scene.command(SECOND).model_copy(update={"project": "other"})
    answer = recall_step(
        command,
        state=scene.state,
        objects=scene.objects,
        jobs=scene.jobs,
        clock=scene.clock,
        ids=scene.ids,
    )
    assert answer.next == "training"


def test_an_unknown_run_is_refused(scene: Runs) -> None:
    with pytest.raises(MalformedEventError):
        scene.recall("dddddddddddd-1")


def test_a_search_is_carried_out_once_and_its_choice_stands_on_both_runs(scene: Runs) -> None:
    plan = {"job": "t-a", "config": {"Strategy": "Random"}, "metric_definitions": []}
    assert scene.recall(FIRST, tuning=plan).next == "tuning"
    trained = scene.train(FIRST).model_copy(update={"tuned": {"C": "0.4"}})
    scene.recall(FIRST, tuning=plan, training=trained)
    assert scene.recall(SECOND, tuning={**plan, "job": "t-b"}).next == "evaluation"
    for run_id in (FIRST, SECOND):
        assert scene.noted(run_id, "training")["tuned"] == {"C": "0.4"}
    other = {**plan, "config": {"Strategy": "Bayesian"}}
    third = scene.new_run("cccccccccccc-1")
    assert scene.recall(third, tuning=other).next == "tuning"
