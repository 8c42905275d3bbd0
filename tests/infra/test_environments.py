"""What another account reaches of a stack: one bus, one folder, one key, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.templates import CHILDREN, as_list, load, load_child, of_type, transformed

FOUNDATION = load_child("foundation")["Resources"]
SENDING = {"SendsVersions": "FirstBus", "SendsToSecond": "SecondBus", "SendsToThird": "ThirdBus"}
"""Each next environment's condition and bus."""
OWN_BUS = ({"Ref": "BusName"}, {"Ref": "Bus"})


def account_of(parameter: str) -> dict[str, Any]:
    """Return the account in an ARN that is a parameter, as templates take it."""
    return {"Fn::Select": [4, {"Fn::Split": [":", {"Ref": parameter}]}]}


def each_if_it_is_there(value: Callable[[str], Any]) -> list[Any]:
    """Return a list with a value for each next environment that there is."""
    first, *others = SENDING.items()
    there = [{"Fn::If": [name, value(bus), {"Ref": "AWS::NoValue"}]} for name, bus in others]
    return [value(first[1]), *there]


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_a_rule_takes_no_event_of_another_account_for_its_own(path: Path) -> None:
    """Our own bus admits no other account; on any other bus a rule names whose events it takes."""
    neighbours = {
        "ReceiveOfferFunctionOnVersionOfferedRule": [account_of("PromoteFrom")],
        "RecordAnswerFunctionOnOfferAnsweredRule": {"Ref": "NextAccounts"},
    }
    for name, resource in of_type(transformed(path), "AWS::Events::Rule").items():
        rule = resource["Properties"]
        bus = rule.get("EventBusName")
        if bus in OWN_BUS or "ScheduleExpression" in rule:
            continue
        account = rule["EventPattern"]["account"]
        assert bus in (None, {"Ref": "PromotionsBus"}), name
        assert account == (neighbours[name] if bus else [{"Ref": "AWS::AccountId"}]), name


def test_our_own_bus_is_open_to_nobody_and_the_promotions_bus_to_two_kinds_of_event() -> None:
    opened = {
        name: policy["Properties"]
        for path in CHILDREN
        for name, policy in of_type(load(path), "AWS::Events::EventBusPolicy").items()
    }
    wanted = {
        "OffersBusPolicy": ("PromoteFrom", "VersionOffered", "TakesVersions"),
        "AnswersBusPolicy": (None, "OfferAnswered", "SendsVersions"),
    }
    assert set(opened) == set(wanted)
    for name, (neighbour, kind, condition) in wanted.items():
        policy, statement = opened[name], opened[name]["Statement"]
        assert FOUNDATION[name]["Condition"] == condition
        assert policy["EventBusName"] == {"Ref": "PromotionsBus"}
        assert statement["Action"] == "events:PutEvents"
        [principal] = statement["Principal"].values()
        if neighbour is None:
            assert principal == each_if_it_is_there(account_of)
        else:
            assert principal["Fn::Sub"][1]["Account"] == account_of(neighbour)
        assert statement["Condition"]["StringEquals"] == {
            "events:source": "steward.registry", "events:detail-type": kind,
        }  # fmt: skip


def test_each_next_environment_reads_its_folder_of_the_exports_bucket_and_no_other_bucket() -> None:
    found = []
    for path in CHILDREN:
        for name, policy in of_type(load(path), "AWS::S3::BucketPolicy").items():
            for one in policy["Properties"]["PolicyDocument"]["Statement"]:
                statement = one["Fn::If"][1] if "Fn::If" in one else one
                if "Bus" not in json.dumps(statement):
                    continue
                assert name == "ExportsBucketPolicy"
                assert set(as_list(statement["Action"])) == {"s3:GetObject", "s3:GetObjectTagging"}
                place, names = statement["Resource"]["Fn::Sub"]
                assert place == "${ExportsBucket.Arn}/exports/${Account}/*"
                assert statement["Principal"] == {"AWS": names["Account"]}
                condition = one["Fn::If"][0] if "Fn::If" in one else FOUNDATION[name]["Condition"]
                found.append((names["Account"], condition))
    assert found == [(account_of(bus), condition) for condition, bus in SENDING.items()]


