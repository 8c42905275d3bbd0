"""Online reads and their skew on the deployed stack: real functions, roles, tables and alarms."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.domain.exposures import hashed_entity
from steward.domain.names import feature_group_name
from steward.domain.project import Project
from steward.ports import Put, Table
from steward_cli.commands.project import deploy_project_stack
from steward_cli.function_urls import call
from steward_cli.state import StackState
from steward_cli.target import Target
from support.laboratory_stack import eventually
from support.online_scene import OnlineScene, feature_project
from support.vitals_history import VitalsHistory, measured

pytestmark = pytest.mark.e2e

OTHER = "vitals-ward"


class Ward:
    """A project with ``vitals``, its SageMaker group, and a registered model version."""

    def __init__(self, stack: Target) -> None:
        self.stack = stack
        self.name = OTHER
        self.project: Project = feature_project(project=self.name)
        self.group = feature_group_name(stack.environment_name, self.name, "vitals", 1)
        self.runtime = stack.client("sagemaker-featurestore-runtime")
        self.s3 = stack.client("s3")
        self.store = StackState(stack).store
        deploy_project_stack(stack, self.project)
        self._declare()
        self.history = VitalsHistory(self._write, self._read_record, self._put_record)
        self.history.project = self.name

    def _declare(self) -> None:
        """Write what pushing, training, registering and releasing this project would write."""
        scene = OnlineScene(project=self.project)
        keys = {
            Table.PROJECTS: {"project": "diabetes"},
            Table.RUNS: {"project": "diabetes", "run_id": f"{1:012x}-1"},
            Table.VERSIONS: {"project": "diabetes", "item": "version#00000001"},
            Table.FEATURES: {"project": "diabetes", "item": "group#vitals#v0001"},
        }
        puts = []
        for table, key in keys.items():
            item = scene.state.get(table, key)
            assert item is not None
            puts.append(Put(table, {**item, "project": self.name, "author": "tess"}))
        joined = [column.name for column in self.project.feature_columns]
        arm = {
            "version": 1, "endpoint": f"local-{self.name}-v1-prod", "role": "stable",
            "share": 100.0,
            "served_features": {"entity_id": "patient_id", "columns": joined},
        }  # fmt: skip
        route = {
            "project": self.name, "route_version": 1, "step_id": "x", "salt": "x", "arms": [arm],
        }  # fmt: skip
        self.store.commit([*puts, Put(Table.ROUTES, route)])

    def _write(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.stack.output("DataBucketName"), Key=key, Body=content)

    def _read_record(self, entity: str) -> dict[str, str] | None:
        answer = self.runtime.get_record(
            FeatureGroupName=self.group, RecordIdentifierValueAsString=entity
        )
        found = {v["FeatureName"]: v["ValueAsString"] for v in answer.get("Record", [])}
        return found or None

    def _put_record(self, entity: str, record: dict[str, str]) -> None:
        self.runtime.put_record(
            FeatureGroupName=self.group,
            Record=[{"FeatureName": n, "ValueAsString": v} for n, v in record.items()],
        )

    def change_online(self, entity: str, **values: str) -> None:
        """Write a value online that no row has: the planted skew."""
        record = self._read_record(entity)
        assert record is not None
        written = datetime.fromisoformat(record["written_at"]) + timedelta(seconds=1)
        later = written.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        self._put_record(entity, {**record, **values, "written_at": f"{later}Z"})

    def function(self, name: str) -> str:
        """Return the name of a deployed function."""
        pages = self.stack.client("lambda").get_paginator("list_functions").paginate()
        found = [f["FunctionName"] for page in pages for f in page["Functions"]]
        return str(next(f for f in found if name in f))

    def invoke(self, function: str, event: Any) -> Any:
        answer = self.stack.client("lambda").invoke(
            FunctionName=self.function(function), Payload=json.dumps(event).encode()
        )
        told = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, told
        return told

    def read(self, entity: str, **given: Any) -> dict[str, Any]:
        row = {"patient_id": entity, "age": 59, **given}
        command = {"project": self.name, "version": 1, "entities": [row]}
        told: dict[str, Any] = self.invoke("ReadFeatures", command)
        assert told["refused"] is None, told
        return {**told["entities"][0], "read_at": told["read_at"]}

    def capture(self, entity: str, name: str) -> None:
        """Read an entity through the deployed function and write the exposure of it."""
        found = self.read(entity)
        records = [
            {**record, "entity": hashed_entity(self.name, record["entity"])}
            for record in found["records"]
        ]
        line = {
            "capture": {
                "project": self.name,
                "answering_version": 1,
                "inference_id": str(uuid.uuid4()),
                "features": {**found["values"], "age": 59},
                "online": {
                    "read_at": found["read_at"], "served": found["served"], "records": records,
                },
            }
        }  # fmt: skip
        key = f"exposures/{datetime.now(UTC):%Y/%m/%d}/zz-{name}"
        self.s3.put_object(
            Bucket=self.stack.output("CaptureBucketName"), Key=key,
            Body=(json.dumps(line) + "\n").encode(),
        )  # fmt: skip

    def measure(self) -> dict[str, Any]:
        """Let the schedule's event arrive."""
        event = {
            "id": str(uuid.uuid4()), "source": "aws.events", "detail-type": "Scheduled Event",
            "time": datetime.now(UTC).isoformat(), "detail": {},
        }  # fmt: skip
        told: dict[str, Any] = self.invoke("MeasureSkew", event)
        return told

    def alarm(self) -> str:
        name = f"steward-{self.stack.environment_name}-{self.name}-feature-skew"
        (found,) = self.stack.client("cloudwatch").describe_alarms(AlarmNames=[name])[
            "MetricAlarms"
        ]
        return str(found["StateValue"])


