"""The job image: the packages that the tests ran with, and no more of Steward than it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.job_container import ROOT

DOCKERFILE = (ROOT / "jobs" / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_installs_exactly_the_locked_requirements() -> None:
    copy = (ROOT / "jobs" / "requirements.txt").read_bytes()
    assert copy == (ROOT / "requirements" / "jobs.txt").read_bytes()
    assert "--require-hashes" in DOCKERFILE


def test_the_base_image_has_the_locked_python_and_comes_from_the_public_ecr() -> None:
    (base,) = re.findall(r"ARG BASE_IMAGE=(\S+)", DOCKERFILE)
    assert base.startswith("public.ecr.aws/")
    assert f"python:3.{sys.version_info.minor}-" in base


def test_all_that_the_image_copies_exists() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.M)
    assert len(copied) == 4
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("command", ["train", "evaluate", "serve", "predict", "card"])
def test_a_command_imports_nothing_that_the_image_lacks(command: str) -> None:
    locked = (ROOT / "requirements" / "jobs.txt").read_text(encoding="utf-8")
    allowed = {name.replace("-", "_") for name in re.findall(r"^([a-z0-9-]+)==", locked, re.M)}
    probe = (
        f"import sys, importlib; importlib.import_module('steward_jobs.{command}')\n"
        "import steward.domain.comparison, steward.domain.predictions\n"
        "files = (getattr(m, '__file__', None) or '' for m in list(sys.modules.values()))\n"
        "inside = (f.split('site-packages/')[1] for f in files if 'site-packages' in f)\n"
        "print(*{name.split('/')[0] for name in inside})"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    found = {Path(name).stem for name in done.stdout.split()}
    assert found - {"_virtualenv", "_distutils_hack"} <= allowed


@pytest.mark.parametrize("command", ["train", "serve", "predict"])
def test_short_lived_commands_import_neither_numpy_nor_pydantic(command: str) -> None:
    probe = (
        f"import sys, steward_jobs.{command}\n"
        "print(*(set(sys.modules) & {'numpy', 'pydantic', 'sklearn', 'boto3'}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_command_is_refused_with_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steward_jobs", "tune"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "must be one of train, evaluate, serve, card, test, rehearse, not 'tune'" in done.stderr
