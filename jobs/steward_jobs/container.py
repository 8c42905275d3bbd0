"""The container as SageMaker lays it out: folders, log lines, the text of a failure."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

MAX_FAILURE_CHARACTERS = 1024
"""What SageMaker shows of a failure or exit message."""


class JobError(Exception):
    """The job cannot be done; the message says why, for the person who reads the job's status."""


def base_dir() -> Path:
    """Return the folder that SageMaker mounts as ``/opt/ml``."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def log(event: str, **fields: object) -> None:
    """Print one structured line: a JSON object that starts with what happened."""
    line = json.dumps({"event": event, **fields}, default=str)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_failure(reason: str, *file_names: str) -> None:
    """Leave the reason where SageMaker looks for it, below ``output/``.

    Training reads ``failure``, processing reads ``message``; the end of a long reason is kept,
    since that is where Python says what went wrong.
    """
    folder = base_dir() / "output"
    folder.mkdir(parents=True, exist_ok=True)
    for name in file_names:
        (folder / name).write_text(reason[-MAX_FAILURE_CHARACTERS:], encoding="utf-8")


def only_archive(folder: Path) -> Path:
    """Return the one ``.tar.gz`` of a folder.

    Raises:
        JobError: There is none, or more than one.
    """
    found = sorted(folder.glob("*.tar.gz"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise JobError(f"{folder} must hold exactly one .tar.gz, found: {names}")
    return found[0]


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive; members that would leave ``target`` or are no files are refused.

    Raises:
        JobError: The archive is broken or holds such a member.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _extract(tar, member, target.resolve())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise JobError(f"{archive.name} cannot be unpacked: {error}") from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    # By hand: the filter "data" came with Python 3.11.4, and Debian 12 has 3.11.2.
    path = (target / member.name).resolve()
    if not path.is_relative_to(target) or not (member.isfile() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name} leaves the folder or is no file")
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
