"""The job that makes a card's PDF, in its own process as SageMaker starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steward_jobs.card_pdf import pdf
from support.card_scene import card, evidence, explanation


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steward_jobs", "card"], capture_output=True, text=True,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(folder)}, check=False,
    )  # fmt: skip


def put(folder: Path, content: bytes) -> Path:
    source = folder / "processing" / "card"
    source.mkdir(parents=True)
    (source / "card.json").write_bytes(content)
    return folder / "processing" / "output" / "card.pdf"


def test_a_card_becomes_a_pdf(tmp_path: Path) -> None:
    target = put(tmp_path, card().content())
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes().startswith(b"%PDF-")
    assert target.read_bytes() == pdf(card())


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_no_card_is_refused_with_its_reason(tmp_path: Path, content: bytes) -> None:
    target = put(tmp_path, content)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "card/card.json is no card" in done.stdout + done.stderr
    assert not target.exists()


def test_the_longest_card_with_markup_is_a_pdf_too() -> None:
    documents = evidence()
    documents["explanation"] = explanation(40)
    documents["evaluation"]["slices"][0]["value"] = "<b>&amp;</para>\x00"
    made = card(documents=documents, declared={"purpose": "<font color=red>" + "x" * 1900})
    assert pdf(made, "Draft").startswith(b"%PDF-")
