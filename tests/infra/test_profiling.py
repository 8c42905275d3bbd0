"""The optional DataBrew engine: machine, stack and command name the same job and prefixes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import botocore.session
import pytest

from steward.domain.delivery_files import MAX_UNPACKED_BYTES
from steward_cli import profiling
from steward_cli.commands import data_profile
from steward_cli.console import CommandError, Exit
from steward_cli.profiling import (
    engine_for,
    profiling_parameters,
    start_profile_job,
    wait_for_profile,
)
from steward_cli.target import Target
from support.databrew_profile import LOCATION, RUN, databrew_profile
from support.machine_player import TaskError, machine, play
from support.templates import ROOT, load, load_child

STACK = load(ROOT / "projects" / "profiling-stack.yaml")
PROFILE_FILE = machine("data/profile_file")
WORK = {"project": "diabetes", "job": "steward-dev-diabetes-profile", "correlation_id": "c"}


class Cloud:
    """What the command asks of AWS, recorded."""

    def __init__(self) -> None:
        self.stack, self.region, self.environment_name = "steward-dev", "us-east-1", "dev"
        self.engine: object = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.looks: list[dict[str, Any]] = []
        self.stored: dict[str, bytes] = {}

    def output(self, name: str) -> str:
        return {"KeyArn": "arn:aws:kms:us-east-1:123456789012:key/k"}.get(name, name.lower())

    def client(self, _service: str) -> Any:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": "arn:aws:iam::123456789012:user/ana"}

    def create_stack(self, **request: Any) -> None:
        self.asked.append(("stack", request))

    def get_waiter(self, _name: str) -> Any:
        return SimpleNamespace(wait=lambda **_given: None)

    def upload_file(self, file: str, bucket: str, key: str) -> None:
        self.asked.append(("upload", {"bucket": bucket, "key": key}))

    def start_execution(self, **request: Any) -> dict[str, str]:
        self.asked.append(("execution", request))
        return {"executionArn": "arn:execution"}

    def describe_execution(self, **_given: Any) -> dict[str, Any]:
        return self.looks.pop(0)

    def get_paginator(self, _operation: str) -> Any:
        found = [{"Key": key, "Size": len(body)} for key, body in self.stored.items()]
        return SimpleNamespace(paginate=lambda **_given: [{"Contents": found}])

    def get_object(self, **given: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.stored[given["Key"]])}


def test_a_file_beyond_one_function_goes_to_databrew_where_there_is_a_project() -> None:
    large = MAX_UNPACKED_BYTES + 1
    assert engine_for(large, "auto", "diabetes") == "databrew"
    assert engine_for(large, "auto", None) == "duckdb"
    assert engine_for(MAX_UNPACKED_BYTES, "auto", "diabetes") == "duckdb"
    assert engine_for(1, "databrew", "diabetes") == "databrew"
    with pytest.raises(CommandError):
        engine_for(1, "databrew", None)


def test_the_command_deploys_uploads_and_starts_in_this_order(tmp_path: Path) -> None:
    cloud, file = Cloud(), tmp_path / "visits.csv"
    file.write_text("a,b\n")
    started = start_profile_job(cast(Target, cloud), "diabetes", file, "csv")
    assert [kind for kind, _ in cloud.asked] == ["stack", "upload", "execution"]
    stack, upload, execution = (request for _, request in cloud.asked)
    given = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert set(given) == set(STACK["Parameters"])
    assert given["Format"] in STACK["Parameters"]["Format"]["AllowedValues"]
    prefix = STACK["Resources"]["FileDataset"]["Properties"]["Input"]["S3InputDefinition"]["Key"]
    assert upload["key"].startswith(prefix["Fn::Sub"].replace("${Project}", "diabetes"))
    name = load_child("data")["Resources"]["ProfileFileWorkflow"]["Properties"]["Name"]["Fn::Sub"]
    assert execution["stateMachineArn"].endswith(
        f":stateMachine:{name.replace('${StewardStack}', 'steward-dev')}"
    )
    job = STACK["Resources"]["ProfileJob"]["Properties"]
    named = (
        job["Name"]["Fn::Sub"].replace("${Environment}", "dev").replace("${Project}", "diabetes")
    )
    assert json.loads(execution["input"])["job"] == named
    assert started["output_uri"].endswith(
        job["OutputLocation"]["Key"]["Fn::Sub"].replace("${Project}", "diabetes")
    )


def test_the_embedded_aws_has_no_databrew(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.engine = object()
    with pytest.raises(CommandError, match="no DataBrew"):
        start_profile_job(cast(Target, cloud), "diabetes", tmp_path / "f.csv", "csv")
    assert cloud.asked == []


def waited(cloud: Cloud, **execution: Any) -> tuple[str, list[str]]:
    """Wait for an execution that runs at the first two looks and then has ended so."""
    cloud.looks = [{"status": "RUNNING"}, {"status": "RUNNING"}, execution]
    told: list[str] = []
    output = "s3://artifacts/profiles/databrew/diabetes/"
    started = {"execution_arn": "arn:execution", "output_uri": output}
    return wait_for_profile(cast(Target, cloud), started, told.append, every_s=0.001), told


def ended(*outputs: str) -> dict[str, Any]:
    output = {"project": "diabetes", "run_id": RUN, "outputs": list(outputs)}
    return {"status": "SUCCEEDED", "output": json.dumps(output)}


def test_the_command_waits_and_learns_where_the_profile_lies() -> None:
    report = "s3://artifacts/a_dq-validation-report.json"
    uri, told = waited(Cloud(), **ended(report, f"s3://artifacts/{LOCATION}"))
    assert uri == f"s3://artifacts/{LOCATION}"
    assert len(told) == 2


def test_where_the_machine_does_not_say_it_the_name_of_the_run_finds_it() -> None:
    cloud = Cloud()
    cloud.stored = {LOCATION: b"{}", LOCATION.replace("59a71d", "59a71e"): b"{}"}
    assert waited(cloud, **ended())[0] == f"s3://artifacts/{LOCATION}"
    with pytest.raises(CommandError, match="wrote no profile") as missing:
        waited(Cloud(), **ended())
    assert missing.value.code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "code"),
    [("FAILED", Exit.FAILED), ("ABORTED", Exit.FAILED), ("TIMED_OUT", Exit.TIMED_OUT)],
)
def test_a_job_that_did_not_succeed_fails_the_command_with_its_cause(
    status: str, code: Exit
) -> None:
    with pytest.raises(CommandError, match=r"DataBrew\.ConflictException: RunProfileJob") as failed:
        waited(
            Cloud(), status=status, error="DataBrew.ConflictException", cause="RunProfileJob: busy"
        )
    assert failed.value.code == code


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Cloud, Any]:
    """The command against a cloud whose job has written a profile."""
    cloud, file = Cloud(), tmp_path / "visits.csv"
    file.write_text("a,b\n")
    cloud.looks = [ended(f"s3://artifacts/{LOCATION}")]
    cloud.stored = {LOCATION: json.dumps(databrew_profile()).encode()}
    monkeypatch.setattr(data_profile, "choose", lambda _choice: cloud)

    def run(**options: Any) -> None:
        context = cast(Any, SimpleNamespace(obj=None))
        data_profile.profile_file(
            context, file, engine="databrew", project="diabetes", json_=True, **options
        )

    return cloud, run


def test_the_profile_is_shown_in_the_form_of_our_own_and_as_a_page(
    command: tuple[Cloud, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = command
    run(html=tmp_path / "page.html")
    shown = json.loads(capsys.readouterr().out)
    own = {"file", "format", "rows", "columns", "entity_id", "label", "not_plain_names"}
    assert own <= set(shown)
    assert (shown["rows"], shown["engine"], shown["duplicate_rows"]) == (1000, "databrew", 2)
    assert shown["columns"][0]["bins"] == [600, 320, 40]
    assert shown["profile_uri"] == f"s3://artifacts/{LOCATION}"
    assert "ward name" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_without_waiting_the_command_says_where_to_look(
    command: tuple[Cloud, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud, run = command
    run(no_wait=True)
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {"execution_arn", "output_uri"}
    assert len(cloud.looks) == 1


def test_a_proposal_from_databrew_is_refused_before_anything_starts(
    command: tuple[Cloud, Any],
) -> None:
    cloud, run = command
    with pytest.raises(CommandError, match="proposes nothing"):
        run(suggest_=True)
    assert cloud.asked == []


def test_every_format_has_its_data_set() -> None:
    formats = {
        profiling_parameters(cast(Target, Cloud()), "p", found)["Format"]
        for found in profiling._FORMATS
    }
    assert formats == set(STACK["Parameters"]["Format"]["AllowedValues"])


def test_the_jobs_role_reads_and_writes_what_the_job_does_and_no_more() -> None:
    role = STACK["Resources"]["ProfileJobRole"]["Properties"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "databrew.amazonaws.com"}
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    resources = json.dumps([statement["Resource"] for statement in statements])
    assert "profiling/${Project}/*" in resources
    assert "profiles/databrew/${Project}/*" in resources
    assert '"*"' not in resources


def test_a_profile_that_ends_is_told_with_where_it_lies() -> None:
    def run(given: dict[str, Any]) -> dict[str, Any]:
        place = {"Bucket": "artifacts", "Key": LOCATION}
        return {"JobName": given["Name"], "RunId": RUN, "Outputs": [{"Location": place}]}

    played = play(PROFILE_FILE, {"RunProfileJob": run}, WORK)
    told = {"project": "diabetes", "run_id": RUN, "outputs": [f"s3://artifacts/{LOCATION}"]}
    assert played.output == told


def test_a_result_without_outputs_tells_the_run_alone() -> None:
    played = play(PROFILE_FILE, {"RunProfileJob": lambda _: {"RunId": RUN}}, WORK)
    assert played.output == {"project": "diabetes", "run_id": RUN, "outputs": []}


def test_what_the_machine_reads_of_a_job_run_is_in_the_service_model() -> None:
    model = botocore.session.get_session().get_service_model("databrew")
    run = model.operation_model("DescribeJobRun").output_shape
    assert run is not None
    assert {"RunId", "Outputs"} <= set(run.members)
    location = model.shape_for("Output").members["Location"]
    assert {"Bucket", "Key"} <= set(location.members)


def test_a_job_that_is_busy_is_tried_again_and_a_failure_names_its_state() -> None:
    def busy(_given: Any) -> Any:
        raise TaskError("DataBrew.ConflictException", "another run is in progress")

    played = play(PROFILE_FILE, {"RunProfileJob": busy}, WORK)
    assert len(played.arguments["RunProfileJob"]) == 5
    assert (played.status, played.error) == ("FAILED", "DataBrew.ConflictException")
    assert played.cause == "RunProfileJob: another run is in progress"
