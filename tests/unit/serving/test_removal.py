"""Removing a project: what is its own, what stops it, in which order it goes, who is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain import names
from steward.domain.belongings import Belongings
from steward.domain.errors import ConflictError, ProjectNotFoundError
from steward.domain.experiments.ticks import schedule_name
from steward.ports import Table
from steward.service.registry.reminders import reminder_name
from steward.service.serving.removal import Removal, remove_project, show_removal
from steward.settings import Settings
from support.doorways import FakeApp, load, request
from support.fake_project_resources import FakeProjectResources
from support.fakes import FakeClock, FakeIds, FakeState

OWN = Belongings("churn", "steward-dev", "dev")
ENDPOINT = names.endpoint_name("dev", "churn", 3, "prod")
MODEL = names.model_name("dev", "churn", 3, "prod", "00000003-1")
OTHERS = names.endpoint_name("dev", "churn-v1", 3, "prod")
BATCHES = "steward-dev-batch/churn-batch"
ZOE = "123456789012/zoe"


@pytest.mark.parametrize(
    "name",
    [
        names.endpoint_name("dev", "churn", 3, "staging"),
        names.endpoint_name("dev", "churn", 12, "prod"),
        MODEL,
        names.model_name("dev", "churn", 3, "staging", "2"),
        names.variants_endpoint("dev", "churn"),
        names.variants_config("dev", "churn", 4),
        "dev-churn-v2-batch-5d2e9a7b1c30-1",
    ],
)
def test_every_name_that_serving_gives_is_the_projects_own(name: str) -> None:
    assert OWN.has("endpoints", name)
    assert any(search in name for search in OWN.searches("endpoints"))


@pytest.mark.parametrize(
    "name",
    [
        OTHERS,
        names.endpoint_name("dev", "churn-eu", 3, "prod"),
        names.endpoint_name("dev", "xchurn", 3, "prod"),
        names.variants_endpoint("dev", "churn-v2"),
        names.endpoint_name("prod", "churn", 3, "prod"),
        "dev-churn-v3-production",
        "dev-churn-visits",
    ],
)
def test_names_of_projects_that_begin_alike_are_left_alone(name: str) -> None:
    assert not OWN.has("endpoints", name)


def test_schedules_of_experiments_reminders_and_batches_are_the_projects_own() -> None:
    ticks, reminder = schedule_name("churn", "00000003-1"), reminder_name("churn", 3, 1)
    for name in (f"steward-dev/{ticks}", f"steward-dev-approvals/{reminder}", BATCHES):
        assert OWN.has("schedules", name)
        assert name.partition("/")[2].startswith(OWN.searches("schedules"))
    for other in (
        f"steward-dev/{schedule_name('churn-v2', '00000003-1')}",
        f"steward-dev/{reminder_name('churn-eu', 3, 1)}",
        "steward-dev/churn-eu-batch",
    ):
        assert not OWN.has("schedules", other)


def test_schedules_of_another_stack_of_the_account_are_left_alone() -> None:
    for group in ("steward-prod-batch", "steward-dev-2", "default"):
        assert not OWN.has("schedules", f"{group}/churn-batch")


class Scene:
    """A project that is served, and what else the account has."""

    def __init__(self) -> None:
        self.state, self.resources = FakeState(), FakeProjectResources()
        self.clock, self.ids = FakeClock(), FakeIds()
        self.state.put(Table.PROJECTS, {
            "project": "churn", "config_digest": "c1", "code_digest": "d1", "updated_at": "t1",
        })  # fmt: skip
        self.state.put(Table.ROUTES, {"project": "churn"})
        for lock in ("churn/training", "churn-eu/training"):
            self.state.put(Table.LOCKS, {"lock": lock})
        self.resources.there["endpoints"] |= {ENDPOINT, OTHERS}
        self.resources.there["endpoint_configs"] |= {MODEL}
        self.resources.there["models"] |= {MODEL}
        self.resources.there["schedules"] |= {BATCHES}

    def removal(self) -> Removal:
        return Removal(self.state, self.resources, self.clock, self.ids, "steward-dev", "dev")

    def remove(self) -> dict[str, Any]:
        return remove_project("churn", ZOE, "request-1", self.removal())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_answers_acts_or_costs_goes_and_the_ledger_is_told_who_asked(scene: Scene) -> None:
    done = scene.remove()
    assert done["left"] == {}
    assert set(done["deleted"]) == {
        "schedules", "endpoints", "endpoint_configs", "models", "routes", "declarations",
    }  # fmt: skip
    assert scene.resources.there["endpoints"] == {OTHERS}
    assert scene.resources.deleted[0] == ("schedules", BATCHES)
    assert [item["lock"] for item in scene.state.scan(Table.LOCKS)] == ["churn-eu/training"]
    [told] = scene.state.named("ProjectRemoved")
    assert told.meta.actor == ZOE
    assert told.data.model_dump() == {
        "found": {"schedules": 1, "endpoints": 1, "endpoint_configs": 1, "models": 1},
        "config_digest": "c1", "code_digest": "d1",
    }  # fmt: skip


def test_asking_again_goes_on_and_tells_nothing_twice(scene: Scene) -> None:
    scene.resources.lingering.add(ENDPOINT)
    assert scene.remove()["left"] == {"endpoints": [ENDPOINT]}
    scene.resources.lingering.clear()
    assert scene.remove()["left"] == {}
    assert len(scene.state.named("ProjectRemoved")) == 1
    with pytest.raises(ProjectNotFoundError):
        scene.remove()


def test_an_endpoint_that_is_being_made_keeps_its_parts_until_it_can_be_deleted(
    scene: Scene,
) -> None:
    scene.resources.moving.add(ENDPOINT)
    left = scene.remove()["left"]
    assert left == {"endpoints": [ENDPOINT], "endpoint_configs": [MODEL], "models": [MODEL]}
    scene.resources.moving.clear()
    assert scene.remove()["left"] == {}


@pytest.mark.parametrize(
    ("table", "item", "says"),
    [
        (Table.RUNS, {"run_id": "r1", "status": "running"}, "run r1"),
        (Table.RUNS, {"run_id": "r1", "status": "waiting"}, "run r1"),
        (
            Table.RUNS,
            {"run_id": "commit#c7#1", "status": "running", "commit_id": "c7"},
            "commit c7",
        ),
        (Table.RUNS, {"run_id": "batch#b1", "status": "running", "batch_id": "b1"}, "batch b1"),
        (Table.RELEASES, {"release_id": "2-1", "status": "running"}, "release 2-1"),
        (Table.RELEASES, {"release_id": "2-1", "status": "waiting"}, "release 2-1"),
    ],
)
def test_what_is_under_way_stops_it_and_nothing_is_deleted(
    scene: Scene, table: Table, item: dict[str, Any], says: str
) -> None:
    scene.state.put(table, {"project": "churn", **item})
    with pytest.raises(ConflictError, match=says):
        scene.remove()
    assert scene.resources.deleted == []
    assert show_removal("churn", scene.removal())["busy"] == [says]


def test_what_has_ended_and_what_is_no_run_does_not_stop_it(scene: Scene) -> None:
    for run_id, status in (("r1", "held"), ("r2", "failed"), ("commit#c7#1", "superseded"),
                           ("suppressed#1", "running"), ("batch#b1", "succeeded")):  # fmt: skip
        scene.state.put(Table.RUNS, {"project": "churn", "run_id": run_id, "status": status})
    scene.state.put(Table.RUNS, {"project": "churn", "run_id": "branch#main"})
    for release_id, status in (("1-1", "completed"), ("2-1", "rolled_back")):
        scene.state.put(
            Table.RELEASES, {"project": "churn", "release_id": release_id, "status": status}
        )
    assert scene.remove()["left"] == {}


def test_a_declaration_of_this_moment_is_not_taken_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {"project": "churn", "config_digest": "c2", "updated_at": "t2"}
    commit = scene.state.commit

    def raced(changes: Any, events: Any = ()) -> None:
        scene.state.put(Table.PROJECTS, newer)
        commit(changes, events)

    monkeypatch.setattr(scene.state, "commit", raced)
    with pytest.raises(ConflictError):
        scene.remove()
    assert scene.state.get(Table.PROJECTS, {"project": "churn"}) == newer
    assert scene.resources.deleted == []


def test_the_doorway_shows_deletes_and_names_the_person(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = FakeApp(
        settings=Settings(
            steward_stack="steward-dev", steward_environment="dev", person_roles="Admin"
        ),
        state=scene.state,
    )
    app.project_resources = scene.resources  # type: ignore[attr-defined]
    handler = load("remove_project", app, monkeypatch)
    caller = "arn:aws:sts::123456789012:assumed-role/Admin/zoe"

    def ask(method: str, **asked: Any) -> tuple[int, Any]:
        answer = handler(request(method, caller, **asked), None)
        return answer["statusCode"], json.loads(answer["body"])

    status, shown = ask("GET", query={"project": "churn"})
    assert (status, shown["busy"], shown["found"]["endpoints"]) == (200, [], [ENDPOINT])
    status, done = ask("POST", body='{"project": "churn"}')
    assert (status, done["left"]) == (200, {})
    assert scene.state.named("ProjectRemoved")[0].meta.actor == ZOE
    assert ask("POST", body='{"project": "churn"}')[0] == 404
    assert ask("POST", body="{}")[0] == 400
    assert ask("PUT")[0] == 400
