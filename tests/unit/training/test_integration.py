"""Commits: each once, in order, and nothing of the project changes unless all is well."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import yaml

from steward.contracts.events import CommitSource
from steward.contracts.steps.integration import FetchSource, StartedTraining
from steward.domain.causes import readable_cause
from steward.domain.errors import (
    AccessDeniedError,
    ArchiveRefusedError,
    CommitNotFoundError,
    CommitSupersededError,
    ConflictError,
    EvidenceIncompleteError,
    InvalidProjectError,
    ProjectNotFoundError,
    ProjectTestsFailedError,
    RehearsalFailedError,
    SourceRefusedError,
    StewardError,
    ThrottledError,
)
from steward.domain.integrations import branch_item
from steward.domain.source_archives import below, canonical_archive, read_archive
from steward.ports import Table
from support.commit_scene import (
    MACHINE,
    TESS,
    A,
    B,
    C,
    Commits,
    files_of,
    tarball,
)
from support.training_scene import ARTIFACTS, declaration

URL = f"https://api.github.com/repos/acme/diabetes/tarball/{A}"


@pytest.fixture
def scene() -> Commits:
    return Commits()


# --- arrival ---------------------------------------------------------------------------------


def test_a_commit_starts_one_execution_under_its_own_name(scene: Commits) -> None:
    answer = scene.arrive(scene.push())

    record = scene.record(answer["integration_id"])
    assert record["run_id"] == f"commit#{A}#1"
    assert record["trigger"]["kind"] == "commit"
    assert (record["author"], record["author_arn"]) == ("000000000000/tess", TESS)
    [execution] = scene.workflows.executions.values()
    assert execution.name == f"diabetes_{A[:12]}-1"


def test_the_same_event_twice_starts_nothing_more(scene: Commits) -> None:
    received = scene.push()
    first, again = scene.arrive(received), scene.arrive(received)

    assert again == {**first, "again": True}
    assert len(scene.workflows.executions) == 1


def test_a_crash_before_the_execution_is_healed_by_the_events_retry(scene: Commits) -> None:
    received = scene.push()
    scene.arrive(received)
    scene.workflows.executions.clear()

    scene.arrive(received)

    assert len(scene.workflows.executions) == 1


def test_the_same_commit_twice_is_suppressed_and_recorded_once(scene: Commits) -> None:
    scene.arrive(scene.push())
    second = scene.push()
    answer = scene.arrive(second)
    scene.arrive(second)

    assert answer["outcome"] == "suppressed"
    assert answer["existing_run_id"] == f"commit#{A}#1"
    [kept] = scene.state.query(Table.RUNS, "diabetes", prefix="suppressed#")
    assert kept["reason"] == "it is being integrated"


def test_a_branch_that_is_set_back_is_integrated_again(scene: Commits) -> None:
    scene.integrate(scene.push(A))
    scene.integrate(scene.push(B, files_of(**{"src/train.py": "print('other')\n"})))

    back = scene.integrate(scene.push(A))

    assert (back["run_id"], back["status"]) == (f"commit#{A}#2", "succeeded")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event": "referenceDeleted"}, "deleted"),
        ({"referenceType": "tag"}, "is a tag"),
        ({"referenceName": "topic"}, "integration.branch of diabetes is main"),
        ({"repositoryName": "Some_Other"}, "belongs to no project"),
        ({"repositoryName": "steward-local-nobody"}, "belongs to no project"),
    ],
)
def test_what_is_no_commit_of_a_projects_branch_is_ignored(
    scene: Commits, changes: dict[str, Any], reason: str
) -> None:
    answer = scene.arrive(scene.push(**changes))

    assert answer["outcome"] == "ignored"
    assert reason in answer["reason"]
    assert scene.workflows.executions == {}


def test_a_pipeline_of_an_unknown_project_is_refused(scene: Commits) -> None:
    received = scene.asked(CommitSource(kind="s3", bucket="b", key="k"), origin="pipeline")
    unknown = received.model_copy(
        update={"meta": received.own.model_copy(update={"project": "nobody"})}
    )
    with pytest.raises(ProjectNotFoundError):
        scene.arrive(unknown)


def test_who_loses_the_race_for_the_newest_decides_anew(scene: Commits) -> None:
    received = scene.push(B)

    def another() -> None:
        scene.state.put(Table.RUNS, {
            "project": "diabetes", "run_id": branch_item("main"), "latest": f"commit#{A}#1",
            "commit_id": A, "at": "2020-01-01T00:00:00",
        })  # fmt: skip

    scene.state.before_commit = [another]

    assert scene.arrive(received)["outcome"] == "started"
    newest = scene.run(branch_item("main"))
    assert newest["latest"] == f"commit#{B}#1"


# --- overtaken -------------------------------------------------------------------------------


def executions(scene: Commits) -> dict[str, str]:
    """Return how the execution of each commit stands."""
    return {found.name[9:21]: found.status for found in scene.workflows.executions.values()}


def test_a_newer_commit_stops_the_older_ones_integration_and_says_so(scene: Commits) -> None:
    older = scene.arrive(scene.push(A))["integration_id"]
    scene.check(scene.fetch(older))  # its tests run
    before = scene.state.get(Table.PROJECTS, {"project": "diabetes"})

    answer = scene.arrive(scene.push(B))

    assert answer["overtook"] == older
    assert executions(scene) == {A[:12]: "ABORTED", B[:12]: "RUNNING"}
    record = scene.record(older)
    assert (record["status"], record["superseded_by"]) == ("superseded", f"commit#{B}#1")
    assert record["cause"] == f"overtaken by {B[:12]} of main"
    [told] = scene.state.named("IntegrationSuperseded")
    assert told.data.model_dump()["superseded_by"] == f"commit#{B}#1"
    assert scene.state.get(Table.PROJECTS, {"project": "diabetes"}) == before
    # The stopped execution's own event finds that all is said.
    assert scene.conclude(older, "ABORTED") == {"outcome": "superseded", "again": True}
    assert len(scene.state.named("IntegrationSuperseded")) == 1
    assert scene.state.named("IntegrationFailed") == []


def test_of_two_commits_within_a_second_the_one_heard_of_later_goes_on(scene: Commits) -> None:
    first, second = scene.push(A), scene.push(B)
    scene.arrive(first)
    scene.arrive(second.model_copy(update={"time": first.time}))
    late = scene.arrive(scene.push(C).model_copy(update={"time": "2020-01-01T00:00:00Z"}))

    assert executions(scene)[A[:12]] == "ABORTED"
    assert executions(scene)[B[:12]] == "ABORTED"  # C names B as what was there before
    assert late["outcome"] == "started"
    again = scene.arrive(first)
    assert again == {"outcome": "started", "integration_id": f"commit#{A}#1", "again": True}
    assert executions(scene)[A[:12]] == "ABORTED"  # the repeated event does not revive it


def test_an_older_commit_that_comes_late_stops_nothing(scene: Commits) -> None:
    older = scene.push(A)
    scene.arrive(scene.push(B))
    assert scene.arrive(older)["outcome"] == "suppressed"
    assert executions(scene) == {B[:12]: "RUNNING"}


def test_a_commit_that_is_the_projects_already_ends_by_itself(scene: Commits) -> None:
    older = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(older)
    scene.activate(fetched, scene.check(fetched))

    answer = scene.arrive(scene.push(B))

    assert "overtook" not in answer
    assert executions(scene) == {A[:12]: "RUNNING", B[:12]: "RUNNING"}
    assert scene.record(older)["status"] == "running"
    assert scene.run(branch_item("main"))["activated"] == older


def test_who_becomes_the_projects_during_the_write_is_not_ended_any_more(scene: Commits) -> None:
    older = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(older)
    checked = scene.check(fetched)
    received = scene.push(B)
    scene.repositories.at = A

    def activates() -> None:
        scene.activate(fetched, checked)

    scene.state.before_commit = [activates]

    answer = scene.arrive(received)

    assert (answer["outcome"], "overtook" in answer) == ("started", False)
    assert scene.record(older)["status"] == "running"
    assert executions(scene)[A[:12]] == "RUNNING"


def test_the_run_of_an_integrated_commit_goes_on_when_a_newer_commit_comes(scene: Commits) -> None:
    scene.with_data()
    record = scene.integrate(scene.push(A, files_of(**{"src/train.py": "print('a')\n"})))
    run = scene.run(record["training_run_id"])
    assert run["status"] == "running"

    newer = scene.integrate(scene.push(B, files_of(**{"src/train.py": "print('b')\n"})))

    assert scene.run(run["run_id"])["status"] == "running"
    assert scene.workflows.status(run["execution_arn"]) == "RUNNING"
    assert newer["training_outcome"] == "queued"


@pytest.mark.parametrize(
    "error", [ThrottledError("slow down"), AccessDeniedError("states:StopExecution")]
)
def test_a_stop_that_fails_is_tried_again_and_changes_nothing_of_the_outcome(
    scene: Commits, error: StewardError
) -> None:
    older = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(older)
    checked = scene.check(fetched)
    received = scene.push(B)
    scene.workflows.stop_fails = error
    with pytest.raises(type(error)):
        scene.arrive(received)

    assert executions(scene) == {A[:12]: "RUNNING", B[:12]: "RUNNING"}
    assert scene.record(older)["status"] == "superseded"
    with pytest.raises(CommitSupersededError):
        scene.activate(fetched, checked)

    assert scene.arrive(received)["again"] is True
    assert executions(scene)[A[:12]] == "ABORTED"
    assert len(scene.state.named("IntegrationSuperseded")) == 1


def test_an_execution_that_was_never_started_needs_no_stop(scene: Commits) -> None:
    scene.arrive(scene.push(A))
    scene.workflows.executions.clear()
    assert scene.arrive(scene.push(B))["outcome"] == "started"
    assert executions(scene) == {B[:12]: "RUNNING"}


# --- fetching --------------------------------------------------------------------------------


def test_a_repository_an_archive_and_a_pipeline_give_the_same_code(scene: Commits) -> None:
    digests = set()
    scene.downloads.archives[URL] = tarball(files_of())
    scene.objects.write("s3://pipeline/a.tar.gz", tarball(files_of(), folder=""))
    for received in (
        scene.push(A), scene.asked(CommitSource(kind="archive", url=URL), commit=B),
        scene.asked(CommitSource(kind="s3", bucket="pipeline", key="a.tar.gz"), commit="c" * 40),
    ):  # fmt: skip
        name = scene.arrive(received)["integration_id"]
        digests.add(scene.check(scene.fetch(name)).code_digest)

    assert len(digests) == 1


def test_a_commit_that_does_not_exist_is_refused(scene: Commits) -> None:
    name = scene.arrive(scene.push())["integration_id"]
    del scene.repositories.commits[A]
    with pytest.raises(CommitNotFoundError):
        scene.fetch(name)
    gone = scene.arrive(scene.asked(CommitSource(kind="s3", bucket="b", key="k"), commit=B))
    with pytest.raises(CommitNotFoundError, match="there is no object s3://b/k"):
        scene.fetch(gone["integration_id"])


def test_an_archive_that_leaves_its_folder_is_refused_by_name(scene: Commits) -> None:
    scene.downloads.archives[URL] = tarball({"../evil.py": files_of()["README.md"]}, folder="")
    name = scene.arrive(scene.asked(CommitSource(kind="archive", url=URL)))["integration_id"]
    with pytest.raises(ArchiveRefusedError, match=r"\.\./evil\.py leaves its folder"):
        scene.fetch(name)


def test_an_artifact_of_two_gigabytes_is_refused_unread(
    scene: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.objects.write("s3://pipeline/large.zip", b"PK")
    info = scene.objects.describe("pipeline", "large.zip")
    assert info is not None
    monkeypatch.setattr(scene.objects, "describe", lambda *_: replace(info, size=2 * 1024**3))
    source = CommitSource(kind="s3", bucket="pipeline", key="large.zip")
    name = scene.arrive(scene.asked(source))["integration_id"]
    with pytest.raises(SourceRefusedError, match="has 2048 MiB"):
        scene.fetch(name)


def test_a_token_goes_to_the_archive_of_its_repository_alone(scene: Commits) -> None:
    scene.secrets.create("token", '{"token": "t0p"}')
    scene.state.put(Table.RUNS, {
        "project": "diabetes", "run_id": "forge", "kind": "github", "token_secret": "token",
        "repository": "acme/diabetes",
        "archive": "https://api.github.com/repos/{repository}/tarball/{commit}",
    })  # fmt: skip
    other = "https://api.github.com/repos/evil/diabetes/tarball/" + B
    scene.downloads.archives = {URL: tarball(files_of()), other: tarball(files_of())}
    for url, commit in ((URL, A), (other, B)):
        source = CommitSource(kind="archive", url=url)
        scene.fetch(scene.arrive(scene.asked(source, commit))["integration_id"])

    assert [headers for _, headers, _ in scene.downloads.asked] == [
        {"authorization": "Bearer t0p"}, {},
    ]  # fmt: skip


# --- checking --------------------------------------------------------------------------------


def checked(scene: Commits, **changes: str) -> Any:
    name = scene.arrive(scene.push(A, files_of(**changes)))["integration_id"]
    return scene.check(scene.fetch(name))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"project.yaml": "a: [1"}, "project.yaml:1:6"),
        ({"project.yaml": "- a\n"}, "project.yaml"),
        ({"project.yaml": yaml.safe_dump(declaration(unknown=1))}, "unknown"),
        ({"project.yaml": yaml.safe_dump(declaration(project="other"))}, "project"),
        ({"features/labs.yaml": "feature_group: vitals\n"}, "features/labs.yaml"),
        (
            {"project.yaml": yaml.safe_dump(declaration(training={"source": "nowhere"}))},
            "training.source",
        ),
        ({"project.yaml": yaml.safe_dump(declaration(risk={})), "risk.yaml": "a: 1"}, "risk.yaml"),
    ],
)
def test_a_project_that_is_not_valid_is_refused_with_the_place(
    scene: Commits, changes: dict[str, str], field: str
) -> None:
    before = scene.state.get(Table.PROJECTS, {"project": "diabetes"})
    with pytest.raises(InvalidProjectError) as refused:
        checked(scene, **changes)
    assert refused.value.field == field
    assert scene.state.get(Table.PROJECTS, {"project": "diabetes"}) == before


def test_a_commit_without_project_yaml_is_refused(scene: Commits) -> None:
    files = files_of()
    del files["project.yaml"]
    name = scene.arrive(scene.push(A, files))["integration_id"]
    with pytest.raises(InvalidProjectError, match=r"project\.yaml is missing"):
        scene.check(scene.fetch(name))


def test_the_jobs_inputs_lie_below_the_integrations_own_prefix(scene: Commits) -> None:
    found = checked(scene)

    assert found.has_tests
    assert found.sample == "declared"
    assert found.tests_job == f"local-diabetes-{A[:12]}-1-test"
    written = {info.key for info in scene.objects.list(ARTIFACTS, "commits/")}
    base = f"commits/diabetes/{A[:12]}-1"
    assert f"{base}/tests-input/source.tar.gz" in written
    rehearsal = {info.key for info in scene.objects.list(ARTIFACTS, "rehearsals/")}
    assert f"rehearsals/diabetes/{A[:12]}-1/train.csv" in rehearsal
    archive = canonical_archive(below(files_of(), "src"))
    assert scene.objects.read(f"s3://{ARTIFACTS}/{base}/code/{found.code_digest}.tar.gz") == archive
    assert next(iter(read_archive(io.BytesIO(archive)))) == "inference.py"


def test_a_project_without_tests_says_so(scene: Commits) -> None:
    config = yaml.safe_dump(declaration(integration={"tests": None}))
    assert not checked(scene, **{"project.yaml": config}).has_tests


# --- judging ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "kind"),
    [("tests", ProjectTestsFailedError), ("rehearsal", RehearsalFailedError)],
)
def test_a_finding_ends_the_integration_with_its_words(
    scene: Commits, stage: str, kind: type[Exception]
) -> None:
    name = scene.arrive(scene.push())["integration_id"]
    assert scene.judge(name, stage).summary == "fine"
    with pytest.raises(kind, match="1 of 3"):
        scene.judge(name, stage, passed=False, summary="1 of 3", failed=["test_a"])
    assert scene.record(name)[stage]["failed"] == ["test_a"]


@pytest.mark.parametrize("found", [{"passed": None, "summary": "x"}, {"passed": "yes"}])
def test_only_a_clear_yes_passes(scene: Commits, found: dict[str, Any]) -> None:
    name = scene.arrive(scene.push())["integration_id"]
    with pytest.raises(ProjectTestsFailedError):
        scene.judge(name, "tests", **found)


def test_a_job_without_a_result_is_no_pass(scene: Commits) -> None:
    from steward.contracts.steps.integration import JudgeIntegration
    from steward.service.training.integration.judging import judge_integration

    name = scene.arrive(scene.push())["integration_id"]
    command = JudgeIntegration(
        project="diabetes", integration_id=name, correlation_id=name, stage="tests",
        output_uri=f"s3://{ARTIFACTS}/nowhere",
    )  # fmt: skip
    with pytest.raises(EvidenceIncompleteError):
        judge_integration(command, state=scene.state, objects=scene.objects)


# --- activation and training -----------------------------------------------------------------


def test_an_integrated_commit_is_the_projects_by_its_author(scene: Commits) -> None:
    record = scene.with_data().integrate(scene.push())

    item = scene.state.get(Table.PROJECTS, {"project": "diabetes"})
    assert item is not None
    assert (item["author"], item["author_arn"]) == ("000000000000/tess", TESS)
    assert item["code_digest"] == record["code_digest"]
    assert scene.objects.read(item["code_uri"]) == canonical_archive(below(files_of(), "src"))
    assert record["training_outcome"] == "started"
    run = scene.run(record["training_run_id"])
    assert run["trigger"]["kind"] == "commit"
    assert run["trigger"]["actor"] == "000000000000/tess"
    assert A[:12] in run["trigger"]["cause"]
    [told] = scene.state.named("CommitIntegrated")
    assert told.data.model_dump()["run_id"] == record["training_run_id"]


def test_a_commit_that_was_overtaken_changes_nothing(scene: Commits) -> None:
    name = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(name)
    found = scene.check(fetched)
    before = scene.state.get(Table.PROJECTS, {"project": "diabetes"})
    scene.arrive(scene.push(B))

    with pytest.raises(CommitSupersededError):
        scene.activate(fetched, found)
    scene.record_end(name, "superseded")

    assert scene.state.get(Table.PROJECTS, {"project": "diabetes"}) == before
    assert scene.record(name)["status"] == "superseded"
    [told] = scene.state.named("IntegrationSuperseded")
    assert told.data.model_dump()["superseded_by"] == f"commit#{B}#1"


def test_a_commit_that_is_overtaken_during_the_write_loses_it(scene: Commits) -> None:
    name = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(name)
    found = scene.check(fetched)
    before = scene.state.get(Table.PROJECTS, {"project": "diabetes"})

    def another() -> None:
        head = scene.run(branch_item("main"))
        scene.state.put(Table.RUNS, {**head, "latest": f"commit#{B}#1", "commit_id": B})

    scene.state.before_commit = [another]

    with pytest.raises(CommitSupersededError):
        scene.activate(fetched, found)
    assert scene.state.get(Table.PROJECTS, {"project": "diabetes"}) == before


def test_codecommit_itself_says_what_the_branch_is_at(scene: Commits) -> None:
    name = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(name)
    found = scene.check(fetched)
    scene.repositories.at = B
    with pytest.raises(CommitSupersededError, match=B):
        scene.activate(fetched, found)


def test_a_changed_input_is_not_activated(scene: Commits) -> None:
    name = scene.arrive(scene.push(A))["integration_id"]
    fetched = scene.fetch(name)
    found = scene.check(fetched)
    scene.objects.write(f"{fetched.prefix}/code/{found.code_digest}.tar.gz", b"other")
    with pytest.raises(EvidenceIncompleteError, match="the code that was checked"):
        scene.activate(fetched, found)


# --- ends ------------------------------------------------------------------------------------


def test_a_failure_is_recorded_with_the_tests_that_failed_and_told_once(scene: Commits) -> None:
    name = scene.arrive(scene.push())["integration_id"]
    with pytest.raises(ProjectTestsFailedError):
        scene.judge(name, "tests", passed=False, summary="1 of 3 tests failed", failed=["test_a"])
    facts = {
        "failed_state": "JudgeTests", "error": "ProjectTestsFailedError",
        "cause": '{"errorMessage": "1 of 3 tests failed", "stackTrace": []}',
    }  # fmt: skip
    scene.record_end(name, "failed", **facts)
    scene.record_end(name, "failed", **facts)

    record = scene.record(name)
    assert (record["status"], record["step"]) == ("failed", "JudgeTests")
    assert record["cause"] == "1 of 3 tests failed"
    [told] = scene.state.named("IntegrationFailed")
    assert told.data.model_dump()["failed_tests"] == ["test_a"]


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED", "FAILED"])
def test_what_the_machine_could_not_record_is_heard_of(scene: Commits, status: str) -> None:
    name = scene.arrive(scene.push())["integration_id"]

    assert scene.conclude(name, status)["outcome"] == "failed"
    assert scene.conclude(name, status)["again"] is True
    assert scene.record(name)["status"] == "failed"
    assert len(scene.state.named("IntegrationFailed")) == 1


def test_two_who_end_it_at_once_tell_once(scene: Commits) -> None:
    name = scene.arrive(scene.push())["integration_id"]
    scene.state.before_commit = [lambda: scene.state.put(
        Table.RUNS, {**scene.record(name), "status": "failed"}
    )]  # fmt: skip
    with pytest.raises(ConflictError):
        scene.record_end(name, "failed", failed_state="FetchSource", error="E")


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("plain", "plain"), ('{"FailureReason": "AlgorithmError: x"}', "AlgorithmError: x"),
        ("[1]", "[1]"), ("x" * 9000, "x" * 4000),
    ],
)  # fmt: skip
def test_a_cause_is_told_as_a_person_needs_it(cause: str, said: str) -> None:
    assert readable_cause(cause, 4000) == said


def test_names_that_the_machine_passes_on_fit_its_tasks() -> None:
    assert set(FetchSource.model_fields) == {
        "project", "integration_id", "correlation_id", "causation_id", "actor",
    }  # fmt: skip
    assert StartedTraining(outcome="kept").run_id == ""
    assert MACHINE.endswith("integrate-commit")
