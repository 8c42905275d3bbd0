"""A delivery is deleted on purpose: the bytes go, the record stays, and a rebuild names it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.deletion import DeleteDelivery, ShowDelivery
from steward.domain.dataset_rebuild import Cause
from steward.domain.errors import ConflictError, DeliveryNotFoundError, RejectedError
from steward.domain.feature_versions import materialisation_item
from steward.ports import Table
from steward.service.data.deletion import delete_delivery, show_delivery
from steward.service.data.erasing import Erasure
from steward.service.training.ledger import feature_pins, usable_deliveries
from steward.settings import Settings
from steward_cli.datasets import Datasets
from support.dataset_scene import DatasetScene, asked, lab, lab_rows
from support.doorways import FakeApp, load, request
from support.fake_hosting import FakeHosting
from support.fakes import FakeWorkflows
from support.training_scene import DATA

ANA = "arn:aws:iam::000000000000:user/ana"
ARTIFACTS = "artifacts"
LAB = lab(lab_rows(30))
PRIMARY = asked(1, 40)


class Story:
    """A dataset of two deliveries, whose bytes lie in several places."""

    def __init__(self, folder: Path) -> None:
        self.scene = DatasetScene(folder)
        self.state, self.objects = self.scene.scene.state, self.scene.scene.objects
        self.lab = self.scene.put_source(LAB)
        self.scene.materialise(self.lab)
        run = self.scene.accept(PRIMARY)
        built = self.scene.build(run)
        self.manifest: dict[str, Any] = json.loads(self.objects.read(built.manifest_uri))
        self.primary = hashlib.sha256(PRIMARY).hexdigest()
        for kept in (
            f"{DATA}/accepted/clinic/{self.lab}/0123.csv",
            f"{DATA}/quarantine/clinic/{self.lab}/rows.csv",
            f"{ARTIFACTS}/reports/clinic/deliveries/{self.lab}.json",
            f"{ARTIFACTS}/reports/clinic/deliveries/{self.lab}.html",
        ):
            self.objects.write(f"s3://{kept}", b"{}")

    @property
    def erasure(self) -> Erasure:
        scene = self.scene.scene
        return Erasure(
            scene.state, scene.objects, FakeWorkflows(), FakeHosting(), scene.clock, scene.ids,
            DATA, ARTIFACTS, "dev",
        )  # fmt: skip

    def delete(self, delivery_id: str, reason: str = "erasure request 17") -> dict[str, Any]:
        order = DeleteDelivery(project="clinic", delivery_id=delivery_id, reason=reason)
        return delete_delivery(order, ANA, "request-1", self.erasure)

    def item(self, delivery_id: str) -> dict[str, Any]:
        key = {"project": "clinic", "delivery_id": delivery_id}
        item = self.state.get(Table.DELIVERIES, key)
        assert item is not None
        return item

    def stored(self) -> list[str]:
        """Return the keys of all versions that hold or come of the laboratory's file."""
        return [
            info.key
            for bucket in (DATA, ARTIFACTS)
            for info in self.objects.versions(bucket, "")
            if self.lab in info.key
            or self.objects.sha256(bucket, info.key, info.version_id) == self.lab
        ]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_everything_that_holds_the_delivery_goes_and_the_record_stays(story: Story) -> None:
    assert len(story.stored()) == 7
    deleted = story.delete(story.lab)
    assert story.stored() == []
    assert deleted["objects"] == {
        "delivered": 1, "accepted": 1, "quarantine": 1, "features": 2, "reports": 2,
        "batch_inputs": 0, "batch_work": 0, "scores": 0,
    }  # fmt: skip
    item = story.item(story.lab)
    assert item["status"] == "deleted"
    deletion = item["deletion"]
    assert (deletion["reason"], deletion["by"], deletion["objects"]) == (
        "erasure request 17", "000000000000/ana", 7,
    )  # fmt: skip
    assert deletion["completed_at"] >= deletion["at"]
    [told] = story.scene.events("DeliveryDeleted")
    assert (told.delivery_id, told.by, told.features) == (story.lab, deletion["by"], ["labs/v1"])


def test_a_rebuild_names_the_deletion_with_reason_actor_and_time(story: Story) -> None:
    story.delete(story.lab)
    datasets = Datasets(story.state, story.objects, DATA)
    outcome = datasets.rebuild(story.manifest)
    assert not outcome.equal
    [difference] = outcome.differences
    assert difference.cause is Cause.DELETION
    at = story.item(story.lab)["deletion"]["at"]
    assert difference.detail == f"erasure request 17; by 000000000000/ana at {at}"


def test_other_deliveries_stay_also_under_the_same_name_and_of_the_same_size(
    story: Story,
) -> None:
    key = story.item(story.lab)["key"]
    other = LAB.replace(b",w1\n", b",w2\n")
    assert len(other) == len(LAB)
    story.objects.write(f"s3://{DATA}/{key}", other)
    story.objects.write(f"s3://{DATA}/deliveries/clinic/lab/copy.csv", LAB)
    assert story.delete(story.lab)["objects"]["delivered"] == 2
    assert story.objects.read(f"s3://{DATA}/{key}") == other
    assert story.objects.sha256(DATA, story.item(story.primary)["key"]) == story.primary


