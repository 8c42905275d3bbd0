"""The layers as Lambda unpacks them: wheels for its platform beside the first-party package."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.templates import ROOT

LAMBDA_GLIBC = (2, 26)
# What pip may take for Lambda's Amazon Linux 2: any glibc up to that, by new and old names.
_PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in range(LAMBDA_GLIBC[1], 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
]


def unpacked(layer: str) -> Path:
    """Return a folder with what the layer puts into /opt/python, made once for each lock."""
    lock = ROOT / "layers" / layer / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes() + repr(_PLATFORMS).encode()).hexdigest()[:16]
    goal = ROOT / ".tools" / "layers" / f"{layer}-{digest}"
    if not goal.is_dir():
        # Several processes may find it missing at once: each makes its own, the first one counts.
        making = goal.with_name(f"{goal.name}.{os.getpid()}")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile"),
                *("--implementation", "cp", "--python-version", "3.11"),
                *(option for name in _PLATFORMS for option in ("--platform", name)),
                *("--target", str(making), "--requirement", str(lock)),
            ],
            check=True,
        )
        try:
            making.rename(goal)
        except OSError:
            if not goal.is_dir():
                raise
            shutil.rmtree(making)
    return goal


def layers_of(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the layers of a function as a template declares it."""
    return ("core", "analytics") if "Layers" in properties else ("core",)


def link_sdk(folder: Path) -> Path:
    """Fill a folder with boto3 and its parts alone, as Lambda's runtime brings them."""
    packages = Path(sysconfig.get_paths()["purelib"])
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py"):
        (folder / name).symlink_to(packages / name)
    return folder


def run_like_lambda(
    code: str,
    function: Path,
    sdk: Path,
    layers: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run code where only a function's code, its layers, boto3 and Python itself are found.

    Args:
        environment: All variables; the region alone where there is none.

    Returns:
        What the code printed.
    """
    library = sysconfig.get_paths()["stdlib"]
    path = [
        *(str(function), *(str(unpacked(layer)) for layer in layers)),
        *(str(ROOT / "layers" / "core"), str(sdk), library, f"{library}/lib-dynload"),
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {json.dumps(path)}\n{code}"],
        capture_output=True, text=True, check=False,
        env=dict(environment or {"AWS_REGION": "us-east-1"}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
