"""Reading online: request values win, expired is null, windows slide, nothing is made up."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.steps.features import ReadFeatures, WantedGroup
from steward.domain.errors import (
    DependencyError,
    EvidenceIncompleteError,
    ProjectNotFoundError,
    RejectedError,
    VersionNotFoundError,
)
from steward.ports import RecordKey, Table
from support.online_scene import PROJECT, VITALS, OnlineScene, feature_project, vitals_record

STORED = {
    "pulse": 71, "glucose": 5.5, "posture": None, "fasting": True,
    "seen_at": "2026-01-05T08:00:00.000Z", "measured_1d": 2, "glucose_1d": 6.0,
    "pulse_max_1d": 71,
}  # fmt: skip
NOTHING = dict.fromkeys(STORED)


@pytest.fixture
def scene() -> OnlineScene:
    """It is 2026-01-05, 09:00 UTC."""
    return OnlineScene()


def test_all_kinds_of_features_are_read_as_of_now(scene: OnlineScene) -> None:
    scene.put()
    found = scene.read()
    assert found.values == {**STORED, "pulse_by_age": 71 / (220.0 - 59)}
    (record,) = found.records
    assert (record.group, record.version, record.entity) == ("vitals", 1, "p1")
    assert (record.found, record.expired, record.freshness_s) == (True, False, 3600.0)
    assert record.event_time == "2026-01-05T08:00:00.000Z"


def test_types_stay_as_declared(scene: OnlineScene) -> None:
    scene.put(glucose="6")
    values = scene.read().values
    assert [type(values[n]) for n in ("pulse", "glucose", "fasting", "measured_1d")] == [
        int, float, bool, int,
    ]  # fmt: skip


def test_a_window_slides_with_the_clock_though_the_record_stays(scene: OnlineScene) -> None:
    scene.put()
    scene.clock.advance(79_200 - 1)  # the older row is a second inside of its day
    assert scene.read().values["measured_1d"] == 2
    scene.clock.advance(1)  # its event time is the open end
    values = scene.read().values
    assert (values["measured_1d"], values["glucose_1d"], values["pulse"]) == (1, 5.5, 71)


def test_an_expired_record_gives_null_and_says_so(scene: OnlineScene) -> None:
    scene.put()
    scene.clock.advance(82_800)  # exactly the TTL
    assert scene.read().values["pulse"] == 71
    scene.clock.advance(0.001)
    found = scene.read()
    assert found.values == {**NOTHING, "pulse_by_age": None}
    (record,) = found.records
    assert (record.found, record.expired) == (True, True)
    assert record.freshness_s == 86_400.001


def test_a_tombstone_is_no_record(scene: OnlineScene) -> None:
    scene.put(deleted="1")
    found = scene.read()
    assert found.values == {**NOTHING, "pulse_by_age": None}
    (record,) = found.records
    assert record.found is False


def test_an_unknown_entity_gives_null_and_is_not_expired(scene: OnlineScene) -> None:
    found = scene.read(entity="nobody")
    assert found.values == {**NOTHING, "pulse_by_age": None}
    (record,) = found.records
    assert (record.found, record.expired, record.freshness_s) == (False, False, None)


def test_a_tombstone_gives_null_and_is_no_record(scene: OnlineScene) -> None:
    scene.put(deleted="1", erased_until="2026-01-05T08:00:00.000Z")
    found = scene.read()
    assert found.values == {**NOTHING, "pulse_by_age": None}
    (record,) = found.records
    assert (record.found, record.expired) == (False, False)
    assert record.event_time == "2026-01-05T08:00:00.000Z"


def test_a_null_key_is_no_entity(scene: OnlineScene) -> None:
    command = ReadFeatures(project=PROJECT, version=1, entities=[{"patient_id": None, "age": 59}])
    (found,) = scene.service.read(command).entities
    assert found.values["pulse"] is None
    assert scene.online.reads == []


def test_given_values_win_also_null_and_feed_on_demand_features(scene: OnlineScene) -> None:
    scene.put()
    found = scene.read(pulse=100, glucose=None)
    assert found.values["pulse"] == 100
    assert found.values["glucose"] is None
    assert found.values["pulse_by_age"] == 100 / (220.0 - 59)
    assert "pulse" not in found.served
    assert "pulse_by_age" in found.served


def test_a_given_null_makes_what_is_computed_from_it_null(scene: OnlineScene) -> None:
    scene.put()
    assert scene.read(pulse=None).values["pulse_by_age"] is None


def test_a_given_on_demand_value_wins_over_the_computed_one(scene: OnlineScene) -> None:
    scene.put()
    found = scene.read(pulse_by_age=9.5)
    assert found.values["pulse_by_age"] == 9.5
    assert "pulse_by_age" not in found.served


def test_given_values_win_over_an_expired_record_too(scene: OnlineScene) -> None:
    scene.put()
    scene.clock.advance(100_000)
    values = scene.read(pulse=80).values
    assert (values["pulse"], values["glucose"]) == (80, None)
    assert values["pulse_by_age"] == 80 / (220.0 - 59)


@pytest.mark.parametrize(
    ("given", "field"),
    [({"age": "old"}, "age"), ({"pulse": "fast"}, "pulse"), ({"patient_id": 1.5}, "patient_id")],
)
def test_a_given_value_of_another_type_names_its_field(
    scene: OnlineScene, given: dict[str, Any], field: str
) -> None:
    scene.put()
    with pytest.raises(RejectedError) as refused:
        scene.read(**given)
    assert refused.value.field == field


def test_a_missing_key_or_input_names_its_field(scene: OnlineScene) -> None:
    for row, field in (({"age": 59}, "patient_id"), ({"patient_id": "p1"}, "age")):
        with pytest.raises(RejectedError) as refused:
            scene.service.read(ReadFeatures(project=PROJECT, version=1, entities=[row]))
        assert refused.value.field == field


def test_each_model_version_reads_the_group_version_that_it_was_trained_on(
    scene: OnlineScene,
) -> None:
    scene.put(1, pulse="71")
    scene.put(2, pulse="99")
    assert scene.read(version=1).values["pulse"] == 71
    assert scene.read(version=2).values["pulse"] == 99
    assert [record.version for record in scene.read(version=2).records] == [2]


def test_what_the_project_declares_later_changes_no_version(scene: OnlineScene) -> None:
    scene.put()
    before = scene.read().values
    later = feature_project(features=[{"group": "vitals", "select": ["pulse"]}])
    item = {"project": PROJECT, "config": later.model_dump(mode="json")}
    scene.state.put(Table.PROJECTS, item)
    assert OnlineScene(state=scene.state, online=scene.online).read().values == before


def test_a_version_that_pins_no_group_version_is_not_guessed_for(scene: OnlineScene) -> None:
    scene.register_model(3, [])
    with pytest.raises(EvidenceIncompleteError, match="pins no version of the group vitals"):
        scene.read(version=3)


def test_an_unknown_version_is_not_found(scene: OnlineScene) -> None:
    with pytest.raises(VersionNotFoundError):
        scene.read(version=9)


def test_the_views_of_a_version_are_resolved_once(
    scene: OnlineScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.put()
    scene.read()

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(scene.state, "get", never)
    assert scene.read().values["pulse"] == 71


def test_entities_of_one_read_are_asked_for_together_and_answered_in_order(
    scene: OnlineScene,
) -> None:
    for number in range(5):
        scene.put(entity=f"p{number}", pulse=str(60 + number))
    rows = [{"patient_id": f"p{number}"} for number in (4, 0, 9, 2)]
    command = ReadFeatures(project=PROJECT, version=1, entities=rows, request={"age": 40})
    reading = scene.service.read(command)
    assert [entity.values["pulse"] for entity in reading.entities] == [64, 60, None, 62]
    assert len(scene.online.reads) == 1


def test_a_failing_store_is_an_error_and_no_null(scene: OnlineScene) -> None:
    scene.online.failing = DependencyError("the store is down")
    with pytest.raises(DependencyError, match="the store is down"):
        scene.read()
    command = ReadFeatures(project=PROJECT, version=1, entities=[{"patient_id": "p1", "age": 1}])
    with pytest.raises(DependencyError):
        scene.service.answer(command)


def test_a_record_that_is_not_readable_is_an_error_and_no_null(scene: OnlineScene) -> None:
    scene.put(pulse="fast")
    with pytest.raises(EvidenceIncompleteError):
        scene.read()


def test_what_is_refused_is_an_answer_for_a_caller(scene: OnlineScene) -> None:
    command = ReadFeatures(project=PROJECT, version=1, entities=[{"patient_id": "p1"}])
    answer = scene.service.answer(command)
    assert answer.entities == []
    assert answer.refused is not None
    assert answer.refused["field"] == "age"


# --- groups by name ---------------------------------------------------------------------


def groups(scene: OnlineScene, *wanted: WantedGroup, **given: Any) -> Any:
    command = ReadFeatures(
        project=PROJECT, groups=list(wanted), entities=[{"patient_id": "p1", **given}]
    )
    return scene.service.read(command).entities[0]


def test_a_group_by_name_is_its_newest_active_version(scene: OnlineScene) -> None:
    scene.put(1, pulse="71")
    scene.put(2, pulse="99")
    assert groups(scene, WantedGroup(group="vitals", select=["pulse"])).values == {"pulse": 99}
    scene.register_group(VITALS, 2, status="retired")
    found = groups(scene, WantedGroup(group="vitals", select=["pulse"]))
    assert (found.values, found.records[0].version) == ({"pulse": 71}, 1)


def test_a_version_of_a_group_is_read_by_number(scene: OnlineScene) -> None:
    scene.put(1, pulse="71")
    wanted = WantedGroup(group="vitals", version=1, select=["pulse", "pulse_by_age"])
    found = groups(scene, wanted, age=20)
    assert found.values == {"pulse": 71, "pulse_by_age": 71 / 200.0}


def test_a_selection_without_on_demand_features_needs_no_input(scene: OnlineScene) -> None:
    scene.put(2)
    found = groups(scene, WantedGroup(group="vitals", select=["glucose_1d"]))
    assert found.values == {"glucose_1d": 6.0}


def test_clashing_names_of_two_groups_have_their_group_s_prefix(scene: OnlineScene) -> None:
    other = {
        **VITALS, "feature_group": "resting-vitals", "aggregates": [], "on_demand": [],
        "features": [{"name": "pulse", "type": "integer"}, {"name": "posture", "type": "string"}],
    }  # fmt: skip
    scene.register_group(other, 1)
    scene.put(2)
    key = RecordKey("steward-local-diabetes-resting-vitals-v1", "p1")
    record = vitals_record(pulse="50")
    kept = ("entity", "written_at", "event_time", "known_at", "digest", "deleted", "pulse")
    scene.online.put(key, {name: record[name] for name in kept})
    found = groups(
        scene, WantedGroup(group="vitals", select=["pulse", "glucose"]),
        WantedGroup(group="resting-vitals", select=["pulse"]),
    )  # fmt: skip
    assert found.values == {"vitals__pulse": 71, "glucose": 5.5, "resting_vitals__pulse": 50}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (WantedGroup(group="labs"), "groups"),
        (WantedGroup(group="vitals", version=7), "groups"),
        (WantedGroup(group="vitals", select=["height"]), "groups.select"),
    ],
)
def test_what_is_not_registered_is_refused(
    scene: OnlineScene, wanted: WantedGroup, field: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        groups(scene, wanted)
    assert refused.value.field == field


def test_a_project_that_is_not_there_is_not_found(scene: OnlineScene) -> None:
    with pytest.raises(ProjectNotFoundError):
        scene.service.read(
            ReadFeatures(
                project="asthma", groups=[WantedGroup(group="vitals")], entities=[{"x": 1}]
            )
        )
