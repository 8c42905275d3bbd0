"""A project's folder: ``project.yaml`` and the source that trains and serves."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from steward.domain.errors import InvalidProjectError, ReleaseNotAllowedError
from steward.domain.project import Project, parse_project
from steward.domain.strategies import plan_for
from steward.domain.tables import Table
from steward_cli.console import CommandError, Exit, rejected

_SKIPPED = {"__pycache__", ".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
_MAXIMUM_BYTES = 50 * 1024 * 1024


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
        _check_by_the_engine(project)
        features = [column.name for column in project.model_features]
        plan_for(project.release, project.serving.router, features, first=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{declaration}:{mark.line + 1}:{mark.column + 1}" if mark else str(declaration)
        raise CommandError(f"{where}: {getattr(error, 'problem', error)}", Exit.USAGE) from None
    except (InvalidProjectError, ReleaseNotAllowedError) as error:
        raise rejected(error, Exit.USAGE, str(declaration)) from None
    code = source or folder / project.training.source
    if not (code / project.training.entry_point).is_file():
        raise CommandError(
            f"{code / project.training.entry_point} is missing", Exit.NOT_FOUND,
            "training.source and training.entry_point in project.yaml name it",
        )  # fmt: skip
    archive = pack(code)
    return Source(project, declared, archive, hashlib.sha256(archive).hexdigest())


def _check_by_the_engine(project: Project) -> None:
    """Let the engine read every pattern and bind every expression to its columns.

    Raises:
        InvalidProjectError: With the path of the first one that does not fit.
    """
    tables: dict[str, Table] = {"data": project.data}
    tables |= {f"data.sources.{name}": table for name, table in project.data.sources.items()}
    asked = {
        path: table
        for path, table in tables.items()
        if table.rules or any(column.pattern for column in table.columns)
    }
    if not asked and not project.feature_groups:
        # The engine takes a moment to load; such a project needs it for nothing.
        return
    import duckdb

    from steward.domain.column_rules import check_table
    from steward.domain.feature_transforms import check_expressions

    with duckdb.connect() as connection:
        for path, table in asked.items():
            check_table(connection, table, path)
        check_expressions(connection, project)


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
    """Return a folder as tar.gz whose bytes depend on names, modes and contents alone."""
    buffer = io.BytesIO()
    size = 0
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if not path.is_file() or _SKIPPED.intersection(inside.parts):
                continue
            content = path.read_bytes()
            size += len(content)
            if size > _MAXIMUM_BYTES:
                raise CommandError(
                    f"{folder} holds more than {_MAXIMUM_BYTES >> 20} MiB", Exit.USAGE,
                    "code only: data goes into the data bucket, weights into the model",
                )  # fmt: skip
            entry = tarfile.TarInfo(inside.as_posix())
            entry.size = len(content)
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
