"""The state store's contract, kept by its adapter on the embedded AWS."""

from __future__ import annotations

import pytest

from contracts import test_state_contract as suite
from steward.adapters.state import DynamoStateStore
from steward.ports import KEYS, Table
from support.embedded import Account, unique
from support.suites import cases_of

globals().update(cases_of(suite))


@pytest.fixture
def store(account: Account) -> DynamoStateStore:
    """A store on new, empty tables of the embedded AWS."""
    client, outbox = account.client("dynamodb"), unique("outbox")
    named = {table: unique(table) for table in Table}
    for name, keys in [*((named[t], KEYS[t]) for t in Table), (outbox, ("event_id",))]:
        client.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )  # fmt: skip
    return DynamoStateStore(client, named, outbox, sleep=lambda _: None)
