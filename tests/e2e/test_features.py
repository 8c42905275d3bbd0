"""Feature groups on the deployed stack: from a file to the online store, whatever dies between."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from steward.domain.feature_groups import FeatureGroup
from steward_cli.app import app
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.sources import read_source
from steward_cli.target import Choice
from support.feature_scene import CSV_HEADER, csv_row, declaration, labs
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clinic(lab: Laboratory) -> Path:
    """A project with the group ``labs``, added to the stack."""
    return add(lab, "clinic", labs())


def add(lab: Laboratory, name: str, group: dict[str, Any]) -> Path:
    home = lab.folder / name
    (home / "features").mkdir(parents=True, exist_ok=True)
    (home / "src").mkdir(exist_ok=True)
    (home / "src" / "train.py").write_text("", encoding="utf-8")
    declared = {**declaration(group), "project": name}
    declared.pop("feature_groups")
    (home / "project.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    (home / "features" / "labs.yaml").write_text(yaml.safe_dump(group), encoding="utf-8")
    source = read_source(home)
    deploy_project_stack(lab.target, source.project)
    push(lab.theo, source)
    return home


def put(lab: Laboratory, project: str, name: str, *rows: str) -> None:
    path = lab.folder / name
    path.write_text(CSV_HEADER + "".join(rows), encoding="utf-8")
    target = lab.target
    target.client("s3").put_object(
        Bucket=target.output("DataBucketName"), Key=f"deliveries/{project}/lab/{name}",
        Body=path.read_bytes(),
    )  # fmt: skip


def materialisation(
    lab: Laboratory, project: str, count: int, *statuses: str, version: int = 1
) -> dict[str, Any]:
    """Wait for the newest of ``count`` materialisations to have one of the statuses."""

    def read() -> dict[str, Any] | None:
        prefix = f"materialisation#labs#v{version:04d}#"
        found = lab.state.features(project, prefix)
        found.sort(key=lambda item: str(item["received_at"]))
        if len(found) < count or found[-1]["status"] not in statuses:
            return None
        return found[-1]

    return eventually(read, f"materialisation {count} of {project} that is {statuses}")


def online(lab: Laboratory, project: str, patient: int, version: int = 1) -> dict[str, str]:
    found = lab.target.client("sagemaker-featurestore-runtime").get_record(
        FeatureGroupName=f"steward-{lab.target.environment_name}-{project}-labs-v{version}",
        RecordIdentifierValueAsString=str(patient),
    )
    return {v["FeatureName"]: v["ValueAsString"] for v in found.get("Record", [])}


def test_a_file_of_a_source_is_in_parquet_and_online_and_a_correction_wins(
    lab: Laboratory, clinic: Path
) -> None:
    put(lab, "clinic", "first.csv", csv_row(1, 10, 90), csv_row(1, 12, 120), csv_row(2, 11, 100))
    item = materialisation(lab, "clinic", 1, "done", "failed")
    assert (item["status"], item["rows"], item["online_rows"]) == ("done", 3, 2)
    assert online(lab, "clinic", 1)["glucose"] == "120.0"
    [chunk] = item["chunks"]
    head = lab.target.client("s3").head_object(
        Bucket=lab.target.output("DataBucketName"), Key=chunk["key"], VersionId=chunk["version_id"]
    )
    assert head["ContentLength"] > 0
    put(lab, "clinic", "second.csv", csv_row(1, 12, 130, reported=14), csv_row(2, 9, 1))
    materialisation(lab, "clinic", 2, "done", "failed")
    assert (online(lab, "clinic", 1)["glucose"], online(lab, "clinic", 2)["glucose"]) == (
        "130.0", "100.0",
    )  # fmt: skip


def test_the_alarms_of_features_tell_who_is_on_call(lab: Laboratory, clinic: Path) -> None:
    prefix = f"steward-{lab.target.environment_name}-clinic-"
    alarms = lab.target.client("cloudwatch").describe_alarms(
        AlarmNames=[f"{prefix}stale-labs-v1", f"{prefix}feature-skew"]
    )["MetricAlarms"]
    told = [alarm["AlarmActions"] for alarm in alarms]
    assert told == [[lab.target.output("OnCallTopic")]] * 2


def test_a_changed_definition_is_a_second_version_fed_with_all_that_came(
    lab: Laboratory, clinic: Path
) -> None:
    materialisation(lab, "clinic", 2, "done")
    add(lab, "clinic", labs(ttl_s=0))
    materialisation(lab, "clinic", 2, "done", version=2)
    eventually(
        lambda: online(lab, "clinic", 1, version=2).get("glucose") == "130.0", "version 2 online"
    )
    assert online(lab, "clinic", 1)["glucose"] == "130.0"


def workers_of(lab: Laboratory, function: str) -> Iterator[int]:
    """Yield the processes of this embedded AWS that run a function: where its code lies."""
    own = (ROOT / "functions" / function / "app.py").read_bytes()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = (process / "cwd").readlink()
            if not folder.is_relative_to(lab.choice.state_dir):
                continue
            code = (folder / "app.py").read_bytes()
        except OSError:
            continue
        if code == own:
            yield int(process.name)


def test_a_worker_that_is_killed_between_offline_and_online_is_completed_without_duplicates(
    lab: Laboratory,
) -> None:
    add(lab, "hospital", labs())
    patients = 4000
    put(
        lab, "hospital", "many.csv", *(csv_row(n, 10 + n % 9, 90 + n % 50) for n in range(patients))
    )

    def half_way() -> dict[str, Any] | None:
        found = lab.state.features("hospital", "materialisation#")
        started = found and found[0].get("chunks") and int(found[0]["online_chunks"]) == 0
        return found[0] if started and identifiers(lab, "hospital", most=100) else None

    item = eventually(half_way, "Parquet written and records on the way")
    killed = list(workers_of(lab, "data/materialise_chunk"))
    assert killed
    for process in killed:
        os.kill(process, signal.SIGKILL)
    before = records(lab, "hospital")
    assert 0 < len(before) < patients, "the worker was faster than the test"
    assert item["status"] == "running"

    done = materialisation(lab, "hospital", 1, "done", "failed")
    assert (done["status"], done["attempt"], done["rows"]) == ("done", 1, patients)
    assert len(done["chunks"]) == 1
    after = records(lab, "hospital")
    assert len(after) == patients
    # What was there before the kill was not written again.
    kept = sum(after[name]["written_at"] == record["written_at"] for name, record in before.items())
    assert kept == len(before)
    assert after["3"]["glucose"] == "93.0"


def identifiers(lab: Laboratory, project: str, most: int = 100_000) -> list[str]:
    """Return the entities that have a record in the project's group."""
    runtime = lab.target.client("sagemaker-featurestore-runtime")
    name = f"steward-{lab.target.environment_name}-{project}-labs-v1"
    names: list[str] = []
    token: dict[str, str] = {}
    while len(names) < most:
        page = runtime.list_records(FeatureGroupName=name, MaxResults=100, **token)
        names += page["RecordIdentifiers"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    return names


def records(lab: Laboratory, project: str) -> dict[str, dict[str, str]]:
    """Return all records of the project's group."""
    runtime = lab.target.client("sagemaker-featurestore-runtime")
    name = f"steward-{lab.target.environment_name}-{project}-labs-v1"
    names = identifiers(lab, project)
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(names), 100):
        answer = runtime.batch_get_record(
            Identifiers=[
                {"FeatureGroupName": name,
                 "RecordIdentifiersValueAsString": names[start : start + 100]}
            ]
        )  # fmt: skip
        for record in answer["Records"]:
            found[record["RecordIdentifierValueAsString"]] = {
                v["FeatureName"]: v["ValueAsString"] for v in record["Record"]
            }
    return found


