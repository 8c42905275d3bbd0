"""Columns that cannot be declared as they are called: plain names for them, and a copy with those.

A file is never changed in place. Names are kept as JSON, old to new, so that the next delivery is
renamed as the first was.
"""

from __future__ import annotations

import csv
import filecmp
import gzip
import io
import json
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from steward_cli.console import CommandError, Exit, rejected
from steward_cli.first_file import names_in

RECORD = "renamed-columns.json"
_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_LONGEST = 60
"""Room is left for the number of a name that is there twice."""


@dataclass(frozen=True)
class Renamed:
    """A file whose columns can be declared.

    Attributes:
        names: New by old name; empty where none had to change.
        file: The file, or its copy with the new names.
    """

    names: dict[str, str]
    file: Path | None

    def new(self, name: str | None) -> Any:
        """Return what a column that a person named is called in the file."""
        return name if name is None else self.names.get(name, name)

    def kept_beside(self, original: Path) -> Renamed:
        """Put the copy beside the original, where people find it.

        Raises:
            CommandError: Another file has its name.
        """
        if not self.names or self.file is None:
            return self
        goal = copy_beside(original)
        if goal.exists() and not filecmp.cmp(goal, self.file, shallow=False):
            raise CommandError(
                f"{goal} exists, and holds something else", Exit.CONFLICT, "move it away first"
            )
        shutil.move(self.file, goal)
        return Renamed(self.names, goal)


