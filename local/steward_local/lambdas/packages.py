"""Unpacked code and layers, kept by content, and the packages of the real runtime."""

import hashlib
import importlib.metadata
import importlib.util
import io
import os
import shutil
import tempfile
import threading
import time
import zipfile
from pathlib import Path

# What Lambda's python3.11 image has in /var/runtime beside the interpreter's own modules.
RUNTIME_MODULES = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")
_RUNTIME_DISTRIBUTIONS = (
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "urllib3",
    "python-dateutil",
    "six",
)
_UNUSED_AFTER_SECONDS = 14 * 24 * 3600
_lock = threading.Lock()


def cache_dir() -> Path:
    """Return the directory that outlives the engine: unpacked archives and compiled modules."""
    return Path(os.environ["STEWARD_STATE_DIR"]) / "cache"


def unpacked(archive: bytes) -> Path:
    """Return the directory of a zip archive's content, unpacked once for all that share it."""
    folder = cache_dir() / "code" / hashlib.sha256(archive).hexdigest()[:32]
    with _lock:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix="new-"))
            with zipfile.ZipFile(io.BytesIO(archive)) as content:
                content.extractall(fresh)
            fresh.rename(folder)
        os.utime(folder)
    return folder


def drop_unused() -> None:
    """Remove what no function has used for a fortnight, and what a killed engine left half done."""
    now = time.time()
    for folder in (cache_dir() / "code").glob("*"):
        if folder.name.startswith("new-") or now - folder.stat().st_mtime > _UNUSED_AFTER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            compiled = cache_dir() / "compiled" / folder.resolve().relative_to("/")
            shutil.rmtree(compiled, ignore_errors=True)


def link_runtime() -> Path:
    """Link the SDK of this environment into a directory of its own and return that.

    The function sees these packages and its layers, and nothing else of this environment.
    """
    folder = cache_dir() / "runtime"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in RUNTIME_MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"The runtime's module {name} is not installed", name=name)
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    for name in _RUNTIME_DISTRIBUTIONS:
        metadata = Path(str(importlib.metadata.distribution(name).locate_file(""))).glob(
            f"{name.replace('-', '_')}-*.dist-info"
        )
        for source in metadata:
            (folder / source.name).symlink_to(source)
    return folder
