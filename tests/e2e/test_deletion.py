"""A delivery is deleted on the deployed stack by who may, and a rebuild names the deletion."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from steward.ports import Table
from steward_cli.commands import data_delete
from steward_cli.commands.dataset import rebuild_dataset
from steward_cli.console import CommandError, Exit
from steward_cli.target import Choice, credentials_file, write_profile
from support.joined_project import build_joined_dataset
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e
NAME = "erased"


def context(choice: Choice) -> Any:
    return SimpleNamespace(obj=choice)


@pytest.fixture(scope="module")
def dora(lab: Laboratory) -> Choice:
    """The options of a person who may delete deliveries, and nothing else."""
    iam = lab.target.client("iam")
    iam.create_user(UserName="dora")
    policy = lab.target.output("DataEraserPolicyArn")
    iam.attach_user_policy(UserName="dora", PolicyArn=policy)
    key = iam.create_access_key(UserName="dora")["AccessKey"]
    folder = credentials_file(lab.choice.state_dir)
    write_profile(folder, "dora", key["AccessKeyId"], key["SecretAccessKey"])
    return replace(lab.choice, target="local", profile="dora")


@pytest.fixture(scope="module")
def dataset(lab: Laboratory) -> str:
    """The id of a dataset that a run has built of two deliveries."""
    return build_joined_dataset(lab, NAME).split("/")[2]


def versions_of(lab: Laboratory, delivery_id: str) -> list[str]:
    """Return the keys of stored versions below folders of the delivery, and of its file."""
    s3 = lab.target.client("s3")
    found = []
    for output in ("DataBucketName", "ArtifactsBucketName"):
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=lab.target.output(output))
        keys = [version["Key"] for page in pages for version in page.get("Versions", [])]
        found += [
            key
            for key in keys
            if (delivery_id in key and f"/{NAME}/" in key)
            or key == f"deliveries/{NAME}/lab/one.csv"
        ]
    return found


def test_who_may_deletes_a_delivery_and_a_rebuild_names_reason_actor_and_time(
    lab: Laboratory, dora: Choice, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rebuild_dataset(context(lab.choice), dataset, json_=True)
    assert json.loads(capsys.readouterr().out)["equal"]
    [item] = [found for found in lab.state.deliveries(NAME) if found.get("table") == "lab"]
    delivery_id = item["delivery_id"]
    assert len(versions_of(lab, delivery_id)) >= 3

    theo = replace(lab.choice, target="local", profile="theo")
    with pytest.raises(CommandError) as denied:
        data_delete.delete(context(theo), NAME, delivery_id[:8], "why not", yes=True)
    assert denied.value.code == Exit.DENIED
    data_delete.delete(
        context(dora), NAME, delivery_id[:8], "erasure request 17", yes=True, json_=True
    )
    deleted = json.loads(capsys.readouterr().out)
    assert deleted["status"] == "deleted"
    assert deleted["features"] == ["labs/v1"]
    assert deleted["objects"]["delivered"] == 1
    assert deleted["objects"]["reports"] == 2
    assert versions_of(lab, delivery_id) == []

    with pytest.raises(typer.Exit):
        rebuild_dataset(context(lab.choice), dataset, json_=True)
    [difference] = json.loads(capsys.readouterr().out)["differences"]
    assert difference["cause"] == "deletion"
    assert difference["detail"].startswith("erasure request 17; by ")
    assert "/dora at 20" in difference["detail"]

    node = f"delivery:{NAME}/{delivery_id}"
    eventually(
        lambda: "DeliveryDeleted" in json.dumps(_facts(lab, node), default=str),
        "the deletion in the lineage",
    )


def _facts(lab: Laboratory, node: str) -> list[dict[str, Any]]:
    return list(lab.state.store.query(Table.LINEAGE, node))
