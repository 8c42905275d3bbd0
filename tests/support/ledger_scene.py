"""A ledger of the deployed stack: facts put in by event, tampering, and what the command says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from steward_cli.commands.mail import letters
from support.laboratory_stack import Laboratory, eventually


@dataclass
class Annals:
    """The ledger of one project."""

    lab: Laboratory
    project: str

    @property
    def table(self) -> str:
        """Name of the ledger's table."""
        return self.lab.target.output("LedgerTable")

    @property
    def bucket(self) -> str:
        """Name of the ledger's bucket."""
        return self.lab.target.output("LedgerBucketName")

    def tell(self, *numbers: int, size: int = 0, time: str = "2026-11-29T10:00:00Z") -> None:
        """Put events on the bus that nobody but the ledger takes."""
        detail_of = [
            {
                "meta": {"correlation_id": "r1", "causation_id": f"c{number}",
                         "project": self.project, "actor": "000000000000/theo"},
                "data": {"entry": f"entry-{number}", "kind": "test", "dollars": 0.5,
                         "detail": {"text": "x" * size}},
            }
            for number in numbers
        ]  # fmt: skip
        events = self.lab.target.client("events")
        for detail in detail_of:
            entry = {
                "Source": "steward.governance", "DetailType": "RunCostRecorded", "Time": time,
                "Detail": json.dumps(detail), "EventBusName": self.lab.target.output("BusName"),
            }  # fmt: skip
            assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def records(self) -> list[dict[str, Any]]:
        """Return the records in the table, in the order of their keys."""
        found = self.lab.target.client("dynamodb").query(
            TableName=self.table, ConsistentRead=True,
            KeyConditionExpression="#p = :p AND begins_with(#i, :r)",
            ExpressionAttributeNames={"#p": "project", "#i": "item"},
            ExpressionAttributeValues={":p": {"S": self.project}, ":r": {"S": "record#"}},
        )["Items"]  # fmt: skip
        return [json.loads(item["record"]["S"]) for item in found]

    def has(self, count: int) -> bool:
        """Return whether there are just so many records."""
        return len(self.records()) == count

    def filled(self, *numbers: int) -> Annals:
        """Tell facts and wait until they are recorded, with their objects."""
        self.tell(*numbers)

        def read() -> bool:
            listed = self.lab.target.client("s3").list_objects_v2(
                Bucket=self.bucket, Prefix=f"records/{self.project}/"
            )
            return len(self.records()) == int(listed["KeyCount"]) >= len(numbers)

        eventually(read, f"{len(numbers)} records of {self.project}")
        return self

    def verify(self) -> dict[str, Any]:
        """Verify by the command; its exit code is that of the findings."""
        from typer.testing import CliRunner

        from steward_cli.app import app

        options = ["--target", "local", "--state-dir", str(self.lab.choice.state_dir)]
        words = ["audit", "verify", self.project, "--json"]
        run = CliRunner().invoke(app, [*options, *words])
        found: dict[str, Any] = json.loads(run.stdout)
        assert run.exit_code == (1 if found["findings"] else 0)
        return found

    def kinds(self) -> set[tuple[str, int]]:
        """Return kind and number of each finding."""
        return {(finding["kind"], finding["seq"]) for finding in self.verify()["findings"]}

    def put(self, seq: int, record: dict[str, Any]) -> None:
        """Put a record over whatever is there, as PutItem does."""
        from steward.domain.audit.verifier import canonical

        self.lab.target.client("dynamodb").put_item(TableName=self.table, Item={
            "project": {"S": self.project}, "item": {"S": f"record#{seq:012d}"},
            "digest": {"S": record["digest"]}, "what": {"S": record["what"]},
            "record": {"S": canonical(record).decode()},
        })  # fmt: skip

    def remove(self, seq: int) -> None:
        """Remove a record."""
        key = {"project": {"S": self.project}, "item": {"S": f"record#{seq:012d}"}}
        self.lab.target.client("dynamodb").delete_item(TableName=self.table, Key=key)

    @contextmanager
    def unguarded(self) -> Iterator[None]:
        """Take the table's policy away as an administrator can, and put it back."""
        dynamodb = self.lab.target.client("dynamodb")
        arn = dynamodb.describe_table(TableName=self.table)["Table"]["TableArn"]
        policy = dynamodb.get_resource_policy(ResourceArn=arn)["Policy"]
        dynamodb.delete_resource_policy(ResourceArn=arn)
        try:
            yield
        finally:
            dynamodb.put_resource_policy(ResourceArn=arn, Policy=policy)

    def mailed(self, *words: str) -> str:
        """Wait for a mail with these words in subject or text; return its text on one line."""
        engine = self.lab.target.engine
        assert engine is not None

        def read() -> str | None:
            for mail in letters(engine.mailbox):
                text = f"{mail.subject} {' '.join(mail.body.split())}"
                if all(word in text for word in words):
                    return text
            return None

        return eventually(read, f"a mail about {words}")


def client_of(lab: Laboratory, service: str, key: dict[str, str]) -> Any:
    """Return a client with somebody's credentials, as IAM or STS gave them."""
    assert lab.target.engine is not None
    session = boto3.Session(
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"), region_name=lab.target.region,
    )  # fmt: skip
    return session.client(service, endpoint_url=lab.target.engine.endpoint)