def test_a_materialisation_that_fails_says_so_once(lab: Laboratory) -> None:
    group = labs(
        aggregates=[{"name": "n", "function": "count", "window_s": 9_999_999_999, "max_rows": 1}],
        on_demand=[],
    )
    add(lab, "tight", group)
    put(lab, "tight", "two.csv", csv_row(1, 10, 90), csv_row(1, 11, 91))
    item = materialisation(lab, "tight", 1, "failed", "done")
    assert (item["status"], item["error"]) == ("failed", "FeatureWindowError")
    assert "the window of an entity has 2 rows" in item["cause"]


def test_the_command_lists_shows_searches_and_retires(
    lab: Laboratory, clinic: Path, choice: Choice
) -> None:
    def steward(*words: str) -> Any:
        run = CliRunner().invoke(
            app, ["--target", "local", "--state-dir", str(choice.state_dir), *words, "--json"]
        )
        assert run.exit_code == 0, run.output
        return json.loads(run.stdout)

    add(lab, "clinic", labs())
    before = {one["label"] for one in steward("features", "list", "clinic")}
    add(lab, "clinic", labs(where="glucose > 1"))
    labels = {one["label"] for one in steward("features", "list", "clinic")}
    [newest] = labels - before
    shown = steward("features", "show", "clinic", newest)
    assert shown["definition"]["where"] == "glucose > 1"
    hits = steward("features", "search", "glucose_mean", "--project", "clinic")
    assert {hit["label"] for hit in hits} >= {"labs/v1", newest}
    assert steward("features", "consumers", "clinic", "labs/v1") == []
    assert steward("features", "retire", "clinic", "labs/v1", "--yes")["status"] == "retired"
    sagemaker = lab.target.client("sagemaker")
    name = f"steward-{lab.target.environment_name}-clinic-labs-v1"
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_feature_group(FeatureGroupName=name)