def test_what_is_deleted_is_in_no_later_run(story: Story) -> None:
    assert story.lab in feature_pins(story.state, story.scene.project).deliveries
    story.delete(story.lab)
    story.delete(story.primary)
    assert feature_pins(story.state, story.scene.project).deliveries == frozenset()
    assert usable_deliveries(story.state, "clinic") == ([], [])
    name = materialisation_item("labs", 1, story.lab)
    made = story.state.get(Table.FEATURES, {"project": "clinic", "item": name})
    assert made is not None
    assert made["status"] == "deleted"


def test_the_same_bytes_delivered_again_start_nothing_and_go_again(story: Story) -> None:
    story.delete(story.primary)
    before = story.item(story.primary)["deletion"]
    started = story.scene.scene.deliver(PRIMARY)
    assert started["outcome"] == "suppressed"
    assert story.item(story.primary)["status"] == "deleted"
    again = story.delete(story.primary, reason="another reason")
    assert again["objects"]["delivered"] == 1
    assert (again["deletion"]["reason"], again["deletion"]["at"]) == (
        before["reason"], before["at"],
    )  # fmt: skip
    assert again["deletion"]["objects"] == before["objects"] + 1


def test_the_same_command_again_changes_and_tells_nothing(story: Story) -> None:
    first = story.delete(story.lab)
    second = story.delete(story.lab)
    assert second["deletion"] == first["deletion"]
    assert sum(second["objects"].values()) == 0
    assert len(story.scene.events("DeliveryDeleted")) == 1


def test_a_crash_between_leaves_the_record_and_the_next_command_goes_on(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = story.objects.remove
    left = iter(range(3))

    def dying(bucket: str, key: str, version_id: str) -> None:
        if next(left, None) is None:
            raise TimeoutError("killed")
        remove(bucket, key, version_id)

    monkeypatch.setattr(story.objects, "remove", dying)
    with pytest.raises(TimeoutError):
        story.delete(story.lab)
    assert story.item(story.lab)["status"] == "deleted"
    assert story.scene.events("DeliveryDeleted") == []
    monkeypatch.setattr(story.objects, "remove", remove)
    story.delete(story.lab)
    assert story.stored() == []
    assert len(story.scene.events("DeliveryDeleted")) == 1


def test_a_delivery_that_is_being_made_into_features_is_left_alone(story: Story) -> None:
    name = materialisation_item("labs", 1, story.lab)
    key = {"project": "clinic", "item": name}
    made = story.state.get(Table.FEATURES, key)
    assert made is not None
    story.state.put(Table.FEATURES, {**made, "status": "running"})
    with pytest.raises(ConflictError, match="labs/v1"):
        story.delete(story.lab)
    assert story.item(story.lab)["status"] == "accepted"
    assert len(story.stored()) == 7


def test_what_would_go_is_shown_and_nothing_goes(story: Story) -> None:
    shown = show_delivery(ShowDelivery(project="clinic", delivery=story.lab[:8]), story.erasure)
    assert (shown["delivery_id"], shown["table"], shown["features"]) == (
        story.lab, "lab", ["labs/v1"],
    )  # fmt: skip
    assert sum(shown["objects"].values()) == len(story.stored()) == 7


def test_a_beginning_that_none_or_several_have_is_refused(story: Story) -> None:
    with pytest.raises(DeliveryNotFoundError):
        show_delivery(ShowDelivery(project="clinic", delivery="0000"), story.erasure)
    with pytest.raises(DeliveryNotFoundError):
        story.delete("0" * 64)
    twin = {**story.item(story.lab), "delivery_id": story.lab[:8] + "0" * 56}
    story.state.put(Table.DELIVERIES, twin)
    with pytest.raises(RejectedError, match="2 deliveries"):
        show_delivery(ShowDelivery(project="clinic", delivery=story.lab[:8]), story.erasure)


def test_the_doorway_shows_deletes_and_refuses_in_the_name_of_the_verified_caller(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(steward_environment="dev", data_bucket=DATA, artifacts_bucket=ARTIFACTS)
    app = FakeApp(
        settings=settings, workflows=FakeWorkflows(), state=story.state, objects=story.objects
    )
    handler = load("delete_delivery", app, monkeypatch)
    order = {"project": "clinic", "delivery_id": story.lab, "reason": "erasure request 17"}

    def asked_for(method: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = handler(request(method, ANA, **given), None)
        return answer

    unknown = {"project": "clinic", "delivery": "0000"}
    assert asked_for("GET", query=unknown)["statusCode"] == 404
    without = json.dumps({**order, "reason": ""})
    assert asked_for("POST", body=without)["statusCode"] == 400
    assert asked_for("DELETE", body=json.dumps(order))["statusCode"] == 400
    assert len(story.stored()) == 7
    answer = asked_for("POST", body=json.dumps(order))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["deletion"]["principal"] == ANA
