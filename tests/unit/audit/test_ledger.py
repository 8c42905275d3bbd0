"""The ledger: every way to tamper with it is found and named, by a file that stands alone."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.audit import verifier
from steward.domain.audit.ledger import Fact, head_of, next_record, next_records
from steward.domain.digests import canonical_json
from steward.domain.errors import RejectedError

KEY = rsa.generate_private_key(public_exponent=65537, key_size=3072)
DER = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
Ledger = list[dict[str, Any]]


def fact(number: int, **changed: Any) -> Fact:
    known: dict[str, Any] = {
        "event_id": f"e-{number}", "project": "diabetes",
        "at": f"2026-11-29T10:00:{number:02}.000Z",
        "who": "arn:aws:sts::1:assumed-role/approver/ana", "what": "VersionApproved",
        "subject": f"version {number}", "why": "looks sound",
        "digests": {"evidence": "ab" * 32},
    }  # fmt: skip
    return Fact.model_validate({**known, **changed})


def sign(head: dict[str, Any]) -> str:
    made = KEY.sign(canonical_json(head), padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(made).decode()


def ledger(*sizes: int, records: int = 6) -> Ledger:
    """An export of some records with signed heads over the first ``sizes``."""
    made = next_records(
        [fact(n + 1) for n in range(records)], None, recorded_at="2026-11-29T11:00:00.000Z"
    )
    digests = [record["digest"] for record in made]
    heads = [head_of("diabetes", digests[:size], at=f"2026-11-29T12:0{size}Z") for size in sizes]
    first = {"ledger": {"format": 1, "project": "diabetes",
                        "public_key": base64.b64encode(DER).decode()}}  # fmt: skip
    return [
        first,
        *({"record": record} for record in made),
        *({"head": head, "signature": sign(head)} for head in heads),
    ]


def kinds(export: Ledger) -> list[tuple[str, int | None]]:
    checked = verifier.verify_export([json.dumps(entry) for entry in export])
    return [(finding["kind"], finding["seq"]) for finding in checked.findings]


def rechained(export: Ledger, begin: int) -> Ledger:
    """Make numbers, links and digests of all records fit from a place on, as a forger would."""
    records = [entry["record"] for entry in export if "record" in entry]
    for place in range(begin, len(records)):
        record = records[place]
        record["seq"] = place + 1
        record["previous"] = records[place - 1]["digest"] if place else verifier.genesis("diabetes")
        record["digest"] = verifier.record_digest(record)
    return export


def test_an_untouched_ledger_has_no_findings() -> None:
    checked = verifier.verify_export([json.dumps(entry) for entry in ledger(2, 6)])

    assert checked.findings == []
    assert (checked.records, checked.signed, checked.project) == (6, 6, "diabetes")


def changed(export: Ledger) -> None:
    export[3]["record"]["why"] = "because"


def changed_with_its_digest(export: Ledger) -> None:
    export[3]["record"]["why"] = "because"
    export[3]["record"]["digest"] = verifier.record_digest(export[3]["record"])


def changed_and_rechained(export: Ledger) -> None:
    export[3]["record"]["who"] = "somebody else"
    rechained(export, 2)


def removed(export: Ledger) -> None:
    del export[3:5]


def removed_and_rechained(export: Ledger) -> None:
    del export[3]
    rechained(export, 2)


def inserted(export: Ledger) -> None:
    twin = copy.deepcopy(export[3])
    twin["record"]["who"] = "somebody else"
    twin["record"]["digest"] = verifier.record_digest(twin["record"])
    export.insert(4, twin)


def inserted_and_rechained(export: Ledger) -> None:
    export.insert(3, copy.deepcopy(export[3]))
    rechained(export, 2)


def reordered(export: Ledger) -> None:
    export[2], export[3] = export[3], export[2]


def reordered_and_rechained(export: Ledger) -> None:
    export[2], export[3] = export[3], export[2]
    rechained(export, 1)


def truncated(export: Ledger) -> None:
    del export[5:7]


def first_removed(export: Ledger) -> None:
    del export[1]


def head_over_other_records(export: Ledger) -> None:
    export[-1]["head"]["root"] = "00" * 32


def head_by_another_key(export: Ledger) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    made = other.sign(canonical_json(export[-1]["head"]), padding.PKCS1v15(), hashes.SHA256())
    export[-1]["signature"] = base64.b64encode(made).decode()


def head_of_another_history(export: Ledger) -> None:
    head = {**export[-1]["head"], "root": "11" * 32, "at": "2026-11-29T13:00Z"}
    export.append({"head": head, "signature": sign(head)})


def of_another_project(export: Ledger) -> None:
    record = export[3]["record"]
    record["project"] = "churn"
    rechained(export, 2)


def spoiled(export: Ledger) -> None:
    del export[3]["record"]["previous"]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (changed, {("changed", 3)}),
        (changed_with_its_digest, {("unlinked", 4), ("rewritten", 6)}),
        (changed_and_rechained, {("rewritten", 6)}),
        (removed, {("removed", 3), ("rewritten", 6)}),
        (removed_and_rechained, {("truncated", 6)}),
        (inserted, {("inserted", 3)}),
        (inserted_and_rechained, {("rewritten", 6)}),
        (reordered, {("reordered", 2)}),
        (reordered_and_rechained, {("rewritten", 2), ("rewritten", 6)}),
        (truncated, {("truncated", 5)}),
        (first_removed, {("removed", 1), ("rewritten", 2), ("rewritten", 6)}),
        (head_over_other_records, {("unsigned", 6)}),
        (head_by_another_key, {("unsigned", 6)}),
        (head_of_another_history, {("forked", 6)}),
        (of_another_project, {("foreign", 3), ("rewritten", 6)}),
        (spoiled, {("unreadable", None), ("removed", 3), ("rewritten", 6)}),
    ],
)
def test_tampering_is_found_and_named(
    tamper: Callable[[Ledger], None], expected: set[tuple[str, int | None]]
) -> None:
    export = ledger(2, 6)

    tamper(export)

    assert set(kinds(export)) == expected


@given(st.data())
def test_no_byte_of_a_record_can_be_changed(data: st.DataObject) -> None:
    export = ledger(6)
    record = export[data.draw(st.integers(1, 6))]["record"]
    name = data.draw(st.sampled_from(sorted(record)))
    old = record[name]
    record[name] = data.draw(st.one_of(st.text(), st.integers(), st.none()).filter(
        lambda new: new != old))  # fmt: skip

    assert kinds(export)


@given(st.integers(1, 40), st.data())
def test_a_record_is_shown_to_be_among_others_by_its_siblings(
    size: int, data: st.DataObject
) -> None:
    digests = [verifier.genesis(str(number)) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    root = verifier.root_of(digests)

    proof = verifier.inclusion_proof(digests, index)

    assert verifier.includes(digests[index], index, size, proof, root)
    assert len(proof) <= (size - 1).bit_length()
    wrong = data.draw(st.integers(0, size).filter(lambda place: place != index))
    assert not verifier.includes(digests[index], wrong, size, proof, root) or size == 1
    assert not verifier.includes(verifier.genesis("other"), index, size, proof, root)
    assert not verifier.includes(digests[index], index, size, [*proof, "00" * 32], root)
    if proof:
        assert not verifier.includes(digests[index], index, size, proof[:-1], root)


def test_the_tree_is_that_of_rfc_6962() -> None:
    """The vectors of the reference implementation are of leaves as bytes; ours are digests of 32.

    So the shape is compared with the recursive definition of section 2.1.
    """
    import hashlib

    def recursive(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\x00" + leaves[0]).digest()
        split = 1 << (len(leaves) - 1).bit_length() - 1
        left, right = recursive(leaves[:split]), recursive(leaves[split:])
        return hashlib.sha256(b"\x01" + left + right).digest()

    for size in range(1, 70):
        digests = [verifier.genesis(str(number)) for number in range(size)]
        assert verifier.root_of(digests) == recursive([bytes.fromhex(d) for d in digests]).hex()
    assert verifier.root_of([]) == hashlib.sha256(b"").hexdigest()


def test_a_signature_of_a_wrong_length_or_padding_is_none() -> None:
    key = verifier.public_key(DER)
    content = b"head"
    made = KEY.sign(content, padding.PKCS1v15(), hashes.SHA256())
    other_hash = KEY.sign(content, padding.PKCS1v15(), hashes.SHA384())

    assert verifier.is_signed(content, made, key)
    assert not verifier.is_signed(b"other", made, key)
    assert not verifier.is_signed(content, other_hash, key)
    assert not verifier.is_signed(content, made[:-1], key)
    assert not verifier.is_signed(content, b"\x00" + made, key)
    assert not verifier.is_signed(content, (key[0] + 1).to_bytes(384, "big"), key)


@pytest.mark.parametrize("der", [b"", b"\x30", DER[:-1], DER + b"\x00", b"\x30\x03\x02\x01\x05"])
def test_a_key_that_is_none_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        verifier.public_key(der)


def test_the_file_runs_alone(tmp_path: Path) -> None:
    """In a process without any package, from a folder where nothing of Steward lies."""
    assert verifier.__file__
    script = tmp_path / "verifier.py"
    script.write_bytes(Path(verifier.__file__).read_bytes())
    sound, broken = tmp_path / "sound.jsonl", tmp_path / "broken.jsonl"
    export = ledger(6)
    sound.write_text("\n".join(map(json.dumps, export)), encoding="utf-8")
    changed(export)
    broken.write_text("\n".join(map(json.dumps, export)), encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    fine, bad, absent = run(str(sound), "--json"), run(str(broken)), run(str(tmp_path / "none"))
    foreign = run(str(sound), "--key-sha256", "00")

    assert (fine.returncode, json.loads(fine.stdout)["findings"]) == (0, [])
    assert bad.returncode == 1
    assert bad.stdout.startswith("changed 3: its content has the digest")
    assert absent.returncode == 2
    assert foreign.returncode == 1
    assert "the key has the fingerprint" in foreign.stdout


def test_the_chain_goes_on_from_number_and_digest_alone() -> None:
    first = next_record(fact(1), None, recorded_at="t")
    second = next_record(fact(2), {"seq": 1, "digest": first["digest"]}, recorded_at="t")

    assert [first["seq"], second["seq"]] == [1, 2]
    assert first["previous"] == verifier.genesis("diabetes")
    assert second["previous"] == first["digest"]
    assert [first, second] == next_records([fact(1), fact(2)], None, recorded_at="t")


def test_clocks_of_writers_do_not_decide_the_order() -> None:
    early = next_record(fact(1), None, recorded_at="2026-11-29T11:00:00.000Z")
    late = next_record(fact(2), early, recorded_at="2026-11-29T10:00:00.000Z")
    export = [ledger()[0], {"record": early}, {"record": late}]

    assert kinds(export) == []


@pytest.mark.parametrize(
    "details", [{"text": "x" * 70_000}, {"number": float("nan")}], ids=["long", "nan"]
)
def test_what_is_too_long_or_no_json_is_refused(details: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as refused:
        next_record(fact(1, details=details), None, recorded_at="t")

    assert refused.value.field == "details"