def test_a_streamed_row_is_online_and_what_does_not_fit_is_buried(
    lab: Laboratory, clinic: Path
) -> None:
    def send(**row: Any) -> None:
        meta = {
            "correlation_id": "c", "causation_id": "c", "project": "clinic", "actor": "ward",
        }  # fmt: skip
        lab.target.client("events").put_events(
            Entries=[
                {
                    "Source": "steward.data", "DetailType": "FeatureRecordReceived",
                    "EventBusName": lab.target.output("BusName"),
                    "Detail": json.dumps({"meta": meta, "data": {"group": "labs", "row": row}}),
                }
            ]
        )  # fmt: skip

    add(lab, "clinic", labs())
    [version] = [
        int(item["version"])
        for item in lab.state.features("clinic")
        if item["status"] == "active" and item["definition"] == _definition(labs())
    ]
    times = {"taken_at": "2026-01-20T10:00:00Z", "reported_at": "2026-01-20T11:00:00Z"}
    send(patient=77, glucose="much", **times)
    send(patient=77, glucose=150.5, **times)

    def is_online() -> bool:
        return online(lab, "clinic", 77, version=version).get("glucose") == "150.5"

    eventually(is_online, "the streamed row online")
    eventually(lambda: len(_quarantined(lab)) == 2, "the refused row and its report in quarantine")
    report, row = _quarantined(lab)
    assert row["row"]["glucose"] == "much"
    [violation] = report["violations"]
    assert (violation["rule"], violation["column"]) == ("type", "glucose")
    add(lab, "clinic", labs(ttl_s=77))
    lab.steward("features", "retire", "clinic", f"labs/v{version}", "--yes")
    with pytest.raises(
        lab.target.client("sagemaker-featurestore-runtime").exceptions.ResourceNotFound
    ):
        online(lab, "clinic", 77, version=version)
    add(lab, "clinic", labs())
    eventually(is_online, "the streamed row online again, the version being revived")


def _quarantined(lab: Laboratory) -> list[dict[str, Any]]:
    s3, bucket = lab.target.client("s3"), lab.target.output("DataBucketName")
    found = s3.list_objects_v2(Bucket=bucket, Prefix="quarantine/clinic/streams/labs/")
    keys = sorted(item["Key"] for item in found.get("Contents", []))
    return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]


def _definition(group: dict[str, Any]) -> dict[str, Any]:
    return FeatureGroup.model_validate(group).model_dump(mode="json")
