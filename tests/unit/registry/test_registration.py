"""Registering a candidate."""

from __future__ import annotations

import re

import pytest

from steward.domain.errors import ConflictError, DependencyError, MalformedEventError
from steward.ports import Table
from support.online_scene import feature_declaration
from support.registry_scene import PROJECT, RUN, Scene


def test_a_candidate_becomes_a_pending_package_a_record_and_an_event() -> None:
    scene = Scene()
    registered = scene.register()
    package = scene.package()
    assert registered.version == 1
    assert package["ModelPackageGroupName"] == "steward-dev-diabetes"
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith(
        "evaluation.json"
    )
    assert scene.item()["state"] == "registered"
    assert scene.item()["quorum"] == 1
    assert scene.item()["baseline"]["uri"].endswith("/baseline.json")
    assert re.fullmatch("[0-9a-f]{64}", scene.item()["baseline"]["digest"])
    (told,) = scene.state.named("VersionRegistered")
    assert told.data.model_dump()["model_package_arn"] == registered.model_package_arn
    assert told.meta.correlation_id == RUN


def test_a_version_says_which_features_it_is_served_and_of_which_group_versions() -> None:
    scene = Scene()
    command = scene.command(**feature_declaration())
    views = [{"group": "vitals", "version": 3}]
    run = scene.state.get(Table.RUNS, {"project": PROJECT, "run_id": RUN})
    assert run is not None
    scene.state.put(Table.RUNS, {**run, "feature_views": views})
    scene.run_task(command)
    served = scene.item()["served_features"]
    assert scene.item()["feature_views"] == views
    assert served["entity_id"] == "patient_id"
    assert served["columns"][:2] == ["pulse", "glucose"]
    assert len(served["columns"]) == 9


def test_a_version_without_views_is_served_nothing() -> None:
    scene = Scene()
    scene.register()
    assert scene.item()["served_features"] is None


def test_package_properties_keep_sagemakers_limits() -> None:
    scene = Scene()
    scene.register(author="000000000000/role/ci,#" + "x" * 300)
    for name, value in scene.package()["CustomerMetadataProperties"].items():
        assert re.fullmatch(r"[\w .:/=+\-@]{1,256}", value), name
    assert len(scene.package()["ClientToken"]) <= 36


def test_a_retried_task_makes_no_second_package() -> None:
    scene = Scene()
    command = scene.command()
    assert scene.run_task(command) == scene.run_task(command)
    assert len(scene.registry.packages) == 1
    assert len(scene.state.named("VersionRegistered")) == 1


def test_a_task_that_died_after_making_the_package_finds_it_again() -> None:
    scene = Scene()
    command = scene.command()

    def die() -> None:
        raise DependencyError("the table is away")

    scene.state.before_commit = [lambda: None, die]
    with pytest.raises(DependencyError):
        scene.run_task(command)
    assert scene.run_task(command).version == 1
    assert len(scene.registry.packages) == 1


def test_two_tasks_of_one_run_at_once_agree() -> None:
    scene = Scene()
    command = scene.command()

    def other() -> None:
        scene.run_task(command)

    scene.state.before_commit = [lambda: None, other]
    assert scene.run_task(command).version == 1
    assert len(scene.state.named("VersionRegistered")) == 1


def test_a_number_that_another_run_has_is_a_conflict() -> None:
    scene = Scene()
    scene.register()
    scene.registry.packages.clear()
    with pytest.raises(ConflictError):
        scene.register("aaaaaaaaaaaa-1")


def test_an_unknown_author_needs_two_and_a_high_tier_too() -> None:
    scene = Scene()
    scene.register(author="unknown")
    scene.register("aaaaaaaaaaaa-1", risk_tier="high")
    assert [scene.item(1)["quorum"], scene.item(2)["quorum"]] == [2, 2]


def test_a_run_that_does_not_exist_is_refused() -> None:
    scene = Scene()
    command = scene.command()
    with pytest.raises(MalformedEventError, match="no run"):
        scene.run_task(command.model_copy(update={"run_id": "bbbbbbbbbbbb-1"}))
    assert scene.state.query(Table.VERSIONS, PROJECT, prefix="version#") == []