def renamed_in(
    file: Path, folder: Path, *, wanted: bool = True, names: Mapping[str, str] | None = None
) -> Renamed:
    """Return a file with plain names, as a copy in ``folder`` where any has to change.

    Args:
        file: As people have it.
        folder: For the copy.
        wanted: Whether names may be changed.
        names: New by old name, where that is agreed; else they are made.

    Raises:
        CommandError: Names would have to change and may not, or the file cannot be read.
    """
    from steward.domain.errors import UnreadableFileError
    from steward.domain.schema_suggestion import format_of

    there = names_in(file)
    if names is None:
        new = plain_names(there)
    else:
        new = {old: name for old, name in names.items() if old in there}
    if clash := sorted(set(new.values()) & set(there)):
        raise CommandError(
            f"{file} has {clash[0]} beside the column that becomes it", Exit.USAGE,
            "leave one of them out",
        )  # fmt: skip
    if not new:
        return Renamed({}, file)
    if not wanted and len(there) > 1:
        told = ", ".join(map(repr, list(new)[:10]))
        raise CommandError(
            f"{file.name} has columns without plain names: {told}", Exit.USAGE,
            "allowed: letters, digits and underscores, no digit first; --rename writes a copy "
            f"with such names ({', '.join(list(new.values())[:5])})",
        )  # fmt: skip
    try:
        kind = format_of(file)
    except UnreadableFileError as error:
        raise rejected(error, Exit.USAGE, str(file)) from None
    copy = folder / copy_beside(file).name
    if wanted:
        write_renamed(file, kind, new, copy)
        return Renamed(new, copy)
    return Renamed({}, file)


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return a plain name for each name that has none; the same names give the same ones.

    Letters lose their accents and case, all else between words is one underscore. No name that
    is there is taken twice, whatever its case: engines of SQL tell none apart by it.
    """
    given = list(names)
    taken = {name.casefold() for name in given if _PLAIN.match(name)}
    found: dict[str, str] = {}
    for name in given:
        if _PLAIN.match(name):
            continue
        wanted, number = _plain(name), 1
        new = wanted
        while new in taken:
            number += 1
            new = f"{wanted}_{number}"
        taken.add(new)
        found[name] = new
    return found


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "_", text).strip("_")[:_LONGEST]
    if not text:
        return "column"
    return f"c_{text}" if text[0].isdigit() else text


def copy_beside(file: Path) -> Path:
    """Return where the copy of a file goes: ``march.csv.gz`` becomes ``march.renamed.csv.gz``."""
    endings = "".join(suffix for suffix in file.suffixes if _is_ending(suffix))
    return file.with_name(f"{file.name.removesuffix(endings)}.renamed{endings}")


def _is_ending(suffix: str) -> bool:
    return suffix.lower() in (".csv", ".jsonl", ".ndjson", ".parquet", ".gz")


def write_renamed(file: Path, kind: str, names: Mapping[str, str], out: Path) -> None:
    """Write a copy of a file with other names for some columns; values are left as they are.

    Args:
        file: CSV, JSON Lines (each also gzipped) or Parquet.
        kind: ``csv``, ``jsonl`` or ``parquet``.
        names: New by old name; a column that the file has not is no matter.
        out: Where it goes.
    """
    if kind == "parquet":
        _parquet(file, names, out)
        return
    packed = _is_packed(file)
    with _text(file, "rb", packed) as read, _text(out, "wb", packed) as write:
        if kind == "csv":
            _csv(read, write, names)
        else:
            _jsonl(read, write, names)


def _is_packed(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


@contextmanager
def _text(file: Path, mode: Literal["rb", "wb"], packed: bool) -> Iterator[TextIO]:
    """Open a file as text whose line ends and odd bytes are left as they are."""
    encoding = "utf-8-sig" if mode == "rb" else "utf-8"
    with file.open(mode) as stream, ExitStack() as opened:
        plain = opened.enter_context(gzip.GzipFile(fileobj=stream, mode=mode)) if packed else stream
        yield opened.enter_context(
            io.TextIOWrapper(plain, encoding=encoding, errors="surrogateescape", newline="")
        )


def _csv(read: TextIO, write: TextIO, names: Mapping[str, str]) -> None:
    """Write the header anew and everything after it as it is."""
    last = "\n"

    def lines() -> Iterable[str]:
        nonlocal last
        while line := read.readline():
            last = line
            yield line

    header = next((cells for cells in csv.reader(lines()) if cells), [])
    ending = "\r\n" if last.endswith("\r\n") else "\n"
    csv.writer(write, lineterminator=ending).writerow([names.get(name, name) for name in header])
    shutil.copyfileobj(read, write)


def _jsonl(read: TextIO, write: TextIO, names: Mapping[str, str]) -> None:
    for line in read:
        if not line.strip():
            continue
        row = json.loads(line)
        renamed = {names.get(name, name): value for name, value in row.items()}
        write.write(json.dumps(renamed, ensure_ascii=False) + "\n")


def _parquet(file: Path, names: Mapping[str, str], out: Path) -> None:
    import duckdb

    from steward.domain.workspace import identifier, literal

    with duckdb.connect() as connection:
        source = f"read_parquet({literal(str(file))})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
        columns = ", ".join(
            f"{identifier(str(row[0]))} AS {identifier(names.get(str(row[0]), str(row[0])))}"
            for row in described
        )
        select = f"SELECT {columns} FROM {source}"  # noqa: S608 - quoted names
        connection.execute(f"COPY ({select}) TO {literal(str(out))} (FORMAT parquet)")


def write_record(folder: Path, names: Mapping[str, str]) -> Path:
    """Keep the names in a project's folder; return the file."""
    path = folder / RECORD
    path.write_text(json.dumps(names, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_record(path: Path) -> dict[str, str]:
    """Return the names that a project's folder, or the file itself, keeps.

    Raises:
        CommandError: It holds no names.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"--rename {path}: {error}", Exit.USAGE, _NAMES) from None
    if not isinstance(found, dict) or not all(isinstance(new, str) for new in found.values()):
        raise CommandError(f"--rename {path}: no names", Exit.USAGE, _NAMES)
    if clash := sorted({new for new in found.values() if list(found.values()).count(new) > 1}):
        raise CommandError(f"--rename {path}: two columns become {clash[0]}", Exit.USAGE, _NAMES)
    return found


_NAMES = f"allowed: a project's folder with {RECORD}, or such a file: new by old name"
