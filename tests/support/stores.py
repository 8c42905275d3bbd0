"""The state store in each of its forms, for suites that run against all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steward.adapters.clients import Clients
from steward.adapters.state import DynamoStateStore
from steward.ports import KEYS, Table

OUTBOX = "outbox"


def create_table(clients: Clients, name: str, keys: tuple[str, ...]) -> None:
    """Create an on-demand table whose keys are strings."""
    kinds = ("HASH", "RANGE")
    clients.get("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": key, "KeyType": kind}
            for key, kind in zip(keys, kinds, strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip


def create_tables(clients: Clients) -> dict[Table, str]:
    """Create all tables and the outbox; return their names by role."""
    for table in Table:
        create_table(clients, f"test-{table}", KEYS[table])
    create_table(clients, OUTBOX, ("event_id",))
    return {table: f"test-{table}" for table in Table}


def dynamo_store(clients: Clients) -> DynamoStateStore:
    """Return a store on new, empty tables that never sleeps."""
    tables = create_tables(clients)
    return DynamoStateStore(clients.get("dynamodb"), tables, OUTBOX, sleep=lambda _: None)


def outbox_items(clients: Clients) -> list[Mapping[str, Any]]:
    """Return the items of the outbox in DynamoDB's wire form."""
    found: list[Mapping[str, Any]] = clients.get("dynamodb").scan(TableName=OUTBOX)["Items"]
    return found
