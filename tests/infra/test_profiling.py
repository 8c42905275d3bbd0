"""The optional DataBrew engine: machine, stack and command name the same job and prefixes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steward.domain.delivery_files import MAX_UNPACKED_BYTES
from steward_cli import profiling
from steward_cli.console import CommandError
from steward_cli.profiling import engine_for, profiling_parameters, start_profile_job
from steward_cli.target import Target
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


def test_a_profile_that_ends_is_told() -> None:
    played = play(PROFILE_FILE, {"RunProfileJob": lambda given: {"RunId": given["Name"]}}, WORK)
    assert played.output == {"project": "diabetes", "run_id": "steward-dev-diabetes-profile"}


def test_a_job_that_is_busy_is_tried_again_and_a_failure_names_its_state() -> None:
    def busy(_given: Any) -> Any:
        raise TaskError("DataBrew.ConflictException", "another run is in progress")

    played = play(PROFILE_FILE, {"RunProfileJob": busy}, WORK)
    assert len(played.arguments["RunProfileJob"]) == 5
    assert (played.status, played.error) == ("FAILED", "DataBrew.ConflictException")
    assert played.cause == "RunProfileJob: another run is in progress"
