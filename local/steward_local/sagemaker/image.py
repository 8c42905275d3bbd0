"""Images that run here: the local jobs, by the digest of their code, and those registered.

`images.json` in the state directory may name further images, each with the Python module that
stands for it: `{"registry/name:tag": {"module": "my_jobs", "pythonpath": "/somewhere"}}`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import steward
import steward_jobs
from steward_local.sagemaker import settings

REPOSITORY = "local/steward-jobs"
REGISTERED = "images.json"


@dataclass(frozen=True)
class Runner:
    """The Python module whose `train`, `evaluate` and `serve` stand for an image."""

    module: str
    pythonpath: str = ""


def _content(root: Path) -> list[tuple[str, Path]]:
    return sorted(
        (str(path.relative_to(root)), path)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


def local_image_digest() -> str:
    """SHA-256 over the names and contents of `jobs/` and of `steward.domain`."""
    jobs = Path(steward_jobs.__file__).parent.parent
    domain = Path(steward.__file__).parent / "domain"
    digest = hashlib.sha256()
    for label, root in (("jobs", jobs), ("domain", domain)):
        for name, path in _content(root):
            content = path.read_bytes()
            digest.update(f"{label}/{name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def local_image_uri() -> str:
    """The image that the embedded SageMaker runs, pinned by its digest."""
    return f"{REPOSITORY}@sha256:{local_image_digest()}"


def runner_of(uri: str) -> Runner | None:
    """What runs an image here, or None when ECR would not find it."""
    if uri.endswith(f"@sha256:{local_image_digest()}"):
        return Runner("steward_jobs")
    file = settings.current().state / REGISTERED
    known = json.loads(file.read_text()) if file.is_file() else {}
    return Runner(**known[uri]) if uri in known else None
