"""A dataset that an earlier run built of the same inputs is taken as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.steps.data import BuildDataset, BuiltDataset
from steward.domain.project import parse_project
from steward.domain.workspace import Limits
from steward.ports import Table
from steward.service.data import dataset
from support.training_scene import DATA, Scene, csv_of, declaration

ROWS = csv_of(1, 120)


class Builder:
    """Runs on the same delivery, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = Scene()
        self.first = str(self.scene.deliver(ROWS)["run_id"])
        self.scene.mark("accepted", ROWS)

    def again(self, name: str, **attributes: Any) -> str:
        """Add a run like the first, with other attributes."""
        item = {**self.scene.run(self.first), "run_id": name, **attributes}
        self.scene.state.put(Table.RUNS, item)
        return name

    def build(self, run_id: str) -> BuiltDataset:
        command = BuildDataset(
            project="diabetes", run_id=run_id, correlation_id=run_id,
            deliveries=self.scene.run(self.first)["deliveries"],
        )  # fmt: skip
        built = dataset.build_dataset(
            command, state=self.scene.state, objects=self.scene.objects, clock=self.scene.clock,
            ids=self.scene.ids, limits=Limits(self.folder, 300), data_bucket=DATA,
        )  # fmt: skip
        assert isinstance(built, BuiltDataset)
        return built


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_the_files_are_left_alone_and_the_job_is_told_of_its_own_run(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = builder.build(builder.first)
    second = builder.again("bbbbbbbbbbbb-1")
    monkeypatch.setattr(dataset, "_prepare", lambda *_: pytest.fail("it was built again"))
    reused = builder.build(second)
    assert reused.reused_from == builder.first
    assert (reused.dataset_id, reused.train_uri) == (first.dataset_id, first.train_uri)
    job = json.loads(builder.scene.objects.read(f"{reused.config_uri}job.json"))
    assert job["run_id"] == second
    assert reused.config_digest == first.config_digest
    built, again = builder.scene.state.named("DatasetBuilt")
    assert (built.data.run_id, built.data.reused_from) == (builder.first, None)  # type: ignore[attr-defined]
    assert (again.data.run_id, again.data.reused_from) == (second, builder.first)  # type: ignore[attr-defined]
    assert again.data.deliveries == built.data.deliveries  # type: ignore[attr-defined]
    [told] = builder.scene.state.named("StepReused")
    assert told.data.step == "dataset"  # type: ignore[attr-defined]


def test_a_setting_of_the_evaluation_builds_nothing_anew_but_is_told_to_the_jobs(
    builder: Builder,
) -> None:
    first = builder.build(builder.first)
    project = parse_project(declaration(evaluation={"margin": 0.05}))
    second = builder.again("bbbbbbbbbbbb-1", config=project.model_dump(mode="json"))
    reused = builder.build(second)
    assert reused.reused_from == builder.first
    assert reused.config_digest != first.config_digest


@pytest.mark.parametrize(
    "change", [{"split": {"salt": "another"}}, {"evaluation": {"seed": 21}}], ids=str
)
def test_what_decides_a_dataset_builds_another(builder: Builder, change: dict[str, Any]) -> None:
    first = builder.build(builder.first)
    config = parse_project(declaration(**change)).model_dump(mode="json")
    other = builder.build(builder.again("bbbbbbbbbbbb-1", config=config))
    assert other.reused_from is None
    assert other.dataset_id != first.dataset_id


def test_another_version_of_our_own_code_builds_it_again(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder.build(builder.first)
    monkeypatch.setattr("steward.domain.manifests.code_digest", lambda: "other")
    assert builder.build(builder.again("bbbbbbbbbbbb-1")).reused_from is None


@pytest.mark.parametrize("what", ["train_uri", "heldout_uri", "examples_uri", "manifest_uri"])
def test_a_file_with_one_changed_byte_is_written_again(builder: Builder, what: str) -> None:
    first = builder.build(builder.first)
    uri = getattr(first, what)
    good = builder.scene.objects.read(uri)
    builder.scene.objects.write(uri, good[:-1] + b"!")
    second = builder.again("bbbbbbbbbbbb-1")
    assert builder.build(second).reused_from is None
    assert builder.scene.objects.read(uri) == good
    assert "it was changed" in builder.scene.run(second)["step_dataset"]["reason"]
    assert builder.build(builder.again("cccccccccccc-1")).reused_from == builder.first


def test_a_request_without_cache_builds_it_again(builder: Builder) -> None:
    builder.build(builder.first)
    assert builder.build(builder.again("bbbbbbbbbbbb-1", use_cache=False)).reused_from is None


def test_the_same_task_twice_finds_its_own_work_and_reuses_nothing(builder: Builder) -> None:
    first = builder.build(builder.first)
    assert builder.build(builder.first) == first
    assert builder.scene.state.named("StepReused") == []
