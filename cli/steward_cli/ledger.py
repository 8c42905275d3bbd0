"""A ledger as the command reads it: records of the table, objects and heads of the bucket."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from steward.adapters.ledger import DynamoLedger, KmsSealingKey
from steward.adapters.objects import S3ObjectStore
from steward.domain.audit import verifier
from steward.domain.audit.ledger import STACK
from steward.domain.audit.objects import Stored, compare, content_digest
from steward_cli.console import CommandError, Exit
from steward_cli.target import Target

Say = Callable[[str], None]
_READERS = 16


@dataclass
class Checked:
    """What a verification found.

    Attributes:
        records: How many records the table has.
        signed: How many of them the last head covers.
        heads: How many signed heads there are.
        objects: How many records' objects were compared; None where they were left out.
        findings: As the verifier tells them.
    """

    project: str
    records: int
    signed: int
    heads: int
    objects: int | None
    key_sha256: str
    findings: list[dict[str, Any]] = field(default_factory=list)


class StackLedger:
    """The ledgers of a stack, read with the caller's own rights."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.bucket = target.output("LedgerBucketName")
        self._ledger = DynamoLedger(target.client("dynamodb"), target.output("LedgerTable"))
        self._objects = S3ObjectStore(target.client("s3"))
        self._key = KmsSealingKey(target.client("kms"), target.output("SealingKeyArn"))

    def projects(self) -> list[str]:
        """Return whose ledgers there are."""
        return self._ledger.projects()

    def records(self, project: str) -> Iterator[dict[str, Any]]:
        """Yield a project's records in their order.

        Raises:
            CommandError: It has none.
        """
        empty = True
        for kept in self._ledger.records(project):
            empty = False
            record: dict[str, Any] = json.loads(kept.text)
            yield record
        if empty:
            known = ", ".join(sorted(self.projects())) or "none"
            raise CommandError(f"no ledger of {project!r}", Exit.NOT_FOUND, f"known: {known}")

    def record(self, project: str, seq: int) -> dict[str, Any]:
        """Return one record.

        Raises:
            CommandError: There is none of that number.
        """
        kept = next(iter(self._ledger.records(project, after=seq - 1)), None)
        if kept is None or kept.seq != seq:
            raise CommandError(f"the ledger of {project} has no record {seq}", Exit.NOT_FOUND)
        found: dict[str, Any] = json.loads(kept.text)
        return found

    def heads(self, project: str) -> list[dict[str, Any]]:
        """Return the signed heads, smallest first: each ``head`` and ``signature``."""
        listed = list(self._objects.list(self.bucket, f"heads/{project}/"))
        with ThreadPoolExecutor(_READERS) as pool:
            read = pool.map(lambda i: self._objects.read(f"s3://{self.bucket}/{i.key}"), listed)
            return [json.loads(content) for content in read]

    def public_key(self) -> bytes:
        """Return the sealing key's public half, from KMS itself."""
        return self._key.public_der()

    def verify(self, project: str, say: Say, *, objects: bool = True) -> Checked:
        """Recompute chain, heads and signatures, and compare the bucket with the table."""
        der = self.public_key()
        checked = verifier.Verification(project, verifier.public_key(der))
        contents: dict[int, str] = {}
        for kept in self._ledger.records(project):
            record = _record(kept.text)
            checked.add_record(record)
            if record.get("seq") != kept.seq:
                told = f"it says that it is record {record.get('seq')}"
                checked.found("reordered", kept.seq, told)
            contents[kept.seq] = content_digest(record)
            if len(contents) % 1000 == 0:
                say(f"{len(contents)} records")
        heads = self.heads(project)
        for one in heads:
            checked.add_head(one.get("head", {}), str(one.get("signature")))
        checked.finish()
        stored = list(self._stored(project, say)) if objects else None
        findings = checked.findings + (compare(contents, stored) if stored is not None else [])
        return Checked(
            project, checked.records, checked.signed, len(heads),
            None if stored is None else len(stored), hashlib.sha256(der).hexdigest(), findings,
        )  # fmt: skip

    def _stored(self, project: str, say: Say) -> Iterator[Stored]:
        client, prefix = self._target.client("s3"), f"records/{project}/"
        versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        pages = client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            for one in page.get("Versions", []):
                versions[one["Key"]].append({**one, "marker": False})
            for one in page.get("DeleteMarkers", []):
                versions[one["Key"]].append({**one, "marker": True})

        def described(key: str) -> Stored:
            of_key = sorted(versions[key], key=lambda one: one["LastModified"])
            real = [one for one in of_key if not one["marker"]]
            digest = self._objects.sha256(self.bucket, key, real[0]["VersionId"]) if real else ""
            hidden = any(one["marker"] and one.get("IsLatest") for one in of_key)
            return Stored(_seq(key), digest, len(of_key), hidden)

        with ThreadPoolExecutor(_READERS) as pool:
            for number, one in enumerate(pool.map(described, sorted(versions)), 1):
                if number % 1000 == 0:
                    say(f"{number} objects")
                yield one

    def export(self, project: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of an export, which the verifier reads alone."""
        der = self.public_key()
        text = base64.b64encode(der).decode()
        yield {"ledger": {"format": verifier.FORMAT, "project": project, "public_key": text}}
        fingerprint = hashlib.sha256(der).hexdigest()
        kept = f"keys/{fingerprint}.json"
        if self._objects.describe(self.bucket, kept) is not None:
            for vector in json.loads(self._objects.read(f"s3://{self.bucket}/{kept}"))["vectors"]:
                yield {"vector": vector}
        for record in self.records(project):
            yield {"record": record}
        for head in self.heads(project):
            yield {"head": head["head"], "signature": head["signature"]}

    def prove(self, project: str, seq: int) -> dict[str, Any]:
        """Return the proof that a record is under the newest signed head.

        Raises:
            CommandError: There is no such record, or no head covers it yet.
        """
        record = self.record(project, seq)
        covering = [one for one in self.heads(project) if int(one["head"]["size"]) >= seq]
        if not covering:
            raise CommandError(
                f"no signed head covers record {seq} yet", Exit.CONFLICT,
                "one is made every hour, or now: `steward audit seal`",
            )  # fmt: skip
        head = covering[-1]["head"]
        size = int(head["size"])
        digests = [str(one["digest"]) for one in self.records(project)][:size]
        proof = verifier.inclusion_proof(digests, seq - 1)
        der = self.public_key()
        signed = verifier.is_signed(
            verifier.canonical(head), base64.b64decode(covering[-1]["signature"]),
            verifier.public_key(der),
        )  # fmt: skip
        holds = verifier.record_digest(record) == record["digest"] and verifier.includes(
            record["digest"], seq - 1, size, proof, head["root"]
        )
        return {
            "record": record, "head": head, "signature": covering[-1]["signature"],
            "proof": proof, "public_key": base64.b64encode(der).decode(),
            "is_signed": signed, "holds": holds and signed,
        }  # fmt: skip

    def hold(self, project: str, *, on: bool, say: Say) -> int:
        """Put a legal hold on all records' objects of a project, or take it off; count them."""
        client, count = self._target.client("s3"), 0
        for info in self._objects.list(self.bucket, f"records/{project}/"):
            client.put_object_legal_hold(
                Bucket=self.bucket, Key=info.key, LegalHold={"Status": "ON" if on else "OFF"}
            )
            count += 1
            if count % 100 == 0:
                say(f"{count} objects")
        return count


def _seq(key: str) -> int:
    text = key.rsplit("/", 1)[-1].removesuffix(".json")
    return int(text) if text.isdigit() else 0


def _record(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def ledger_name(project: str | None, stack_ledger: bool) -> str:
    """Return whose ledger a command means.

    Raises:
        CommandError: Neither or both were named.
    """
    if stack_ledger != (project is None):
        raise CommandError("name a project, or give --stack-ledger", Exit.USAGE)
    return STACK if stack_ledger else str(project)
