"""A project's folder: ``project.yaml`` and the source that trains and serves."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import yaml

from steward.domain.built_in.source import DOORWAYS, built_in_files
from steward.domain.errors import (
    ArchiveRefusedError,
    InvalidProjectError,
    ReleaseNotAllowedError,
)
from steward.domain.project import Project, parse_project
from steward.domain.source_archives import (
    MAX_CODE_BYTES,
    SKIPPED,
    Files,
    SourceFile,
    canonical_archive,
)
from steward.domain.strategies import plan_for
from steward.service.training.project_files import check_by_the_engine
from steward_cli.console import CommandError, Exit, rejected


@dataclass(frozen=True)
class Source:
    """A project as it lies in a folder, ready to be pushed.

    Attributes:
        project: The valid declaration.
        declared: ``project.yaml`` with ``features/*.yaml`` as ``feature_groups`` and ``risk.yaml``
            as ``risk``, parsed.
        archive: The source as a gzipped tar; the same files give the same bytes.
        sha256: Digest of the archive.
    """

    project: Project
    declared: dict[str, object]
    archive: bytes
    sha256: str


def read_source(folder: Path, source: Path | None = None) -> Source:
    """Read and check a project folder.

    Args:
        folder: Holds ``project.yaml``.
        source: The code to take instead of the folder that ``training.source`` names.

    Raises:
        CommandError: A file is missing, ``project.yaml`` is not valid, or its releases could
            not be played or judged.
    """
    declaration = folder / "project.yaml"
    if not declaration.is_file():
        raise CommandError(
            f"{declaration} is missing", Exit.NOT_FOUND, "make one: steward project new NAME"
        )
    try:
        declared = yaml.safe_load(declaration.read_text(encoding="utf-8"))
        if isinstance(declared, dict):
            declared = {**declared, "feature_groups": read_feature_groups(folder / "features")}
            declared |= _read_risk(folder, declared)
        project = parse_project(declared)
        check_by_the_engine(project)
        features = [column.name for column in project.model_features]
        plan_for(project.release, project.serving.router, features, first=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{declaration}:{mark.line + 1}:{mark.column + 1}" if mark else str(declaration)
        raise CommandError(f"{where}: {getattr(error, 'problem', error)}", Exit.USAGE) from None
    except (InvalidProjectError, ReleaseNotAllowedError) as error:
        raise rejected(error, Exit.USAGE, str(declaration)) from None
    archive = _code_of(folder, project, source)
    return Source(project, declared, archive, hashlib.sha256(archive).hexdigest())


def _code_of(folder: Path, project: Project, source: Path | None) -> bytes:
    """Return the packed source: the folder named, ``src``, or else the built-in model's code.

    Raises:
        CommandError: The entry point is missing.
    """
    training = project.training
    named = source or folder / (training.source or "src")
    if source is None and training.source is None and not (named / training.entry_point).is_file():
        if training.entry_point not in DOORWAYS:
            raise CommandError(
                f"{named / training.entry_point} is missing", Exit.NOT_FOUND,
                "training.entry_point: allowed without a source: train.py, of the built-in model",
            )  # fmt: skip
        return canonical_archive(
            {name: SourceFile(content, False) for name, content in built_in_files().items()}
        )
    if not (named / training.entry_point).is_file():
        raise CommandError(
            f"{named / training.entry_point} is missing", Exit.NOT_FOUND,
            "training.source and training.entry_point in project.yaml name it",
        )  # fmt: skip
    return pack(named)


def _read_risk(folder: Path, declared: dict[str, object]) -> dict[str, object]:
    """Return the answers of ``risk.yaml`` as a section, where there is such a file.

    Raises:
        CommandError: ``project.yaml`` answers as well.
        yaml.YAMLError: The file is no YAML.
    """
    path = folder / "risk.yaml"
    if not path.is_file():
        return {}
    if declared.get("risk") is not None:
        raise CommandError(
            f"{path}: project.yaml has the section risk too", Exit.USAGE, "allowed: one of them"
        )
    return {"risk": yaml.safe_load(path.read_text(encoding="utf-8"))}


def read_feature_groups(folder: Path) -> list[object]:
    """Return the feature groups that ``features/*.yaml`` declare, one a file, by file name.

    Raises:
        CommandError: A file does not name the group that it declares.
        yaml.YAMLError: A file is no YAML.
    """
    groups: list[object] = []
    for path in sorted(folder.glob("*.yaml")):
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = declared.get("feature_group") if isinstance(declared, dict) else None
        if name != path.stem:
            raise CommandError(
                f"{path}: feature_group is {name!r}", Exit.USAGE, f"allowed: {path.stem!r}"
            )
        groups.append(declared)
    return groups


def pack(folder: Path) -> bytes:
    """Return a folder as the one canonical tar.gz: the same files give the same bytes.

    Raises:
        CommandError: It holds more than code may, or a path that no archive takes.
    """
    files: Files = {}
    size = 0
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if not path.is_file() or SKIPPED.intersection(inside.parts):
            continue
        size += path.stat().st_size
        if size > MAX_CODE_BYTES:
            raise CommandError(
                f"{folder} holds more than {MAX_CODE_BYTES >> 20} MiB", Exit.USAGE,
                "code only: data goes into the data bucket, weights into the model",
            )  # fmt: skip
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        files[inside.as_posix()] = SourceFile(path.read_bytes(), executable)
    try:
        return canonical_archive(files)
    except ArchiveRefusedError as refused:
        raise rejected(refused, Exit.USAGE, str(folder)) from None
