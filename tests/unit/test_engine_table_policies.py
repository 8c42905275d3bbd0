"""What the embedded DynamoDB judges: the items of each request, and statements by what they do."""

from __future__ import annotations

from typing import Any

import pytest

from steward_local.api_calls import identity_of
from steward_local.table_policies import touched

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/ledger"
ROW = "WHERE project = 'a' AND item = 'b'"


@pytest.mark.parametrize(("operation", "request_", "actions"), [
    ("PutItem", {"TableName": "ledger"}, ["PutItem"]),
    ("PutItem", {"TableName": TABLE}, ["PutItem"]),
    ("BatchWriteItem", {"RequestItems": {"ledger": []}}, ["BatchWriteItem"]),
    ("TransactWriteItems", {"TransactItems": [
        {"Put": {"TableName": "ledger"}}, {"Delete": {"TableName": "ledger"}},
        {"Update": {"TableName": "ledger"}}, {"ConditionCheck": {"TableName": "ledger"}},
    ]}, ["PutItem", "DeleteItem", "UpdateItem", "ConditionCheckItem"]),
    ("ExecuteStatement", {"Statement": "INSERT INTO \"ledger\" VALUE {'project': 'a'}"},
     ["PartiQLInsert"]),
    ("ExecuteStatement", {"Statement": f" update ledger set x = 1 {ROW}"}, ["PartiQLUpdate"]),
    ("ExecuteStatement", {"Statement": f'DELETE FROM "ledger" {ROW}'}, ["PartiQLDelete"]),
    ("ExecuteStatement", {"Statement": f'SELECT *\nFROM "ledger"."index" {ROW}'},
     ["PartiQLSelect"]),
    ("BatchExecuteStatement", {"Statements": [
        {"Statement": f'SELECT * FROM "ledger" {ROW}'},
        {"Statement": f'DELETE FROM "ledger" {ROW}'},
    ]}, ["PartiQLSelect", "PartiQLDelete"]),
    ("ExecuteTransaction", {"TransactStatements": [
        {"Statement": f'UPDATE "ledger" SET x = 1 {ROW}'},
        {"Statement": f'EXISTS(SELECT * FROM "ledger" {ROW})'},
    ]}, ["PartiQLUpdate", "PartiQLSelect"]),
    ("ListTables", {}, []),
])  # fmt: skip
def test_each_item_and_statement_is_judged_on_its_table(
    operation: str, request_: dict[str, Any], actions: list[str]
) -> None:
    assert list(touched(operation, request_)) == [(action, TABLE) for action in actions]


def test_a_session_is_named_with_the_role_behind_it() -> None:
    who = identity_of("arn:aws:sts::123456789012:assumed-role/writer/run")
    assert who["type"] == "AssumedRole"
    assert who["sessionContext"]["sessionIssuer"]["userName"] == "writer"
    assert who["sessionContext"]["sessionIssuer"]["arn"] == "arn:aws:iam::123456789012:role/writer"


def test_users_and_the_root_are_named_as_cloudtrail_does() -> None:
    user = identity_of("arn:aws:iam::123456789012:user/ana")
    assert (user["type"], user["userName"]) == ("IAMUser", "ana")
    root = identity_of("arn:aws:iam::123456789012:root")
    assert root["type"] == "Root"
    assert "userName" not in root
