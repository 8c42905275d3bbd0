"""A project as its files: ``project.yaml``, ``features/*.yaml``, ``risk.yaml`` and the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.domain.built_in.source import built_in_files
from steward.domain.errors import InvalidProjectError, ReleaseNotAllowedError
from steward.domain.source_archives import Files, SourceFile, below

if TYPE_CHECKING:
    from steward.domain.project import Project
    from steward.domain.tables import Table
    from steward.domain.training_declaration import Training

DECLARATION, RISK, FEATURES = "project.yaml", "risk.yaml", "features"


@dataclass(frozen=True)
class ProjectFiles:
    """A project that is valid in itself.

    Attributes:
        code: What trains and answers: of the folder that is named, or the built-in model's.
        tests: Whether the folder that ``integration.tests`` names holds a test.
    """

    project: Project
    code: Files
    tests: bool


def read_project(files: Files) -> ProjectFiles:
    """Return the project that these files are.

    Raises:
        InvalidProjectError: A file is missing or no YAML, a key is not valid, or its releases
            could not be played; ``field`` names the file, or the path of the key.
    """
    from steward.domain.project import parse_project
    from steward.domain.strategies import plan_for

    project = parse_project(declaration_of(files))
    try:
        check_by_the_engine(project)
        features = [column.name for column in project.model_features]
        plan_for(project.release, project.serving.router, features, first=False)
    except ReleaseNotAllowedError as refused:
        raise InvalidProjectError(
            refused.message, field=refused.field, value=refused.value, allowed=refused.allowed
        ) from None
    code = _code_of(files, project.training)
    folder = project.integration.tests
    found = below(files, folder) if folder else {}
    tests = any(name.rpartition("/")[2].startswith("test_") for name in found)
    return ProjectFiles(project, code, tests)


def _code_of(files: Files, training: Training) -> Files:
    """Return the files of the folder that is named, of ``src``, or else the built-in model's.

    Raises:
        InvalidProjectError: What trains or what answers is missing.
    """
    folder = training.source or "src"
    code = below(files, folder)
    if training.source is None and training.entry_point not in code:
        code = {name: SourceFile(content) for name, content in built_in_files().items()}
    for needed in (training.entry_point, "inference.py"):
        if needed not in code:
            raise InvalidProjectError(
                f"{folder}/{needed} is missing", field="training.source", value=training.source,
                allowed=f"a folder with {training.entry_point} and inference.py",
            )  # fmt: skip
    return code


def declaration_of(files: Files) -> dict[str, Any]:
    """Return what the files declare, as one mapping."""
    declared = _yaml(files, DECLARATION)
    if not isinstance(declared, dict):
        raise InvalidProjectError(
            f"{DECLARATION} is not a mapping", field=DECLARATION, allowed="a mapping of sections"
        )
    groups = []
    for name in sorted(below(files, FEATURES)):
        if "/" in name or not name.endswith(".yaml"):
            continue
        path = f"{FEATURES}/{name}"
        group = _yaml(files, path)
        named = group.get("feature_group") if isinstance(group, dict) else None
        if named != name.removesuffix(".yaml"):
            raise InvalidProjectError(
                f"{path}: feature_group is {named!r}", field=path, value=named,
                allowed=repr(name.removesuffix(".yaml")),
            )  # fmt: skip
        groups.append(group)
    declared = {**declared, "feature_groups": groups}
    if RISK in files:
        if declared.get("risk") is not None:
            raise InvalidProjectError(
                f"{RISK}: project.yaml has the section risk too", field=RISK,
                allowed="one of them",
            )  # fmt: skip
        declared["risk"] = _yaml(files, RISK)
    return declared


def _yaml(files: Files, path: str) -> Any:
    import yaml  # needed when a commit or a folder is read, and by nothing else

    if path not in files:
        raise InvalidProjectError(
            f"{path} is missing", field=path, allowed="a project, as `steward project new` makes it"
        )
    try:
        return yaml.safe_load(files[path].content.decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise InvalidProjectError(
            f"{where}: {getattr(error, 'problem', None) or error}", field=where, allowed="YAML"
        ) from None


def check_by_the_engine(project: Project) -> None:
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