@pytest.fixture(scope="module")
def ward(stack: Target) -> Ward:
    ward = Ward(stack)
    now = datetime.now(UTC).replace(tzinfo=None)
    ago = [(now - timedelta(minutes=m)).isoformat(" ", "seconds") for m in (90, 30, 20)]
    ward.history.deliver(
        [
            measured("p1", ago[0], pulse=80, glucose=6.25),
            measured("p1", ago[1], pulse=71, glucose=0.1),
            measured("p2", ago[2], pulse=None, glucose=0.2),
        ],
        datetime.now(UTC).isoformat(),
    )
    return ward


def test_the_deployed_function_reads_records_windows_and_on_demand_features(ward: Ward) -> None:
    values = ward.read("p1")["values"]
    assert (values["pulse"], values["measured_1d"], values["pulse_max_1d"]) == (71, 2, 80)
    assert values["glucose_1d"] == (6.25 + 0.1) / 2
    assert values["pulse_by_age"] == 71 / (220.0 - 59)
    assert ward.read("p1", pulse=None)["values"]["pulse_by_age"] is None
    assert ward.read("nobody")["values"]["pulse"] is None


def test_it_answers_over_its_url_to_whom_the_policy_allows(ward: Ward, stack: Target) -> None:
    body = {
        "project": ward.name, "groups": [{"group": "vitals", "select": ["pulse"]}],
        "entities": [{"patient_id": "p1"}, {"patient_id": "p9"}],
    }  # fmt: skip
    reply = call(stack, stack.output("ReadFeaturesUrl"), "POST", body).raise_for_status()
    assert [entity["values"] for entity in reply.body["entities"]] == [
        {"pulse": 71}, {"pulse": None},
    ]  # fmt: skip


def test_the_gateway_may_read_and_asks_no_model_without_features(ward: Ward, stack: Target) -> None:
    url = f"{stack.output('GatewayUrl').rstrip('/')}/{ward.name}"
    asked = {"entity_id": "p1", "features": {"age": 59, "bmi": 22.0, "sex": "F"}}
    refused = call(stack, url, "POST", {**asked, "features": {"bmi": 22.0, "sex": "F"}})
    assert (refused.status, refused.body["field"]) == (400, "age")
    answer = call(stack, url, "POST", asked)
    assert answer.status == 503, "its model has no endpoint"
    assert "endpoint" in json.dumps(answer.body)
    logs = stack.client("logs")
    pages = logs.get_paginator("describe_log_groups").paginate()
    groups = [group for page in pages for group in page["logGroups"]]
    (group,) = [g["logGroupName"] for g in groups if "AnswerRequestLogGroup" in g["logGroupName"]]

    def reads() -> list[int]:
        events = logs.filter_log_events(logGroupName=group)["events"]
        lines = [e["message"] for e in events if '"FeatureReads"' in e["message"]]
        told = [json.loads(line) for line in lines]
        return [line["FeatureReadFailures"] for line in told if line["project"] == ward.name]

    assert eventually(reads, "reads to be counted") == [0, 0]


def test_a_clean_run_is_ok_and_a_planted_skew_is_an_alarm(ward: Ward) -> None:
    ward.measure()
    for number in range(3):
        ward.capture("p1", f"a{number}")
        ward.capture("p2", f"b{number}")
    clean = ward.measure()
    assert (clean["reads"], clean["differing"], clean["failed"]) == (6, 0, {})
    assert clean["compared"] == 6 * 9
    ward.change_online("p1", glucose="0.3")
    ward.capture("p1", "c")
    planted = ward.measure()
    assert (planted["reads"], planted["differing"]) == (1, 1)
    found = ward.stack.client("cloudwatch").list_metrics(
        Namespace="Steward/local", MetricName="FeatureSkew"
    )["Metrics"]
    named = [{d["Name"]: d["Value"] for d in metric["Dimensions"]} for metric in found]
    wanted = {"project": ward.name, "feature_group": "vitals/v1", "feature": "glucose"}
    assert wanted in named
    eventually(lambda: ward.alarm() == "ALARM", "the alarm on skew")
