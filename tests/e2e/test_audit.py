"""The ledger of the deployed stack: written by one, refused to all others, tampering named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.domain.audit.ledger import Fact, next_record
from steward.domain.audit.verifier import genesis, record_digest
from support.laboratory_stack import Laboratory, eventually
from support.ledger_scene import Annals, client_of

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
DENIED = {"AccessDenied", "AccessDeniedException"}


@pytest.fixture(scope="session")
def annals(lab: Laboratory) -> Annals:
    """A ledger of twelve records under one head, which no test harms."""
    made = Annals(lab, "annals").filled(*range(1, 13))
    lab.steward("audit", "seal")
    return made


# --- what is written ----------------------------------------------------------------------


def test_events_are_recorded_in_table_and_bucket_and_signed(annals: Annals) -> None:
    checked = annals.verify()
    assert checked["findings"] == []
    assert (checked["records"], checked["signed"], checked["objects"]) == (12, 12, 12)
    assert [record["seq"] for record in annals.records()] == list(range(1, 13))
    assert {record["what"] for record in annals.records()} == {"RunCostRecorded"}


def test_the_same_event_twice_is_one_record_and_a_huge_one_names_its_details(
    lab: Laboratory,
) -> None:
    twice = Annals(lab, "twice")
    for _ in range(2):
        twice.tell(1, 2)
    twice.tell(3, size=60_000)
    twice.filled(4)
    eventually(partial(twice.has, 4), "four records")
    told = {record["details"].get("data", {}).get("entry") for record in twice.records()}
    assert told - {None} >= {"entry-1", "entry-2", "entry-4"}
    assert twice.verify()["findings"] == []


def test_an_export_is_verified_with_nothing_but_python(annals: Annals, tmp_path: Path) -> None:
    out = tmp_path / "ledger.json"
    told = annals.lab.steward("audit", "export", annals.project, "--out", str(out))
    assert (told["records"], told["heads"]) == (12, 1)
    command = [sys.executable, "-I", "-S", told["verifier"], str(out), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout)
    assert (found["records"], found["signed"], found["findings"]) == (12, 12, [])
    lines = out.read_text(encoding="utf-8").splitlines()
    assert sum('"vector"' in line for line in lines) == 3
    out.write_text("\n".join(line.replace("entry-5", "entry-6") for line in lines), "utf-8")
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert ran.returncode == 1
    assert "changed" in {finding["kind"] for finding in json.loads(ran.stdout)["findings"]}


def test_a_record_is_proved_and_explained(annals: Annals) -> None:
    steward, project = annals.lab.steward, annals.project
    proved = steward("audit", "prove", project, "7")
    assert proved["holds"]
    assert 3 <= len(proved["proof"]) <= 4
    assert steward("audit", "who", project) == {"000000000000/theo": {"RunCostRecorded": 12}}
    assert len(steward("audit", "when", project, "RunCostRecorded")) == 12
    assert len(steward("audit", "why", project, "7")["before"]) == 6
    assert steward("audit", "show", project, "--number", "7")["seq"] == 7
    assert len(steward("audit", "show", project, "--limit", "5")) == 5
    assert "no record 99" in annals.lab.steward_error("audit", "show", project, "--number", "99")
    assert "no ledger of 'nobody'" in annals.lab.steward_error("audit", "verify", "nobody")


# --- who is refused -----------------------------------------------------------------------


def _item(annals: Annals) -> dict[str, Any]:
    return {"project": {"S": annals.project}, "item": {"S": "record#000000000003"}}


def _writes(annals: Annals) -> dict[str, Callable[[Any], Any]]:
    """Every way to write into the table."""
    table, key = annals.table, _item(annals)
    item = {**key, "record": {"S": "{}"}}
    where = f"WHERE project = '{annals.project}' AND item = 'record#000000000003'"
    value = f"{{'project': '{annals.project}', 'item': 'x', 'record': '{{}}'}}"
    changed = f"UPDATE \"{table}\" SET digest = '0' {where}"
    return {
        "PutItem": lambda c: c.put_item(TableName=table, Item=item),
        "UpdateItem": lambda c: c.update_item(
            TableName=table, Key=key, UpdateExpression="SET digest = :d",
            ExpressionAttributeValues={":d": {"S": "0"}}),
        "DeleteItem": lambda c: c.delete_item(TableName=table, Key=key),
        "BatchWrite put": lambda c: c.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": item}}]}),
        "BatchWrite delete": lambda c: c.batch_write_item(
            RequestItems={table: [{"DeleteRequest": {"Key": key}}]}),
        "Transact put": lambda c: c.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": item}}]),
        "Transact update": lambda c: c.transact_write_items(TransactItems=[{"Update": {
            "TableName": table, "Key": key, "UpdateExpression": "SET digest = :d",
            "ExpressionAttributeValues": {":d": {"S": "0"}}}}]),
        "Transact delete": lambda c: c.transact_write_items(
            TransactItems=[{"Delete": {"TableName": table, "Key": key}}]),
        "PartiQL insert": lambda c: c.execute_statement(
            Statement=f'INSERT INTO "{table}" VALUE {value}'),
        "PartiQL update": lambda c: c.execute_statement(Statement=changed),
        "PartiQL delete": lambda c: c.execute_statement(
            Statement=f'DELETE FROM "{table}" {where}'),
        "PartiQL batch": lambda c: c.batch_execute_statement(Statements=[{"Statement": changed}]),
        "PartiQL transaction": lambda c: c.execute_transaction(
            TransactStatements=[{"Statement": changed}]),
        "Time to live": lambda c: c.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "digest"}),
    }  # fmt: skip


@pytest.fixture(scope="session")
def callers(lab: Laboratory) -> dict[str, dict[str, str]]:
    """Credentials of people with and without all rights, and of roles of functions."""
    iam, sts = lab.target.client("iam"), lab.target.client("sts")
    keys: dict[str, dict[str, str]] = {}
    policies = {
        "administrator": ADMINISTRATOR,
        "auditor": lab.target.output("AuditorPolicyArn"),
        "approver": lab.target.output("ApproverPolicyArn"),
        "scientist": lab.target.output("ScientistPolicyArn"),
    }
    for name, policy in policies.items():
        iam.create_user(UserName=f"audit-{name}")
        iam.attach_user_policy(UserName=f"audit-{name}", PolicyArn=policy)
        keys[name] = iam.create_access_key(UserName=f"audit-{name}")["AccessKey"]
    roles = {
        "sealer": lab.role_of_function("Audit", "SealLedgersFunction"),
        "watcher": lab.role_of_function("Audit", "WatchLedgerFunction"),
        "decider": lab.role_of_function("Registry", "DecideVersionFunction"),
        "appender": lab.role_of_function("Audit", "AppendRecordsFunction"),
    }
    caller = sts.get_caller_identity()["Arn"]
    for name, role in roles.items():
        described = iam.get_role(RoleName=role)["Role"]
        trust = described["AssumeRolePolicyDocument"]
        own = {"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "sts:AssumeRole"}
        opened = {**trust, "Statement": [*trust["Statement"], own]}
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(opened))
        taken = sts.assume_role(RoleArn=described["Arn"], RoleSessionName="test")
        keys[name] = taken["Credentials"]
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    assert lab.target.engine is not None
    keys["root"] = {
        "AccessKeyId": lab.target.engine.access_key,
        "SecretAccessKey": lab.target.engine.secret_key,
    }
    return keys


def _refused(write: Callable[[], Any]) -> bool:
    try:
        answer = write()
    except ClientError as error:
        reasons = error.response.get("CancellationReasons") or []
        codes = {error.response["Error"]["Code"], *(r.get("Code") for r in reasons)}
        return bool(codes & DENIED) or "not authorized" in str(error)
    responses: list[dict[str, Any]] = answer.get("Responses") or []
    return bool(responses) and all(
        one.get("Error", {}).get("Code") == "AccessDenied" for one in responses
    )


@pytest.mark.parametrize("name", [
    "root", "administrator", "auditor", "approver", "scientist", "sealer", "watcher", "decider",
])  # fmt: skip
def test_every_role_but_the_appender_is_refused_every_write(
    annals: Annals, callers: dict[str, dict[str, str]], name: str
) -> None:
    before = annals.records()
    dynamodb = client_of(annals.lab, "dynamodb", callers[name])
    let_through = [
        way for way, write in _writes(annals).items()
        if not _refused(partial(write, dynamodb))
    ]  # fmt: skip
    assert let_through == []
    assert annals.records() == before


def test_the_appender_may_put_and_nothing_else(
    annals: Annals, callers: dict[str, dict[str, str]]
) -> None:
    dynamodb = client_of(annals.lab, "dynamodb", callers["appender"])
    putting = {"PutItem", "Transact put"}  # what Put replaces is told by the stream
    for way, write in _writes(annals).items():
        if way not in putting:
            assert _refused(partial(write, dynamodb)), way


@pytest.mark.parametrize("name", ["administrator", "auditor", "sealer", "appender", "decider"])
def test_objects_are_written_once_and_neither_deleted_nor_freed(
    annals: Annals, callers: dict[str, dict[str, str]], name: str
) -> None:
    s3 = client_of(annals.lab, "s3", callers[name])
    key = f"records/{annals.project}/000000000003.json"
    place = {"Bucket": annals.bucket, "Key": key}
    administered = annals.lab.target.client("s3")
    version = administered.head_object(**place)["VersionId"]
    assert _refused(lambda: s3.put_object(**place, Body=b"{}"))
    assert _refused(lambda: s3.delete_object(**place))
    assert _refused(lambda: s3.delete_object(**place, VersionId=version))
    assert _refused(lambda: s3.delete_object(
        **place, VersionId=version, BypassGovernanceRetention=True))  # fmt: skip
    assert _refused(lambda: s3.put_object_retention(
        **place, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": "2020-01-01T00:00:00Z"},
        BypassGovernanceRetention=True))  # fmt: skip
    new = f"records/{annals.project}/000000000099.json"
    if name != "appender":
        assert _refused(
            lambda: s3.put_object(Bucket=annals.bucket, Key=new, Body=b"{}", IfNoneMatch="*")
        )
        return
    with pytest.raises(ClientError) as lost:  # the writer itself: only where there is nothing
        s3.put_object(**place, Body=b"{}", IfNoneMatch="*")
    assert lost.value.response["Error"]["Code"] == "PreconditionFailed"
    heads = f"heads/{annals.project}/000000000099.json"
    assert _refused(
        lambda: s3.put_object(Bucket=annals.bucket, Key=heads, Body=b"{}", IfNoneMatch="*")
    )


def test_retention_holds_against_the_root_and_a_legal_hold_too(annals: Annals) -> None:
    s3 = annals.lab.target.client("s3")
    place = {"Bucket": annals.bucket, "Key": f"records/{annals.project}/000000000004.json"}
    head = s3.head_object(**place)
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert _refused(lambda: s3.delete_object(**place, VersionId=head["VersionId"]))
    assert annals.lab.steward("audit", "hold", annals.project)["objects"] == 12
    assert s3.get_object_legal_hold(**place)["LegalHold"]["Status"] == "ON"
    assert _refused(lambda: s3.delete_object(
        **place, VersionId=head["VersionId"], BypassGovernanceRetention=True))  # fmt: skip
    annals.lab.steward("audit", "hold", annals.project, "--release")


@pytest.mark.parametrize("name", ["administrator", "auditor", "appender", "decider"])
def test_only_the_sealer_signs(
    annals: Annals, callers: dict[str, dict[str, str]], name: str
) -> None:
    kms = client_of(annals.lab, "kms", callers[name])
    assert _refused(lambda: kms.sign(
        KeyId=annals.lab.target.output("SealingKeyArn"), Message=b"head", MessageType="RAW",
        SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256"))  # fmt: skip


# --- tampering ----------------------------------------------------------------------------


def _changed(ledger: Annals) -> set[tuple[str, int]]:
    record = {**ledger.records()[2], "who": "nobody"}
    ledger.put(3, record)
    return {("changed", 3), ("differs", 3)}


def _changed_with_its_digest(ledger: Annals) -> set[tuple[str, int]]:
    record = {**ledger.records()[2], "who": "nobody"}
    ledger.put(3, {**record, "digest": record_digest(record)})
    return {("unlinked", 4), ("rewritten", 5), ("differs", 3)}


def _rewritten(ledger: Annals) -> set[tuple[str, int]]:
    before = genesis(ledger.project)
    for record in ledger.records():
        made = {**record, "who": "nobody", "previous": before}
        before = record_digest(made)
        ledger.put(record["seq"], {**made, "digest": before})
    return {("rewritten", 5), *(("differs", seq) for seq in range(1, 6))}


def _removed(ledger: Annals) -> set[tuple[str, int]]:
    ledger.remove(3)
    return {("removed", 3), ("rewritten", 5)}


def _inserted(ledger: Annals) -> set[tuple[str, int]]:
    records = ledger.records()
    fact = Fact(event_id="x", project=ledger.project, at="2026-11-29T10:00:00Z", who="nobody",
                what="VersionApproved")  # fmt: skip
    ledger.put(6, next_record(fact, records[2], recorded_at=records[2]["recorded_at"]))
    return {("inserted", 4), ("reordered", 4), ("reordered", 6), ("unkept", 6)}


def _reordered(ledger: Annals) -> set[tuple[str, int]]:
    records = ledger.records()
    ledger.put(2, records[2])
    ledger.put(3, records[1])
    return {("reordered", 2), ("reordered", 3), ("differs", 2), ("differs", 3)}


def _truncated(ledger: Annals) -> set[tuple[str, int]]:
    ledger.remove(4)
    ledger.remove(5)
    return set()  # what is told of it is recorded in the same ledger, and takes the numbers


_TAMPERING = {
    "changed": _changed,
    "redigested": _changed_with_its_digest,
    "rewritten": _rewritten,
    "removed": _removed,
    "inserted": _inserted,
    "reordered": _reordered,
    "truncated": _truncated,
}


@pytest.fixture(scope="session")
def harmed(lab: Laboratory) -> dict[str, tuple[Annals, set[tuple[str, int]]]]:
    """A signed ledger of five records for each way to tamper, and then tampered with."""
    made = {way: Annals(lab, f"harm-{way}") for way in _TAMPERING}
    for ledger in made.values():
        ledger.tell(*range(1, 6))
    for ledger in made.values():
        eventually(partial(ledger.has, 5), "5 records")
    lab.steward("audit", "seal")
    assert all(ledger.kinds() == set() for ledger in made.values())
    with made["changed"].unguarded():
        return {way: (ledger, _TAMPERING[way](ledger)) for way, ledger in made.items()}


@pytest.mark.parametrize("way", _TAMPERING)
def test_tampering_is_found_and_named(
    harmed: dict[str, tuple[Annals, set[tuple[str, int]]]], way: str
) -> None:
    ledger, expected = harmed[way]
    assert ledger.kinds() >= expected


def test_a_truncated_ledger_is_named_even_where_it_went_on(
    harmed: dict[str, tuple[Annals, set[tuple[str, int]]]],
) -> None:
    found = harmed["truncated"][0].kinds()
    at_once = {("truncated", 4), ("removed", 4), ("removed", 5)}
    gone_on = {("rewritten", 5), ("differs", 4)}
    assert at_once <= found or gone_on <= found or ("truncated", 5) in found


def test_a_change_of_the_table_is_mailed_and_recorded(
    harmed: dict[str, tuple[Annals, set[tuple[str, int]]]],
) -> None:
    ledger, _ = harmed["changed"]
    text = ledger.mailed("the ledger of harm-changed was changed")
    assert "record#000000000003" in text
    harmed["removed"][0].mailed("the ledger of harm-removed was removed")
    eventually(lambda: [r for r in ledger.records() if r["what"] == "LedgerTampered"], "its record")


def test_what_is_broken_is_not_signed_further(
    harmed: dict[str, tuple[Annals, set[tuple[str, int]]]],
) -> None:
    ledger, _ = harmed["truncated"]
    told = ledger.lab.steward("audit", "seal", exit_code=1)
    assert ledger.project in told["broken"]
    ledger.mailed(f"the ledger of {ledger.project} is")


# --- CloudTrail ---------------------------------------------------------------------------


def test_taking_the_tables_policy_away_is_a_finding(
    harmed: dict[str, tuple[Annals, set[tuple[str, int]]]], lab: Laboratory
) -> None:
    text = harmed["changed"][0].mailed("DeleteResourcePolicy around Steward")
    assert "only a deployment does" in text
    stack_ledger = Annals(lab, "_stack")
    eventually(
        lambda: [r for r in stack_ledger.records() if r["what"] == "ChangeUnmatched"],
        "the finding's record",
    )


def test_the_event_history_is_looked_up_and_tells_nothing_twice(
    harmed: dict[str, tuple[Annals, set[tuple[str, int]]]], lab: Laboratory
) -> None:
    harmed["changed"][0].mailed("DeleteResourcePolicy around Steward")
    told = Annals(lab, "_stack")

    def findings() -> list[str]:
        calls = [r["details"]["data"] for r in told.records() if r["what"] == "ChangeUnmatched"]
        return sorted(call["call_id"] for call in calls)

    before = eventually(findings, "findings")
    event = {"id": "e", "source": "aws.events", "detail-type": "Scheduled Event",
             "time": "2026-11-29T10:00:00Z", "detail": {}}  # fmt: skip
    answer = lab.target.client("lambda").invoke(
        FunctionName=lab.function("Audit", "ReconcileChangesFunction"),
        Payload=json.dumps(event).encode(),
    )
    counts = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, counts
    assert set(counts) <= {"unmatched", "explained", "denied", "foreign"}, counts
    assert len(set(findings())) == len(findings()) >= len(before)


def test_an_approval_around_steward_is_a_finding_and_stewards_own_is_none(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    lab.approve("nursery", 1)
    lab.version("nursery", 1, "approved", "releasing", "production")
    project = Annals(lab, "nursery")
    package = lab.target.client("sagemaker")
    package.update_model_package(
        ModelPackageArn=trained["model_package_arn"], ModelApprovalStatus="Rejected"
    )
    project.mailed("UpdateModelPackage around Steward", "the caller is no role of Steward")
    found = eventually(
        lambda: [r for r in project.records() if r["what"] == "ChangeUnmatched"], "its record"
    )
    callers = {record["details"]["data"]["principal"] for record in found}
    assert callers == {lab.target.identity()}
