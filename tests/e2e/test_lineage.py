"""The lineage of the demo's story, as its events left it on the deployed stack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from steward.domain.lineage import moment
from steward.domain.open_lineage import checked
from steward.domain.sagemaker_lineage import entity_of
from steward_cli.demo.facts import Facts
from steward_cli.lineage_graph import LineageGraph
from steward_cli.state import StackState
from steward_cli.target import Choice, Target
from support.laboratory_stack import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def graph(stack: Target, facts: Facts) -> LineageGraph:
    """The graph once the last captured answers are in it."""
    store = StackState(stack).store
    answered = facts.captured_lines

    def complete() -> LineageGraph | None:
        fresh = LineageGraph(store)
        partitions = fresh.find("predictions:diabetes/")
        told = sum(fresh.answers(partition) for partition in partitions)
        return fresh if told >= answered else None

    return eventually(complete, f"lineage of {answered} answers")


def objects_of(stack: Target, prefix: str) -> dict[str, dict[str, Any]]:
    """Return the JSON objects below a prefix of the artifacts bucket by key."""
    s3, bucket = stack.client("s3"), stack.output("ArtifactsBucketName")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key: json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}


def test_a_version_leads_up_to_exact_versions_of_source_objects(
    stack: Target, graph: LineageGraph
) -> None:
    found = graph.walk("version:diabetes/1", "up")

    assert found.of("run")
    assert found.of("dataset")
    s3, prefix = stack.client("s3"), f"s3://{stack.output('DataBucketName')}/"
    sources = found.of("object")
    assert sources
    for source in sources:
        key, _, version = source.removeprefix(prefix).partition("?versionId=")
        bucket = stack.output("DataBucketName")
        assert s3.head_object(Bucket=bucket, Key=key, VersionId=version)["ContentLength"] > 0


def test_a_source_object_leads_down_to_the_predictions(graph: LineageGraph, facts: Facts) -> None:
    source = graph.walk("version:diabetes/1", "up").of("object")[0]

    trained = {found["version"]: found for found in graph.impact(source).versions}

    assert {"version:diabetes/1", "version:diabetes/2"} <= set(trained)
    assert trained["version:diabetes/2"]["share"] == 100.0
    assert trained["version:diabetes/1"]["share"] == 0.0
    assert trained["version:diabetes/2"]["status"] == "production"
    assert trained["version:diabetes/1"]["predictions"]
    partitions = graph.find("predictions:diabetes/")
    assert sum(graph.answers(partition) for partition in partitions) == facts.captured_lines


def test_as_of_the_first_version_nothing_later_is_known(stack: Target, graph: LineageGraph) -> None:
    [registered] = [edge.first.at for edge in graph.edges("version:diabetes/1", "up")]
    then = LineageGraph(StackState(stack).store, moment(registered))
    source = then.walk("version:diabetes/1", "up").of("object")[0]

    [version] = then.impact(source).versions

    assert (version["version"], version["share"], version["predictions"]) == (
        "version:diabetes/1", 0.0, {},
    )  # fmt: skip


def test_every_run_is_told_in_openlineage_by_one_start_and_one_end(
    stack: Target, graph: LineageGraph
) -> None:
    events = objects_of(stack, "lineage/openlineage/diabetes/")

    assert events
    for event in events.values():
        checked(event)
    types = Counter((event["run"]["runId"], event["eventType"]) for event in events.values())
    trainings = {
        event["run"]["runId"]: event["run"]["facets"]["steward_run"]["run_id"]
        for event in events.values()
        if event["job"]["name"] == "diabetes.train"
    }
    assert set(types.values()) == {1}
    for run in trainings:
        ends = sum(types[run, kind] for kind in ("COMPLETE", "FAIL", "ABORT"))
        assert (types[run, "START"], ends) == (1, 1)
    told = {name.partition("/")[2] for name in graph.find("run:diabetes/")}
    assert set(trainings.values()) == told


def test_the_columns_of_a_dataset_lead_to_the_delivered_columns(stack: Target) -> None:
    events = objects_of(stack, "lineage/openlineage/diabetes/").values()
    built = [
        event["outputs"][0]
        for event in events
        if event["job"]["name"] == "diabetes.build_dataset" and event["eventType"] == "COMPLETE"
    ]

    for dataset in built:
        fields = dataset["facets"]["columnLineage"]["fields"]
        [*sources] = fields["bmi"]["inputFields"]
        assert all(source["name"].startswith("deliveries/diabetes/") for source in sources)
        assert dataset["facets"]["steward_datasetDigest"]["parts"]["train"]["sha256"]


def test_sagemaker_knows_what_the_model_was_made_of(stack: Target, graph: LineageGraph) -> None:
    sagemaker = stack.client("sagemaker")
    model = entity_of("version:diabetes/1", stack.stack)
    assert model is not None

    def exported() -> set[str] | None:
        known = sagemaker.list_artifacts(SourceUri=model.source_uri)["ArtifactSummaries"]
        if not known:
            return None
        found = sagemaker.query_lineage(
            StartArns=[known[0]["ArtifactArn"]], Direction="Ascendants", MaxDepth=10
        )
        types = {vertex["Type"] for vertex in found["Vertices"]}
        return types if {"DataSet", "ModelTraining"} <= types else None

    assert eventually(exported, "the export of version 1")
    assert graph.walk("version:diabetes/1", "up").of("run")


def test_the_recorders_left_nothing_behind_in_their_dead_letter_queues(
    stack: Target, graph: LineageGraph
) -> None:
    sqs = stack.client("sqs")
    queues = [url for url in sqs.list_queues()["QueueUrls"] if "Lineage" in url]

    assert graph.find("version:diabetes/")
    assert len(queues) == 6
    for url in queues:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        left = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        assert set(counts.values()) == {"0"}, [url, *(m["Body"] for m in left)]


def steward(choice: Choice, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    command = Path(sys.executable).with_name("steward")
    options = ["--target", "local", "--state-dir", str(choice.state_dir)]
    return subprocess.run(
        [command, *options, "lineage", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_command_answers_and_draws(choice: Choice, graph: LineageGraph, tmp_path: Path) -> None:
    up = steward(choice, "up", "version:diabetes/1")
    assert up.returncode == 0, up.stderr
    assert "s3://" in up.stdout
    source = graph.walk("version:diabetes/1", "up").of("object")[0]

    impact = steward(choice, "impact", source.partition("?")[0])
    assert impact.returncode == 0, impact.stderr
    assert "version:diabetes/2" in impact.stdout

    drawing = tmp_path / "lineage.svg"
    drawn = steward(choice, "show", "version:diabetes/2", "--out", str(drawing))
    assert drawn.returncode == 0, drawn.stderr
    assert "diabetes v2" in drawing.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("up", "version:diabetes/99"), 3, "no node"),
        (("down", "models/1"), 2, "names no node"),
        (("up", "run:diabetes/"), 2, "nodes"),
        (("up", "version:diabetes/1", "--as-of", "yesterday"), 2, "is no time"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_line(
    choice: Choice, graph: LineageGraph, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert graph.find("version:diabetes/")

    answer = steward(choice, *arguments)

    assert answer.returncode == code, answer.stderr
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr
