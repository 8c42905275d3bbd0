"""The registry on the deployed stack: labels, races, archives between accounts, webhooks."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.domain.webhooks import verify
from steward.ports import Table
from steward_cli.commands import version_labels, webhooks
from steward_cli.commands.local import deploy_stack
from steward_cli.console import CommandError
from steward_cli.demo.people import hire
from steward_cli.target import Choice, local_target
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e
NAME, ELSEWHERE = "crossing", "222222222222"


def as_editors(lab: Laboratory) -> None:
    """Let theo and ana do what whoever edits the registry may."""
    iam = lab.target.client("iam")
    for name in ("theo", "ana"):
        policy = lab.target.output("RegistryEditorPolicyArn")
        iam.attach_user_policy(UserName=name, PolicyArn=policy)
    policy = str(lab.resources("Registry")["WebhookEditorPolicy"])
    iam.attach_user_policy(UserName="ana", PolicyArn=policy)


@pytest.fixture(scope="module")
def two(lab: Laboratory, trained: dict[str, Any]) -> tuple[int, int]:
    """Two versions that wait for approval."""
    as_editors(lab)
    lab.add_project(NAME)
    numbers = lab.register(NAME, trained), lab.register(NAME, trained)
    for number in numbers:
        lab.version(NAME, number, "pending")
    return numbers


def package(lab: Laboratory, number: int) -> dict[str, Any]:
    arn = lab.state.version(NAME, number)["model_package_arn"]
    found: dict[str, Any] = lab.target.client("sagemaker").describe_model_package(
        ModelPackageName=arn
    )
    return found


def test_labels_are_kept_found_and_shown_by_sagemaker(
    lab: Laboratory, two: tuple[int, int]
) -> None:
    first, second = map(str, two)

    def ana(*words: str) -> None:
        lab.steward("versions", *words, person="ana")

    ana("alias", NAME, "baseline", first, "-m", "reference")
    ana("tag", NAME, first, "cohort=2026-01", "draft=yes")
    ana("tag", NAME, first, "--remove", "draft")
    ana("describe", NAME, first, "With the labs of January")

    def found(*words: str) -> list[int]:
        listed = lab.steward("versions", "list", NAME, *words, person="ana")
        return [version["version"] for version in listed]

    assert found("--tag", "cohort=2026-01") == [int(first)]
    assert found("--alias", "baseline") == [int(first)]
    assert found("--search", "LABS OF") == [int(first)]
    assert found("--state", "pending", "--metric", "roc_auc>=0.5") == [int(first), int(second)]
    assert found("--metric", "roc_auc>=1.01") == []
    assert found("--since", "2100-01-01") == []

    def shown() -> dict[str, Any] | None:
        described = package(lab, int(first))
        properties = described.get("CustomerMetadataProperties") or {}
        whole = {"steward.alias.baseline", "steward.tag.cohort", "steward.description"}
        return described if whole <= set(properties) else None

    described = eventually(shown, "labels on the model package")
    assert "steward.tag.draft" not in described["CustomerMetadataProperties"]
    assert described["CustomerMetadataProperties"]["steward.tag.cohort"] == "2026-01"
    assert described["ModelLifeCycle"]["StageStatus"] == "PendingApproval"
    assert described["ModelApprovalStatus"] == "PendingManualApproval"


def test_racing_moves_of_an_alias_form_one_chain(lab: Laboratory, two: tuple[int, int]) -> None:
    refused: list[str] = []

    def move(turn: int) -> None:
        body = {
            "action": "alias", "project": NAME, "alias": "raced", "version": two[turn % 2],
            "reason": f"turn {turn}",
        }  # fmt: skip
        try:
            version_labels.change(lab.ana if turn % 3 else lab.theo, body)
        except CommandError as error:
            refused.append(error.message)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(move, range(16)))
    assert all("try again" in said for said in refused)
    moves = lab.state.store.query(Table.VERSIONS, NAME, prefix="aliased#raced#")
    assert sum(move["previous"] is None for move in moves) == 1
    assert all(move["previous"] != move["version"] for move in moves)
    ups = sum(move["version"] == two[1] for move in moves)
    downs = sum(move["version"] == two[0] for move in moves)
    assert abs(ups - downs) <= 1
    assert lab.state.aliases(NAME)["raced"] in two


def test_who_has_no_right_changes_nothing(lab: Laboratory, two: tuple[int, int]) -> None:
    body = {"action": "alias", "project": NAME, "alias": "stolen", "version": two[0]}
    with pytest.raises(CommandError):
        version_labels.change(lab.ward, body)
    assert "stolen" not in lab.state.aliases(NAME)
    with pytest.raises(CommandError, match="follows the releases"):
        version_labels.change(lab.ana, {**body, "alias": "champion"})


def test_two_versions_are_compared_on_a_page(
    lab: Laboratory, two: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "compare.html"
    first, second = map(str, two)
    found = lab.steward("versions", "compare", NAME, first, second, "--html", str(path))
    text = path.read_text(encoding="utf-8")
    assert {row["metric"] for row in found["metrics"]} >= {"brier", "roc_auc"}
    assert found["same_rows"] is True
    assert text.count("<svg") >= 6
    assert "<script" not in text
    missing = {section["title"] for section in found["sections"] if len(section["missing"]) == 2}
    assert "Bias" in missing


@pytest.fixture(scope="module")
def archive(
    lab: Laboratory, two: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The export of the first version."""
    path = tmp_path_factory.mktemp("export") / "first.tar"
    lab.steward("versions", "export", NAME, str(two[0]), "--out", str(path), person="ana")
    return path


