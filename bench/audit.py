"""The ledger: how fast facts become records, and how fast a million of them are verified.

Append: sources put events of projects of their own at the same time on the bus of the deployed
stack, on the embedded AWS. Timed is from the first event to the last record that is in the table
and in the bucket: rule, function, FIFO queue, appender. It is the embedded AWS that is measured,
one process on this machine; what is ours is the number of requests. It ends after ``--seconds``.

Verify: a million records, made in memory, with a signed head over every tenth part: digests,
numbers, chain, Merkle roots and signatures, in one process. ``--no-append`` does this alone.
Run: ``make bench NAME=audit``.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from rich.console import Console

from results import Result, finish
from steward.domain.audit import verifier
from steward_cli.commands.local import start_and_deploy
from steward_cli.console import table
from steward_cli.ledger import StackLedger
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

_BENCH = "audit"
_BAR_MS = 200.0
_BAR_S = 120.0


def put(target: Target, project: str, events: int) -> None:
    """Put events of one project, ten at a time as EventBridge takes them."""
    client, bus = target.client("events"), target.output("BusName")
    for start in range(0, events, 10):
        entries = []
        for number in range(start, min(start + 10, events)):
            meta = {"correlation_id": "bench", "causation_id": str(number), "project": project,
                    "actor": "bench"}  # fmt: skip
            data = {"entry": f"entry-{number}", "kind": "bench", "dollars": 0.0, "detail": {}}
            entries.append({
                "Source": "steward.governance", "DetailType": "RunCostRecorded",
                "EventBusName": bus, "Detail": json.dumps({"meta": meta, "data": data}),
            })  # fmt: skip
        answer = client.put_events(Entries=entries)
        if answer["FailedEntryCount"]:
            raise SystemExit(f"the bus refused events: {answer}")


def append(target: Target, sources: int, events: int, seconds: float) -> tuple[int, float]:
    """Return how many records there are of all sources, and after how long."""
    projects = [f"bench-{number}" for number in range(sources)]
    for service in ("events", "s3"):
        target.client(service)  # made once, before threads ask for it
    began = time.monotonic()
    threads = [threading.Thread(target=put, args=(target, name, events)) for name in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bucket, s3 = target.output("LedgerBucketName"), target.client("s3")
    kept, ended = 0, time.monotonic()
    while time.monotonic() - began < seconds and kept < sources * events:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="records/bench-")
        kept, ended = sum(page.get("KeyCount", 0) for page in pages), time.monotonic()
        time.sleep(0.2)
    ledger = StackLedger(target)
    for name in projects:
        found = ledger.verify(name, lambda _text: None)
        if found.findings:
            raise SystemExit(f"{name} is not sound: {found.findings[:3]}")
    return kept, ended - began


def verify(count: int) -> tuple[float, float]:
    """Return the seconds to make and to verify so many records under ten signed heads."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    began = time.monotonic()
    checked = verifier.Verification("bench", verifier.public_key(der))
    tree, previous = verifier.Tree(), verifier.genesis("bench")
    spent = 0.0
    for seq in range(1, count + 1):
        record: dict[str, Any] = {
            "format": 1, "seq": seq, "project": "bench", "event_id": f"e{seq}", "who": "theo",
            "what": "VersionApproved", "at": "2026-11-29T10:00:00.000Z", "subject": "version 3",
            "why": "looks sound", "recorded_at": "2026-11-29T10:00:01.000Z",
            "digests": {"evidence": "ab" * 32}, "previous": previous,
            "details": {"correlation_id": "r", "data": {"version": 3, "score": 0.75}},
        }  # fmt: skip
        record["digest"] = previous = verifier.record_digest(record)
        tree.append(previous)
        started = time.monotonic()
        checked.add_record(record)
        if seq % (count // 10) == 0:
            head = {"format": 1, "project": "bench", "size": seq, "root": tree.root(), "at": "now"}
            signed = key.sign(verifier.canonical(head), padding.PKCS1v15(), hashes.SHA256())
            checked.add_head(head, base64.b64encode(signed).decode())
        spent += time.monotonic() - started
    started = time.monotonic()
    checked.finish()
    spent += time.monotonic() - started
    if checked.findings or checked.signed != count:
        raise SystemExit(f"what is sound was not verified: {checked.findings[:3]}")
    return time.monotonic() - began - spent, spent


def main() -> None:
    """Measure, print, and exit by the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--events", type=int, default=50, help="Of each source.")
    parser.add_argument("--seconds", type=float, default=240.0, help="At most, for appending.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--no-append", action="store_true")
    given = parser.parse_args()
    results, rows = [], []
    _, spent = verify(given.records)
    rows.append((f"verify {given.records} records", f"{spent:.1f} s",
                 f"{given.records / spent:,.0f} records/s"))  # fmt: skip
    results.append(Result(_BENCH, "verify_million_s", spent * 1e6 / given.records, "s", _BAR_S))
    if not given.no_append:
        wanted = given.sources * given.events
        with tempfile.TemporaryDirectory() as folder:
            choice = Choice("local", state_dir=Path(folder))
            engine, _ = start_and_deploy(choice, None, 10.0)
            try:
                target = local_target(engine, choice)
                kept, took = append(target, given.sources, given.events, given.seconds)
            finally:
                engines.stop(choice.state_dir)
        rows.append((f"append {kept} of {wanted} from {given.sources} sources", f"{took:.1f} s",
                     f"{kept / took:,.1f} records/s"))  # fmt: skip
        results.append(
            Result(_BENCH, "append_ms_a_record", took * 1000 / max(kept, 1), "ms", _BAR_MS)
        )
        results.append(Result(_BENCH, "append_missing", wanted - kept, "records", 0))
    Console().print(table(("what", "took", "rate"), rows, "Ledger"))
    finish(results)


if __name__ == "__main__":
    main()
