"""Verify an exported ledger with nothing but the standard library.

    python verifier.py EXPORT [--key-sha256 HEX] [--json]

This file stands alone: it imports nothing of Steward, so that an auditor can read it, keep it and
run it for as long as there is Python 3.9 or newer. The export is JSON Lines:

- one ``{"ledger": {...}}``: format, project, and the public key as base64 of its DER form;
- ``{"vector": {"message": ..., "signature": ...}}``: known answers that the key gave, so that a
  verifier which takes every signature for right or wrong is told from one that checks them;
- ``{"record": {...}}`` in the order of ``seq``. ``digest`` is the SHA-256 of the canonical JSON of
  all other members; ``previous`` is the digest of the record before, and of the text
  ``steward ledger PROJECT`` for the first;
- ``{"head": {...}, "signature": ...}``: how many records there were at a time, and the root of
  the Merkle tree over their digests, signed with RSASSA_PKCS1_V1_5_SHA_256 over canonical JSON.

A record that is changed, removed, inserted, put elsewhere or cut off breaks its own digest, the
chain or the numbers. Who rewrites the chain behind it as well meets the signed heads. The trees
are those of RFC 6962, section 2.1; the signature is that of RFC 8017, section 8.2.

What this cannot show: that a record which was never written is missing, and that the key is
Steward's. For the latter compare the fingerprint with one that came another way.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FORMAT = 1
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_RSA = bytes.fromhex("06092a864886f70d010101")


def canonical(value: object) -> bytes:
    """Return the one byte form of a JSON value."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def genesis(project: str) -> str:
    """Return what the first record of a project names as its predecessor."""
    return hashlib.sha256(f"steward ledger {project}".encode()).hexdigest()


def record_digest(record: dict[str, Any]) -> str:
    """Return the digest that a record must have."""
    body = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(canonical(body)).hexdigest()


def _leaf(digest: str) -> bytes:
    return hashlib.sha256(b"\x00" + bytes.fromhex(digest)).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A Merkle tree that grows at its end; holds the roots of its full subtrees only."""

    def __init__(self) -> None:
        self.size = 0
        self._full: list[bytes] = []

    def append(self, digest: str) -> None:
        """Take the digest of the next record."""
        node, size = _leaf(digest), self.size
        while size & 1:
            node = _node(self._full.pop(), node)
            size >>= 1
        self._full.append(node)
        self.size += 1

    @classmethod
    def resumed(cls, size: int, frontier: Sequence[str]) -> Tree:
        """Return the tree of ``size`` records whose full subtrees have these roots.

        Raises:
            ValueError: There are as many full subtrees as ``size`` has bits set, and no others.
        """
        if len(frontier) != size.bit_count():
            raise ValueError(f"{len(frontier)} subtrees are no tree of {size}")
        tree = cls()
        tree.size, tree._full = size, [bytes.fromhex(node) for node in frontier]
        return tree

    def frontier(self) -> list[str]:
        """Return the roots of the full subtrees, largest first: all that growing needs."""
        return [node.hex() for node in self._full]

    def root(self) -> str:
        """Return the root in hexadecimal; of no records it is the digest of nothing."""
        if not self._full:
            return hashlib.sha256(b"").hexdigest()
        node = self._full[-1]
        for left in reversed(self._full[:-1]):
            node = _node(left, node)
        return node.hex()


def root_of(digests: Iterable[str]) -> str:
    """Return the root over the digests of records."""
    tree = Tree()
    for digest in digests:
        tree.append(digest)
    return tree.root()


def inclusion_proof(digests: Sequence[str], index: int) -> list[str]:
    """Return the siblings from a record to the root, lowest first."""
    level = [_leaf(digest) for digest in digests]
    proof = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling].hex())
        pairs = range(0, len(level) - 1, 2)
        above = [_node(level[at], level[at + 1]) for at in pairs]
        level = above + level[len(level) - len(level) % 2 :]
        index >>= 1
    return proof


def includes(digest: str, index: int, size: int, proof: Sequence[str], root: str) -> bool:
    """Return whether a proof shows that a record is the ``index``-th (from 0) of ``size``."""
    if not 0 <= index < size:
        return False
    node, last, left = _leaf(digest), size - 1, list(proof)
    while last:
        if index & 1 or index != last:
            if not left:
                return False
            sibling = bytes.fromhex(left.pop(0))
            node = _node(sibling, node) if index & 1 else _node(node, sibling)
        index >>= 1
        last >>= 1
    return not left and node.hex() == root


def public_key(der: bytes) -> tuple[int, int]:
    """Return modulus and exponent of an RSA key as SubjectPublicKeyInfo.

    Raises:
        ValueError: It is none.
    """
    outer, rest = _read(der, 0x30)
    algorithm, outer = _read(outer, 0x30)
    bits, end = _read(outer, 0x03)
    if rest or end or not algorithm.startswith(_RSA) or bits[:1] != b"\x00":
        raise ValueError("the key is no RSA SubjectPublicKeyInfo")
    numbers, end = _read(bits[1:], 0x30)
    modulus, numbers = _read(numbers, 0x02)
    exponent, numbers = _read(numbers, 0x02)
    if end or numbers:
        raise ValueError("the key has bytes behind its end")
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


def _read(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the first DER element, and what follows it."""
    if len(der) < 2 or der[0] != tag:
        raise ValueError("the key is not DER as expected")
    size, start = der[1], 2
    if size & 0x80:
        start = 2 + (size & 0x7F)
        size = int.from_bytes(der[2:start], "big")
    if len(der) < start + size:
        raise ValueError("the key is cut off")
    return der[start : start + size], der[start + size :]