def test_an_export_is_the_same_bytes_each_time(
    lab: Laboratory, two: tuple[int, int], archive: Path
) -> None:
    again = archive.with_name("again.tar")
    lab.steward("versions", "export", NAME, str(two[0]), "--out", str(again))
    assert again.read_bytes() == archive.read_bytes()


def test_a_corrupted_archive_registers_nothing(
    lab: Laboratory, two: tuple[int, int], archive: Path
) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    broken = archive.with_name("broken.tar")
    broken.write_bytes(bytes(content))
    said = lab.steward_error("versions", "import", NAME, "--archive", str(broken))
    assert "digest" in said or "refused" in said
    said = lab.steward_error(
        "versions", "import", NAME, "--archive", str(archive), "--max-bytes", "1000"
    )
    assert "the archive is refused" in said
    assert len(lab.state.versions(NAME)) == len(two)


@pytest.fixture(scope="module")
def elsewhere(
    lab: Laboratory, tmp_path_factory: pytest.TempPathFactory, projects: Path
) -> Laboratory:
    """The stack in another account of the same AWS, which takes versions of the first one."""
    choice = Choice("local", state_dir=tmp_path_factory.mktemp("elsewhere"))
    assert lab.target.engine is not None
    engine = lab.target.engine.seen_by(ELSEWHERE).recorded_in(choice.state_dir)
    bus = lab.target.output("PromotionsBusArn")
    deploy_stack(engine, lambda _line: None, {"PromoteFrom": bus})
    target = local_target(engine, choice)
    hire(target, choice.state_dir)
    other = Laboratory(target, choice, projects, tmp_path_factory.mktemp("other-lab"))
    as_editors(other)
    return other


