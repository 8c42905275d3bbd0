"""A dataset is built again to the same rows and bytes, or the cause of the difference is named."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from steward.domain import dataset_rebuild
from steward.domain.dataset_rebuild import Cause, Found
from steward.domain.errors import InvalidProjectError
from steward.domain.manifests import SourceObject
from steward.ports import Table
from steward_cli.console import CommandError
from steward_cli.datasets import Datasets, Outcome
from support.dataset_scene import START, DatasetScene, asked, lab, lab_rows
from support.feature_scene import labs, project_of
from support.training_scene import DATA

ROWS = lab_rows(300)
WHOLE = [
    f"{n},2026-01-12T10:00:00+00:00,2026-01-12T10:30:00+00:00,false,{100 + n},1,w1\n"
    for n in range(1, 200)
]


class Story:
    """A built dataset whose world may change afterwards."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.scene = DatasetScene(folder, **changes)
        self.lab = self.scene.put_source(lab(ROWS))
        self.scene.materialise(self.lab)
        self.primary = asked(1, 320)
        built = self.scene.build(self.scene.accept(self.primary))
        self.manifest: dict[str, Any] = json.loads(
            self.scene.scene.objects.read(built.manifest_uri)
        )
        self.built = built
        self.datasets = Datasets(self.scene.scene.state, self.scene.scene.objects, DATA)

    def rebuild(self, with_later: bool = False) -> Outcome:
        return self.datasets.rebuild(self.manifest, with_later)

    def source(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["features"][0]["sources"][0]
        return found

    def causes(self, with_later: bool = False) -> list[Cause]:
        return [difference.cause for difference in self.rebuild(with_later).differences]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_nothing_changed_gives_the_same_rows_and_bytes(story: Story) -> None:
    outcome = story.rebuild()
    assert outcome.equal
    assert outcome.differences == []
    assert outcome.later == []


def test_the_rebuilt_manifest_is_the_same_but_for_nothing(story: Story, tmp_path: Path) -> None:
    from steward.domain.workspace import scratch

    with scratch(1024) as limits:
        prepared, _ = dataset_rebuild.rebuild(story.manifest, story.datasets._fetch, limits)
    assert {"dataset_id": prepared.dataset_id, **prepared.manifest} == story.manifest


def test_a_version_of_other_source_types_is_built_again_with_its_own(tmp_path: Path) -> None:
    project = project_of(features=[{"group": "labs", "version": 1}])
    scene = DatasetScene(tmp_path, project=project)
    scene.register("labs", 1, glucose="integer")
    scene.register("labs", 2)
    delivery = scene.put_source(lab([*ROWS, *WHOLE]))
    for version in (1, 2):
        scene.materialise(delivery, version=version)
    built = scene.build(scene.accept(asked(1, 320)))
    manifest = json.loads(scene.scene.objects.read(built.manifest_uri))
    [feature] = manifest["features"]
    assert feature["view"] == "labs/v1"
    [glucose] = [c for c in feature["source_table"]["columns"] if c["name"] == "glucose"]
    assert glucose["type"] == "integer"
    outcome = Datasets(scene.scene.state, scene.scene.objects, DATA).rebuild(manifest)
    assert outcome.differences == []
    assert outcome.equal


def test_a_version_whose_entity_was_of_another_type_is_refused(tmp_path: Path) -> None:
    project = project_of(features=[{"group": "labs", "version": 1}])
    scene = DatasetScene(tmp_path, project=project)
    scene.register("labs", 1, patient="string")
    scene.materialise(scene.put_source(lab(ROWS)))
    run_id = scene.accept(asked(1, 320))
    with pytest.raises(InvalidProjectError) as refused:
        scene.build(run_id)
    assert (refused.value.field, refused.value.value) == ("features[0].version", 1)
    assert "of type string" in refused.value.message


def test_a_source_object_that_is_gone_is_named(story: Story) -> None:
    key = (DATA, story.source()["key"])
    del story.scene.scene.objects._objects[key]
    outcome = story.rebuild()
    assert not outcome.equal
    [difference] = outcome.differences
    assert difference.cause is Cause.SOURCE_GONE
    assert story.source()["key"] in difference.about


def test_a_source_object_with_other_bytes_is_named(story: Story) -> None:
    place = (DATA, story.source()["key"])
    [stored] = story.scene.scene.objects._objects[place]
    object.__setattr__(stored, "content", stored.content.replace(b",w1\n", b",w2\n"))
    [difference] = story.rebuild().differences
    assert difference.cause is Cause.SOURCE_CHANGED


def test_a_deletion_on_purpose_is_told_from_a_loss(story: Story) -> None:
    key = {"project": "clinic", "delivery_id": story.lab}
    item = story.scene.scene.state.get(Table.DELIVERIES, key)
    assert item is not None
    deletion = {"reason": "erasure request 17", "by": "tess"}
    story.scene.scene.state.put(Table.DELIVERIES, {**item, "deletion": deletion})
    del story.scene.scene.objects._objects[(DATA, story.source()["key"])]
    [difference] = story.rebuild().differences
    assert difference.cause is Cause.DELETION
    assert difference.detail == "erasure request 17; by tess"


def late(deleted: str = "false", known: str = "2026-01-12T12:00:00+00:00") -> bytes:
    taken = START.replace(day=12).isoformat()
    rows = [f"{patient},{taken},{known},{deleted},77,1,late\n" for patient in range(1, 300)]
    return lab(rows)


def test_rows_that_came_later_about_an_earlier_time_are_named(story: Story) -> None:
    story.scene.put_source(late())
    without = story.rebuild()
    assert without.equal
    assert len(without.later) == 1
    outcome = story.rebuild(with_later=True)
    assert not outcome.rows
    [difference] = outcome.differences
    assert difference.cause is Cause.LATE_ROW
    assert difference.detail.startswith("299 rows of labs/v1")


def test_rows_that_were_known_after_the_cutoff_change_nothing(story: Story) -> None:
    story.scene.scene.clock.advance(86_400 * 300)
    story.scene.put_source(late(known="2026-11-01T00:00:00+00:00"))
    assert story.rebuild(with_later=True).equal


def test_tombstones_that_came_later_are_a_deletion(story: Story) -> None:
    story.scene.put_source(late(deleted="true"))
    assert story.causes(with_later=True) == [Cause.DELETION]


def test_a_join_by_event_time_alone_says_how_many_rows_it_leaks_into(story: Story) -> None:
    outcome = story.datasets.rebuild(story.manifest, event_time_only=True)
    assert not outcome.rows
    [difference] = outcome.differences
    assert difference.cause is Cause.LATER_KNOWLEDGE
    leaked = story.manifest["knowledge"]["rows_with_later_knowledge"]
    assert leaked > 0
    assert difference.detail.startswith(f"{leaked} rows")


def test_other_code_is_named_where_the_rows_differ(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_rebuild, "code_digest", lambda: "f" * 64)
    assert story.rebuild().equal  # Other code that builds the same is no difference.
    story.manifest["parts"]["train"]["logical_digest"] = "0" * 64
    [difference] = story.rebuild().differences
    assert difference.cause is Cause.CODE
    assert "f" * 12 in difference.detail


def test_another_engine_is_named_where_the_bytes_differ(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_rebuild, "engine_version", lambda: "9.9.9")
    assert story.rebuild().equal
    uri = story.built.train_uri.replace("train/train.csv", "parquet/train.parquet")
    changed = b"written by another engine"
    digest = story.scene.scene.objects.write(uri, changed)
    story.manifest["parts"]["train"]["sha256"] = digest
    outcome = story.rebuild()
    assert outcome.rows
    assert not outcome.bytes
    [difference] = outcome.differences
    assert difference.cause is Cause.ENGINE
    assert "9.9.9" in difference.detail


def test_a_difference_without_a_cause_is_never_silent(story: Story) -> None:
    story.manifest["parts"]["train"]["logical_digest"] = "0" * 64
    assert story.causes() == [Cause.UNEXPLAINED]


def test_stored_files_that_were_changed_are_named(story: Story) -> None:
    story.scene.scene.objects.write(story.built.train_uri, b"patient\n")
    outcome = story.rebuild()
    assert outcome.rows
    assert not outcome.equal
    assert [d.cause for d in outcome.differences] == [Cause.STORED]


def test_a_dataset_without_features_is_built_again_too(tmp_path: Path) -> None:
    declared = project_of().model_dump(mode="json")["data"]
    plain = project_of(data=declared, feature_groups=[], features=[])
    scene = DatasetScene(tmp_path, project=plain)
    built = scene.build(scene.accept(asked(1, 200), asked(100, 260, seed=4)))
    manifest = json.loads(scene.scene.objects.read(built.manifest_uri))
    datasets = Datasets(scene.scene.state, scene.scene.objects, DATA)
    assert datasets.rebuild(manifest).equal


def test_rows_that_came_as_events_take_part_and_are_rebuilt_from_their_parquet(
    tmp_path: Path,
) -> None:
    scene = DatasetScene(tmp_path)
    scene.materialise(scene.put_source(lab(ROWS)))
    taken, known = START.replace(day=12, hour=23), START.replace(day=12, hour=23, minute=5)
    for patient in range(1, 121):
        scene.stream(f"{patient},{taken.isoformat()},{known.isoformat()},false,55.5,1,er\n")
    built = scene.build(scene.accept(asked(1, 320)))
    scene.stream(f"1,{taken.isoformat()},{known.isoformat()},false,66.6,1,er\n")  # After it.
    rows = scene.scene.objects.read(built.train_uri).decode().splitlines()[1:]
    assert sum(",55.5," in row for row in rows) > 10
    assert not any(",66.6," in row for row in rows)
    manifest = json.loads(scene.scene.objects.read(built.manifest_uri))
    assert sum(s["table"] == "stream" for s in manifest["features"][0]["sources"]) == 120
    datasets = Datasets(scene.scene.state, scene.scene.objects, DATA)
    assert datasets.rebuild(manifest).equal


def test_two_datasets_are_told_apart_by_sources_and_values(tmp_path: Path) -> None:
    story = Story(tmp_path)
    later = story.scene.put_source(late())
    story.scene.materialise(later)
    second = story.scene.build(story.scene.accept(story.primary, asked(321, 340, seed=3)))
    manifest = json.loads(story.scene.scene.objects.read(second.manifest_uri))
    found = dataset_rebuild.diff(story.manifest, manifest)
    about = {(d.about, d.cause) for d in found}
    assert ("sources of labs/v1", Cause.LATE_ROW) in about
    assert ("sources", Cause.LATE_ROW) in about
    assert ("cutoff", Cause.DECLARATION) in about
    changes = story.datasets.row_changes(story.manifest, manifest)
    assert changes["only_in_a"] == 0
    assert changes["only_in_b"] == manifest["rows"] - story.manifest["rows"]
    assert changes["changed_values"]["measurements"] > 0
    assert dataset_rebuild.diff(manifest, manifest) == []


def test_another_definition_is_another_version_in_the_diff(tmp_path: Path) -> None:
    story = Story(tmp_path)
    other = json.loads(json.dumps(story.manifest))
    other["features"][0].update(view="labs/v2", version=2)
    details = [d.detail for d in dataset_rebuild.diff(story.manifest, other)]
    assert "labs/v1 in A, labs/v2 in B" in details
    assert labs()["feature_group"] == "labs"


def test_datasets_are_found_by_the_beginning_of_their_id(story: Story) -> None:
    dataset_id = story.manifest["dataset_id"]
    assert story.datasets.find(dataset_id[:6])["dataset_id"] == dataset_id
    assert story.datasets.find(f"clinic/{dataset_id}") == story.manifest
    assert [m["dataset_id"] for m in story.datasets.all_of("clinic")] == [dataset_id]
    with pytest.raises(CommandError, match="0 datasets"):
        story.datasets.find("zzzz")
    with pytest.raises(CommandError, match="no project"):
        story.datasets.all_of("nobody")


def test_of_a_delivery_with_rows_set_aside_the_accepted_file_is_looked_at_last() -> None:
    source = SourceObject(
        "data", "deliveries/p/a.csv", "v1", "a" * 64, "2026-01-01T00:00:00+00:00", 9, "data",
        "s3://data/accepted/p/a.csv", "b" * 64, quarantined_rows=1,
    )  # fmt: skip
    manifest = {"sources": [asdict(source)], "features": []}

    def causes(**found: Found) -> list[tuple[Cause, str]]:
        known = {"deliveries": Found("a" * 64), "accepted": Found("b" * 64), **found}
        differences = dataset_rebuild.check_sources(
            manifest, lambda looked: known[looked.key.partition("/")[0]]
        )
        return [(difference.cause, difference.about) for difference in differences]

    delivered, accepted = "s3://data/deliveries/p/a.csv?versionId=v1", source.accepted_uri
    assert causes() == []
    assert causes(accepted=Found("c" * 64)) == [(Cause.SOURCE_CHANGED, accepted)]
    assert causes(accepted=Found(None)) == [(Cause.SOURCE_GONE, accepted)]
    erased = {"deliveries": Found(None, "asked to"), "accepted": Found(None)}
    assert causes(**erased) == [(Cause.DELETION, delivered)]