def is_signed(content: bytes, signature: bytes, key: tuple[int, int]) -> bool:
    """Return whether a signature over some bytes was made with the private half of a key."""
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        return False
    digest = _SHA256_PREFIX + hashlib.sha256(content).digest()
    padding = b"\xff" * (size - len(digest) - 3)
    expected = b"\x00\x01" + padding + b"\x00" + digest
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(size, "big"), expected)


class Verification:
    """What a ledger shows.

    ``findings`` are ``{"kind", "seq", "told"}``; none means that nothing is wrong. Kinds:
    ``unreadable``, ``changed``, ``removed``, ``inserted``, ``reordered``, ``unlinked``,
    ``truncated``, ``rewritten``, ``unsigned`` (a head whose signature is wrong), ``forked`` (two
    heads of one size), ``foreign`` (a record of another project).
    """

    def __init__(self, project: str | None = None, key: tuple[int, int] | None = None) -> None:
        self.project = project
        self.key = key
        self.fingerprint: str | None = None
        self.findings: list[dict[str, Any]] = []
        self.heads: list[tuple[int, str, str]] = []
        self._digests: list[str] = []
        self._seqs: list[int] = []
        self._previous: list[str] = []
        self._highest = 0
        self._changed: set[int] = set()

    def found(self, kind: str, seq: int | None, told: str) -> None:
        """Note what is wrong."""
        self.findings.append({"kind": kind, "seq": seq, "told": told})

    def add_key(self, text: str) -> None:
        """Take the public key of the export.

        Raises:
            ValueError: It is no RSA key.
        """
        der = base64.b64decode(text, validate=True)
        self.fingerprint = hashlib.sha256(der).hexdigest()
        self.key = public_key(der)

    def add_record(self, record: dict[str, Any]) -> None:
        """Take the next record of the file."""
        try:
            seq, stated, previous = record["seq"], record["digest"], record["previous"]
            bytes.fromhex(stated)
            bytes.fromhex(previous)
            if type(seq) is not int or seq < 1 or len(stated) != 64:
                raise ValueError("seq or digest")
            made = record_digest(record)
        except (KeyError, TypeError, ValueError) as error:
            self.found("unreadable", None, f"a record lacks or spoils {error}")
            return
        if self.project is not None and record.get("project") != self.project:
            self.found("foreign", seq, f"it is of project {record.get('project')}")
        if made != stated:
            self.found("changed", seq, f"its content has the digest {made}, not {stated}")
            self._changed.add(seq)
        if seq < self._highest:
            self.found("reordered", seq, f"it stands behind record {self._highest}")
        self._highest = max(self._highest, seq)
        self._seqs.append(seq)
        self._digests.append(stated)
        self._previous.append(previous)

    def add_vector(self, vector: dict[str, Any]) -> None:
        """Take a known answer of the key: it must be right, and wrong for any other message.

        Raises:
            ValueError: It is none.
        """
        message, signature = vector["message"].encode(), base64.b64decode(vector["signature"])
        right = self.key is not None and is_signed(message, signature, self.key)
        if not right or (self.key and is_signed(message + b"\x00", signature, self.key)):
            self.found("unsigned", None, "a known answer of the key is not confirmed")

    def add_head(self, head: dict[str, Any], signature: str) -> None:
        """Take a signed head."""
        try:
            size, root = head["size"], head["root"]
            made = base64.b64decode(signature, validate=True)
            if type(size) is not int or size < 0 or not isinstance(root, str):
                raise ValueError("size or root")
            signed = self.key is not None and is_signed(canonical(head), made, self.key)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            self.found("unreadable", None, f"a head lacks or spoils {error}")
            return
        if self.project is not None and head.get("project") != self.project:
            self.found("foreign", size, f"a head is of project {head.get('project')}")
        if not signed:
            self.found("unsigned", size, f"the head over {size} records is not signed by the key")
            return
        self.heads.append((size, root, str(head.get("at"))))

    def finish(self) -> Verification:
        """Compare numbers, chain and heads; return self."""
        order = sorted(range(len(self._seqs)), key=lambda at: self._seqs[at])
        kept: list[int] = []
        for at in order:
            if kept and self._seqs[kept[-1]] == self._seqs[at]:
                self.found("inserted", self._seqs[at], "there are two records of this number")
            else:
                kept.append(at)
        self._numbers(kept)
        self._heads(kept)
        return self

    def _numbers(self, kept: list[int]) -> None:
        before, digest = 0, genesis(self.project) if self.project is not None else None
        for at in kept:
            seq = self._seqs[at]
            if seq > before + 1:
                lost = f"record {before + 1} is"
                if seq > before + 2:
                    lost = f"records {before + 1} to {seq - 1} are"
                self.found("removed", before + 1, f"{lost} missing")
            elif (
                digest is not None and self._previous[at] != digest and before not in self._changed
            ):
                told = f"it follows a record {self._previous[at]}, and {digest} stands before it"
                self.found("unlinked", seq, told)
            before, digest = seq, self._digests[at]

    def _heads(self, kept: list[int]) -> None:
        tree, at = Tree(), 0
        roots: dict[int, str] = {}
        longest = self._seqs[kept[-1]] if kept else 0
        for size, root, when in sorted(self.heads, key=lambda head: head[0]):
            if roots.setdefault(size, root) != root:
                self.found("forked", size, f"two heads over {size} records have different roots")
                continue
            if size > longest:
                told = f"on {when} there were {size} records, and {longest} are here"
                self.found("truncated", longest + 1, told)
                continue
            while at < len(kept) and self._seqs[kept[at]] <= size:
                tree.append(self._digests[kept[at]])
                at += 1
            if tree.root() != root:
                told = f"the first {size} records are not those of the head of {when}"
                self.found("rewritten", size, told)

    @property
    def records(self) -> int:
        """How many records were read."""
        return len(self._seqs)

    @property
    def signed(self) -> int:
        """How many of the first records a signed head covers."""
        return max((size for size, _, _ in self.heads), default=0)