def test_another_account_imports_a_version_with_its_evidence_and_without_its_approval(
    lab: Laboratory, two: tuple[int, int], archive: Path, elsewhere: Laboratory
) -> None:
    lab.approve(NAME, two[0])
    approved = archive.with_name("approved.tar")
    lab.steward("versions", "export", NAME, str(two[0]), "--out", str(approved))
    assert elsewhere.target.identity().split(":")[4] == ELSEWHERE
    elsewhere.add_project("landing")
    words = ("versions", "import", "landing", "--archive", str(approved))
    answer = elsewhere.steward(*words, person="theo")
    again = elsewhere.steward(*words, person="theo")
    assert answer["version"] == again["version"] == 1

    item = elsewhere.version("landing", 1, "pending", "staging_failed")
    assert (item["state"], item["approvals"]) == ("pending", [])
    assert item["author"] == f"{ELSEWHERE}/theo"
    evidence = json.loads(elsewhere.read(item["evidence_uri"]))
    source = evidence["imported"]["source"]
    assert source["account"] == "000000000000"
    assert source["evidence_digest"] == lab.state.version(NAME, two[0])["evidence_digest"]
    ours = json.loads(lab.read(lab.state.version(NAME, two[0])["evidence_uri"]))
    for part in ("artifact", "evaluation", "baseline"):
        assert evidence[part]["sha256"] == ours[part]["sha256"]
    assert evidence["dataset"]["manifest"]["sha256"] == ours["dataset"]["manifest"]["sha256"]

    refused = elsewhere.steward_error("--profile", "theo", "approve", "landing", "1")
    assert "author" in refused
    assert elsewhere.approve("landing", 1)["state"] == "approved"


def test_a_promotion_crosses_two_accounts_as_an_offer_and_an_answer(
    lab: Laboratory, two: tuple[int, int], elsewhere: Laboratory
) -> None:
    source = lab.state.version(NAME, two[0])  # approved by the test before
    words = ("versions", "promote", NAME, str(two[0]), "--to")
    refused = lab.steward_error("--profile", "theo", *words, "prod")
    assert f"steward-local in {ELSEWHERE}" in refused
    assert "steward-staging in 333333333333" in refused
    refused = lab.steward_error("--profile", "theo", *words, "prod", "--at", ELSEWHERE)
    assert "this environment is local, not prod" in refused
    elsewhere.add_project(NAME)
    with no_key_for_others(lab):
        refused = lab.steward_error("--profile", "theo", *words, "local")
    assert "may not be read" in refused
    assert "export_uri" in refused
    answer = lab.steward(*words, "local", person="theo")
    assert answer["attempt"] == 2
    assert answer == lab.steward(*words, "local", person="theo")
    item = elsewhere.version(NAME, answer["became"], "registered", "pending", within=90)
    ours, theirs = lab.read(source["artifact_uri"]), elsewhere.read(item["artifact_uri"])
    assert ours == theirs
    assert hashlib.sha256(theirs).hexdigest() == answer["artifact"]
    assert (item["author"], item["approvals"]) == (source["author"], [])
    assert item["imported"]["approvers"] == ["000000000000/ana"]
    assert item["imported"]["promoted_by"] == "000000000000/theo"
    for one, kind in ((lab, "VersionExported"), (elsewhere, "VersionImported")):
        eventually(lambda: in_ledger(one, kind), f"{kind} in the ledger", within=90)  # noqa: B023


@contextlib.contextmanager
def no_key_for_others(lab: Laboratory) -> Iterator[None]:
    """Take the next environments out of the policy of the exports key for a while."""
    kms, key = lab.target.client("kms"), lab.resources("Foundation")["ExportKey"]
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    own = [one for one in policy["Statement"] if one["Sid"] != "NextEnvironmentsReadThroughS3"]
    assert len(own) == len(policy["Statement"]) - 1
    kms.put_key_policy(KeyId=key, Policy=json.dumps({**policy, "Statement": own}))
    try:
        yield
    finally:
        kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))


def in_ledger(lab: Laboratory, kind: str) -> bool:
    """Tell whether the project's ledger, where there is one yet, has a record of a kind."""
    with contextlib.suppress(AssertionError):
        records = lab.steward("audit", "show", NAME, "--limit", "200")
        return any(record["what"] == kind for record in records)
    return False


