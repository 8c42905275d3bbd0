"""A run is resolved from what was pinned when it started."""

from __future__ import annotations

import pytest

from steward.contracts.steps.training import Champion, ResolvedRun, ResolveRun
from steward.domain.errors import EvidenceIncompleteError, MalformedEventError
from steward.domain.project import parse_project
from steward.domain.versions import alias_item, version_item
from steward.ports import Table
from steward.service.training.resolve import resolve_run
from support.training_scene import ARTIFACTS, Scene, csv_of, declaration


@pytest.fixture
def scene() -> Scene:
    training = {"hyperparameters": {"C": 0.1, "fast": True}, "max_runtime_s": 600}
    return Scene(project=parse_project(declaration(training=training)))


def resolve(scene: Scene, run_id: str) -> ResolvedRun:
    command = ResolveRun(
        project="diabetes", run_id=run_id, correlation_id=run_id, causation_id="e", actor="tess"
    )
    return resolve_run(
        command,
        state=scene.state,
        objects=scene.objects,
        environment="dev",
        artifacts_bucket=ARTIFACTS,
    )


def test_everything_that_the_jobs_need_is_there(scene: Scene) -> None:
    run_id = scene.deliver(csv_of(1, 30))["run_id"]
    run = resolve(scene, run_id)
    assert run.hyperparameters == {"C": "0.1", "fast": "true", "sagemaker_program": "train.py"}
    assert run.training_job == f"dev-diabetes-{run_id}-train"
    assert run.evaluation_job == f"dev-diabetes-{run_id}-eval"
    assert run.models_uri == f"s3://{ARTIFACTS}/models/diabetes/{run_id}"
    assert run.max_runtime_s == 600
    assert run.author == "000000000000/tess"
    assert run.champion is None
    assert run.trains_without_new_data is False


def test_what_was_configured_after_the_start_does_not_count(scene: Scene) -> None:
    run_id = scene.deliver(csv_of(1, 30))["run_id"]
    before = resolve(scene, run_id)
    scene.configure(parse_project(declaration(description="later")), b"later code")
    assert resolve(scene, run_id) == before


def test_the_champion_is_the_version_in_production(scene: Scene) -> None:
    run_id = scene.deliver(csv_of(1, 30))["run_id"]
    scene.state.put(
        Table.VERSIONS,
        {"project": "diabetes", "item": alias_item("champion"), "version": 2},
        {"project": "diabetes", "item": version_item(2), "version": 2, "artifact_uri": "s3://b/m"},
    )
    assert resolve(scene, run_id).champion == Champion(version=2, artifact_uri="s3://b/m")


def test_accepted_data_that_was_never_trained_on_with_this_code_is_a_reason_of_its_own(
    scene: Scene,
) -> None:
    first = csv_of(1, 30)
    scene.end(scene.deliver(first)["run_id"], "FAILED")
    scene.mark("accepted", first)
    run_id = scene.deliver(csv_of(31, 60))["run_id"]
    assert resolve(scene, run_id).trains_without_new_data is True


def test_code_that_is_gone_or_another_is_refused(scene: Scene) -> None:
    run_id = scene.deliver(csv_of(1, 30))["run_id"]
    scene.objects.write(scene.run(run_id)["code_uri"], b"tampered")
    with pytest.raises(EvidenceIncompleteError):
        resolve(scene, run_id)


def test_an_unknown_run_is_refused(scene: Scene) -> None:
    with pytest.raises(MalformedEventError):
        resolve(scene, "0123456789ab-1")