def verify_export(lines: Iterable[str]) -> Verification:
    """Verify an export, given as lines of text; return a Verification."""
    checked = Verification()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if number == 1:
                ledger = entry["ledger"]
                if ledger["format"] != FORMAT:
                    raise ValueError(f"format {ledger['format']}")
                checked.project = ledger["project"]
                checked.add_key(ledger["public_key"])
            elif "record" in entry:
                checked.add_record(entry["record"])
            elif "vector" in entry:
                checked.add_vector(entry["vector"])
            else:
                checked.add_head(entry["head"], entry["signature"])
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            checked.found("unreadable", None, f"line {number}: {error}")
    return checked.finish()


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a file, print what is found, and return the exit code: 0 sound, 1 not, 2 no file."""
    parser = argparse.ArgumentParser(description="Verify an exported ledger of Steward.")
    parser.add_argument("export", help="file written by: steward audit export PROJECT")
    parser.add_argument("--key-sha256", help="fingerprint that the key must have")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(arguments)
    try:
        with Path(given.export).open(encoding="utf-8") as file:
            checked = verify_export(file)
    except (OSError, UnicodeDecodeError) as error:
        print(f"cannot read {given.export}: {error}", file=sys.stderr)
        return 2
    wanted = given.key_sha256
    if wanted and wanted.lower() != checked.fingerprint:
        checked.found("unsigned", None, f"the key has the fingerprint {checked.fingerprint}")
    if given.json:
        print(json.dumps({
            "project": checked.project, "records": checked.records, "signed": checked.signed,
            "key_sha256": checked.fingerprint, "findings": checked.findings,
        }))  # fmt: skip
        return 1 if checked.findings else 0
    for finding in checked.findings:
        where = "" if finding["seq"] is None else f" {finding['seq']}"
        print(f"{finding['kind']}{where}: {finding['told']}")
    counts = f"{checked.records} records, {checked.signed} of them under a signed head"
    print(f"{checked.project}: {counts}, {len(checked.findings)} findings")
    print(f"key {checked.fingerprint}{'' if wanted else ' (compare it with a trusted one)'}")
    return 1 if checked.findings else 0


if __name__ == "__main__":
    sys.exit(main())