def test_an_offer_goes_to_the_bus_that_it_names_and_to_no_other_neighbour() -> None:
    for condition, bus in SENDING.items():
        [rule] = [
            rule for rule in of_type({"Resources": FOUNDATION}, "AWS::Events::Rule").values()
            if rule.get("Condition") == condition
        ]  # fmt: skip
        [target] = rule["Properties"]["Targets"]
        assert target["Arn"] == {"Ref": bus}
        assert rule["Properties"]["EventPattern"]["detail"] == {
            "data": {"bus_arn": [target["Arn"]]}
        }


def test_other_accounts_decrypt_with_the_exports_key_alone_and_through_s3() -> None:
    ours, theirs = FOUNDATION["Key"], FOUNDATION["ExportKey"]
    assert "Bus" not in json.dumps(ours)
    [statement] = [
        one for one in theirs["Properties"]["KeyPolicy"]["Statement"]
        if "Bus" in json.dumps(one)
    ]  # fmt: skip
    assert statement["Principal"] == {"AWS": each_if_it_is_there(account_of)}
    assert statement["Action"] == "kms:Decrypt"
    assert "kms:ViaService" in statement["Condition"]["StringLike"]


def test_one_change_of_the_promotions_bus_is_made_at_a_time() -> None:
    """EventBridge refuses two at once; a reference orders them where both are made."""
    after = FOUNDATION["AnswersBusPolicy"]["Metadata"]["After"]
    assert after == {"Fn::If": ["TakesVersions", {"Ref": "OffersBusPolicy"}, "none"]}


def test_the_receiving_role_reads_what_lies_ready_for_it_in_the_one_account() -> None:
    registry = transformed(next(path for path in CHILDREN if path.stem == "registry"))
    role = registry["Resources"]["ReceiveOfferFunctionRole"]
    assert role["Condition"] == "TakesVersions"
    foreign = [
        statement
        for policy in role["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "PromoteFrom" in json.dumps(statement)
    ]
    describing, reading, decrypting = foreign
    assert describing["Action"] == "sagemaker:DescribeModelPackage"
    assert describing["Resource"]["Fn::Sub"][1]["Account"] == account_of("PromoteFrom")
    assert reading["Resource"]["Fn::Sub"].endswith(":s3:::*/exports/${AWS::AccountId}/*")
    owner = reading["Condition"]["StringEquals"]
    assert owner == {"s3:ResourceAccount": account_of("PromoteFrom")}
    assert decrypting["Action"] == "kms:Decrypt"
    assert decrypting["Resource"]["Fn::Sub"][1]["Account"] == account_of("PromoteFrom")


def test_a_stack_without_neighbours_has_nothing_of_promotion() -> None:
    kinds = (
        "Offer",
        "AnswersBus",
        "AnswerRole",
        "RecordAnswer",
        "ExportKey",
        "ExportsB",
        "Promotions",
    )
    for path in CHILDREN:
        for name, resource in transformed(path)["Resources"].items():
            if name.startswith(kinds) or "Offer" in name:
                assert resource.get("Condition") in (
                    *SENDING, "TakesVersions", "HasNeighbour",
                ), name  # fmt: skip


_NAMED_BY_US = ("endpoint", "endpoint-config", "hyper-parameter-tuning-job", "model",
                "model-card", "model-package", "model-package-group", "feature-group",
                "processing-job", "training-job", "transform-job")  # fmt: skip
_READ_OF_WHATEVER_RUNS = {"sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel"}


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_a_role_reaches_what_bears_its_environment_alone(path: Path) -> None:
    """Two environments may share an account, where SageMaker's names are of both."""
    for statement in statements_of(load(path)):
        if set(as_list(statement["Action"])) <= _READ_OF_WHATEVER_RUNS:
            continue  # an endpoint of ours that somebody put on another configuration
        for resource in as_list(statement.get("Resource", [])):
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else str(resource)
            text = text[0] if isinstance(text, list) else text
            _, _, named = text.partition(":sagemaker:${AWS::Region}:${AWS::AccountId}:")
            kind, _, name = named.partition("/")
            if kind in _NAMED_BY_US:
                assert name.startswith(("${Environment}-", "t-${Environment}-",
                                        "steward-${Environment}-")), text  # fmt: skip


def statements_of(found: Any) -> list[dict[str, Any]]:
    """Return every statement in a template, wherever it is."""
    if isinstance(found, list):
        return [one for part in found for one in statements_of(part)]
    if not isinstance(found, dict):
        return []
    own = [found] if "Effect" in found and "Action" in found else []
    return own + [one for part in found.values() for one in statements_of(part)]