def test_another_account_reads_nothing_of_ours_but_what_was_laid_ready_for_it(
    lab: Laboratory, two: tuple[int, int], elsewhere: Laboratory
) -> None:
    s3, mine = elsewhere.target.client("s3"), lab.state.version(NAME, two[0])
    bucket, _, key = mine["artifact_uri"].removeprefix("s3://").partition("/")
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key=key)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    events = elsewhere.target.client("events")
    entry = {"Source": "steward.registry", "DetailType": "VersionApproved", "Detail": "{}"}
    own_bus = lab.target.output("PromotionsBusArn").removesuffix("-promotions")
    put = events.put_events(Entries=[{**entry, "EventBusName": own_bus}])
    assert put["FailedEntryCount"] == 1


def test_an_own_artifact_becomes_a_version_with_what_is_unproven_named(
    lab: Laboratory, two: tuple[int, int], trained: dict[str, Any], tmp_path: Path
) -> None:
    for uri, name in ((trained["artifact_uri"], "model.tar.gz"),
                      (trained["evaluation_uri"], "evaluation.json")):  # fmt: skip
        (tmp_path / name).write_bytes(lab.read(uri))
    answer = lab.steward(
        "versions", "import", NAME, "--artifact", str(tmp_path / "model.tar.gz"),
        "--evaluation", str(tmp_path / "evaluation.json"), person="theo",
    )  # fmt: skip
    item = lab.version(NAME, answer["version"], "pending")
    evidence = json.loads(lab.read(item["evidence_uri"]))
    assert evidence["dataset"] is None
    assert "dataset" in evidence["imported"]["unproven"]
    assert item["author"] == "000000000000/theo"
    lab.steward("versions", "archive", NAME, str(answer["version"]), "-m", "only a trial")
    assert lab.state.version(NAME, answer["version"])["state"] == "archived"
    endpoint = f"local-{NAME}-v{answer['version']}-staging"
    eventually(lambda: lab.endpoint(endpoint) in (None, "Deleting"), "the end of its staging")


@dataclass
class Receiver:
    """Another system that takes webhooks, and is down while ``status`` says so."""

    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def serve(self) -> http.server.ThreadingHTTPServer:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


def test_another_system_is_told_signed_and_again_after_it_was_down(
    lab: Laboratory, two: tuple[int, int]
) -> None:
    receiver = Receiver(status=503)
    server = receiver.serve()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        added = lab.steward("webhooks", "add", NAME, url, "--event", "VersionAliased", person="ana")
        lab.steward("versions", "alias", NAME, "told", str(two[1]))
        eventually(lambda: receiver.got, "a first attempt")
        receiver.status = 200
        eventually(lambda: len(receiver.got) > 1, "a second attempt")
        times = set()
        for headers, body in receiver.got:
            given = {name.lower(): value for name, value in headers.items()}
            verify(added["secret"], given, body, float(given["webhook-timestamp"]))
            times.add(given["webhook-id"])
            assert json.loads(body)["type"] == "VersionAliased"
        assert len(times) == 1

        def delivered() -> list[dict[str, Any]]:
            found = lab.steward("webhooks", "list", NAME, "--deliveries", person="ana")
            return [item for item in found if item["status"] == "delivered"]

        [record] = eventually(delivered, "the record of the delivery")
        assert record["attempts"] >= 2
        count = len(receiver.got)
        lab.steward("webhooks", "test", NAME, added["webhook_id"], person="ana")
        eventually(lambda: len(receiver.got) > count, "the test message")
        lab.steward("webhooks", "remove", NAME, added["webhook_id"], person="ana")
        assert lab.steward("webhooks", "list", NAME, person="ana") == []
    finally:
        server.shutdown()
        server.server_close()


def test_a_webhook_cannot_reach_the_instance_metadata(lab: Laboratory) -> None:
    body = {"action": "add", "project": "*", "kinds": []}
    for url in ("http://169.254.169.254/", "https://169.254.169.254/", "https://10.0.0.1/"):
        with pytest.raises(CommandError, match=r"cannot be a webhook|address"):
            webhooks.change(lab.ana, {**body, "url": url})
