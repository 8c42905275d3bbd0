"""Removing a project: what is its own, what stops it, in which order it goes, who is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain import names
from steward.domain.belongings import Belongings
from steward.domain.errors import ConflictError, ProjectNotFoundError
from steward.domain.experiments.ticks import schedule_name
from steward.ports import Delete, Table
from steward.service.registry.reminders import reminder_name
from steward.service.serving.removal import Removal, remove_project, show_removal
from steward.settings import Settings
from support.doorways import FakeApp, load, request
from support.fake_project_resources import FakeProjectResources
from support.fakes import FakeClock, FakeExecution, FakeIds, FakeState, FakeWorkflows

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
        self.clock, self.ids, self.workflows = FakeClock(), FakeIds(), FakeWorkflows()
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
        return Removal(
            self.state, self.resources, self.workflows, self.clock, self.ids, "steward-dev", "dev"
        )

    def executions(self, arn: str, status: str) -> None:
        """Let there be an execution."""
        self.workflows.executions[arn] = FakeExecution("machine", arn, {}, status)

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
    done = scene.remove()
    assert done["left"] == {
        "endpoints": [ENDPOINT], "endpoint_configs": [MODEL], "models": [MODEL],
    }  # fmt: skip
    assert set(done["deleted"]) == {"schedules", "routes", "declarations"}
    scene.resources.moving.clear()
    assert scene.remove()["left"] == {}


WORK: list[tuple[Table, dict[str, Any], str]] = [
    (Table.RUNS, {"run_id": "r1", "status": "running", "execution_arn": "e:1"}, "run r1"),
    (
        Table.RUNS,
        {"run_id": "commit#c7#1", "status": "running", "commit_id": "c7", "integration_arn": "e:1"},
        "commit c7",
    ),
    (
        Table.RUNS,
        {"run_id": "batch#b1", "status": "running", "batch_id": "b1", "batch_arn": "e:1"},
        "batch b1",
    ),
    (
        Table.VERSIONS,
        {"item": "staging#00000002", "version": 2, "status": "running", "execution_arn": "e:1"},
        "staging of version 2",
    ),
    (
        Table.RELEASES,
        {"release_id": "2-1", "status": "running", "execution_arn": "e:1"},
        "release 2-1",
    ),
]
WAITING: list[tuple[Table, dict[str, Any], str]] = [
    (Table.RUNS, {"run_id": "r1", "status": "waiting", "execution_arn": "e:1"}, "run r1"),
    (
        Table.RELEASES,
        {"release_id": "2-1", "status": "waiting", "execution_arn": "e:1"},
        "release 2-1",
    ),
]


@pytest.mark.parametrize(("table", "item", "says"), WORK + WAITING)
def test_what_is_under_way_stops_it_and_nothing_is_deleted(
    scene: Scene, table: Table, item: dict[str, Any], says: str
) -> None:
    long_ago = {} if item["status"] == "waiting" else {"started_at": "2025-01-05T09:00:00+00:00"}
    scene.state.put(table, {"project": "churn", **item, **long_ago})
    if item["status"] == "running":
        scene.executions("e:1", "RUNNING")
    with pytest.raises(ConflictError, match=says):
        scene.remove()
    assert scene.resources.deleted == []
    assert show_removal("churn", scene.removal())["busy"] == [says]


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "forgotten"])
@pytest.mark.parametrize(("table", "item", "says"), WORK)
def test_a_record_whose_last_event_was_lost_does_not_stop_it(
    scene: Scene, table: Table, item: dict[str, Any], says: str, end: str
) -> None:
    long_ago = "2025-01-05T09:00:00+00:00"
    scene.state.put(table, {"project": "churn", **item, "started_at": long_ago})
    if end != "forgotten":
        scene.executions("e:1", end)
    assert show_removal("churn", scene.removal())["busy"] == [], says
    assert scene.remove()["left"] == {}


def test_what_was_recorded_a_moment_ago_and_is_not_started_yet_stops_it(scene: Scene) -> None:
    now = scene.clock.now().isoformat(timespec="milliseconds")
    table, item, says = WORK[0]
    scene.state.put(table, {"project": "churn", **item, "started_at": now})
    with pytest.raises(ConflictError, match=says):
        scene.remove()
    scene.clock.advance(24 * 3600)
    assert scene.remove()["left"] == {}


def test_a_run_that_began_meanwhile_does_not_leave_half_a_project(scene: Scene) -> None:
    """It began after the look at what is under way; what it made since goes too, and is told."""
    scene.resources.moving.add(ENDPOINT)
    assert scene.remove()["left"]
    scene.state.put(Table.RUNS, {"project": "churn", **WORK[0][1]})
    scene.executions("e:1", "RUNNING")
    late = names.model_name("dev", "churn", 4, "staging", "1")
    scene.resources.there["models"].add(late)
    scene.resources.moving.clear()
    assert show_removal("churn", scene.removal())["busy"] == []
    done = scene.remove()
    assert (done["left"], late in done["deleted"]["models"]) == ({}, True)
    told = [event.data.model_dump() for event in scene.state.named("ProjectRemoved")]
    assert told[1:] == [{"found": {"models": 1}, "config_digest": None, "code_digest": None}]


def test_names_prove_nothing_where_no_such_project_was_ever_declared(scene: Scene) -> None:
    scene.state.commit([Delete(Table.PROJECTS, {"project": "churn"}),
                        Delete(Table.ROUTES, {"project": "churn"})])  # fmt: skip
    assert show_removal("churn", scene.removal()) == {"found": {}, "busy": []}
    with pytest.raises(ProjectNotFoundError):
        scene.remove()
    assert scene.resources.deleted == []
    assert scene.state.named("ProjectRemoved") == []


def test_what_turns_up_after_a_removal_goes_with_a_record_of_it(scene: Scene) -> None:
    scene.remove()
    scene.resources.there["endpoints"].add(ENDPOINT)
    assert scene.remove()["deleted"] == {"endpoints": [ENDPOINT]}
    assert [e.data.model_dump()["found"] for e in scene.state.named("ProjectRemoved")][1:] == [
        {"endpoints": 1}
    ]


def test_a_project_that_was_added_again_is_removed_again_with_a_record(scene: Scene) -> None:
    scene.remove()
    scene.state.put(Table.PROJECTS, {"project": "churn", "config_digest": "c2"})
    assert scene.remove()["deleted"] == {"declarations": ["churn"]}
    assert scene.state.named("ProjectRemoved")[1].data.model_dump()["config_digest"] == "c2"


def test_two_who_go_on_with_a_removal_at_once_do_not_tell_it_twice(scene: Scene) -> None:
    scene.remove()
    scene.resources.there["endpoints"].add(ENDPOINT)
    marker = {"project": "churn", "run_id": "removal#"}
    other = {**(scene.state.get(Table.RUNS, marker) or {}), "request_id": "request-2"}
    scene.state.before_commit.append(lambda: scene.state.put(Table.RUNS, other))
    with pytest.raises(ConflictError):
        scene.remove()
    assert scene.resources.there["endpoints"] == {ENDPOINT, OTHERS}


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
