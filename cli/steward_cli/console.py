"""What the command prints: tables for people, JSON for scripts, one clear line for errors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
import yaml
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from steward.domain.errors import WHOLE, RejectedError

_PIPED = 240
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


class Exit(IntEnum):
    """Exit codes that scripts can rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    DENIED = 5
    UNREACHABLE = 6
    TIMED_OUT = 7


INTERRUPTED = 130
"""What shells call the end by Ctrl-C, 128 and the number of SIGINT."""

EXIT_CODES: dict[int, str] = {
    Exit.OK.value: "done", Exit.FAILED.value: "failed or refused",
    Exit.USAGE.value: "wrong usage", Exit.NOT_FOUND.value: "not found",
    Exit.CONFLICT.value: "conflict", Exit.DENIED.value: "denied",
    Exit.UNREACHABLE.value: "not reachable", Exit.TIMED_OUT.value: "timed out",
    INTERRUPTED: "interrupted",
}  # fmt: skip


class CommandError(Exception):
    """An error with an exit code, shown as one line and a hint.

    Args:
        message: What is wrong.
        code: What the process ends with.
        hint: What may help.
        refusal: Of a rejected request: field, value and what is allowed, as far as known.
    """

    def __init__(
        self,
        message: str,
        code: Exit = Exit.FAILED,
        hint: str | None = None,
        refusal: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.refusal = {
            name: refusal[name] for name in _REFUSED if refusal and refusal.get(name) is not None
        }
        self.hint = hint or told(self.refusal, message)


_REFUSED = ("field", "value", "allowed")
_SHOWN = 200
_NO_HELP = (WHOLE, "a mapping", "a list")


def told(refusal: Mapping[str, object], said: str = "") -> str | None:
    """Return field, value and what is allowed in one line; None where nothing is to be added.

    Args:
        refusal: What is known of a rejection.
        said: The message before the line; where it says all of this, nothing is repeated.
    """
    parts = []
    if refusal.get("field", WHOLE) != WHOLE:
        parts.append(f"field: {refusal['field']}")
    if "value" in refusal:
        parts.append(f"value: {shortened(quoted(refusal['value']), _SHOWN)}")
    if "allowed" in refusal:
        parts.append(f"allowed: {refusal['allowed']}")
    known = [str(refusal[name]) for name in _REFUSED if name in refusal]
    if all(part in said for part in known if part not in _NO_HELP):
        return None
    return "; ".join(parts) or None


def rejected(error: RejectedError, code: Exit = Exit.FAILED, where: str = "") -> CommandError:
    """Return a rejection as an error of a command, with everything that it says.

    Args:
        error: What was rejected.
        code: What the process ends with.
        where: The file or option at fault; the message begins with it.
    """
    message = f"{where}: {error.message}" if where else error.message
    return CommandError(message, code, refusal=error.as_dict())


def stdout() -> Console:
    """Return the console for results; rich respects NO_COLOR and pipes by itself.

    A pipe has no width: what is written there is folded far out, so that words stay whole.
    """
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else _PIPED)


def stderr() -> Console:
    """Return the console for progress and errors."""
    return Console(stderr=True, highlight=False)


def fail(error: CommandError, as_json: bool = False) -> NoReturn:
    """Print an error and leave with its code."""
    if as_json:
        about = {"error": error.message, "hint": error.hint, **error.refusal}
        print(json.dumps(about, default=str), file=sys.stderr)  # noqa: T201
    else:
        console = stderr()
        console.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
        if error.hint:
            console.print(Text.assemble(("hint:  ", "dim"), error.hint), soft_wrap=True)
    raise typer.Exit(int(error.code))


def show(data: object, as_json: bool, render: Callable[[Console], None]) -> None:
    """Print ``data`` as JSON, or let ``render`` print it for a person."""
    if as_json:
        print(json.dumps(data, indent=2, default=str, ensure_ascii=False))  # noqa: T201
    else:
        render(stdout())


def quoted(value: object) -> str:
    """Return a value as a person wrote it, in quotes; what cannot be printed is escaped.

    ``repr`` would double a backslash, and what is shown of a bad cell has them.
    """
    if not isinstance(value, str):
        return repr(value)
    plain = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value
    )
    return f'"{plain}"' if "'" in plain else f"'{plain}'"


def shortened(text: object, most: int = 48) -> str:
    """Return the beginning of a text for a list; the whole is in what ``show`` prints."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


class PlainTable(Table):
    """A table whose lines end with their last word, in a terminal and in a file."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the table without blanks at their ends."""
        whole = super().__rich_console__(console, options)
        for line in Segment.split_lines(
            segment for segment in whole if isinstance(segment, Segment)
        ):
            while line and not line[-1].text.strip() and not line[-1].control:
                line.pop()
            if line:
                last = line.pop()
                line.append(Segment(last.text.rstrip(), last.style, last.control))
            yield from line
            yield Segment.line()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> Table:
    """Return a plain table; state words carry their colour, times are cut to the second."""
    result = PlainTable(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for number, column in enumerate(columns):
        dated = any(_MOMENT.fullmatch(str(row[number])) for row in rows)
        result.add_column(column, overflow="fold", min_width=10 if dated else None)
    for row in rows:
        result.add_row(*(state_text(cell) for cell in row))
    return result


def record(item: Mapping[str, Any]) -> Table:
    """Return one item as a table of two columns: lists and mappings are written as YAML."""
    rows = [(name, _readable(value)) for name, value in sorted(item.items())]
    result = table(("", ""), rows)
    result.show_header = False
    return result


def _readable(value: object) -> object:
    if not isinstance(value, (dict, list)):
        return value
    if not value:
        return ""
    plain = _declared(json.loads(json.dumps(value, default=str)))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=72).rstrip()


def _declared(value: object) -> object:
    """Return a value without the keys that hold nothing: ``--json`` has them."""
    if isinstance(value, list):
        return [_declared(part) for part in value]
    if isinstance(value, dict):
        return {name: _declared(part) for name, part in value.items() if part is not None}
    return value


_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(\+00:00|Z)")

_COLOURS = {
    "green": {
        "succeeded", "production", "approved", "completed", "accepted", "running", "InService",
        "pass", "ok", "OK", "active", "CREATE_COMPLETE", "UPDATE_COMPLETE", "SUCCEEDED",
    },
    "red": {
        "failed", "rejected", "rolled_back", "staging_failed", "worse", "ALARM", "FAILED",
        "TIMED_OUT", "ABORTED", "deleted", "refused", "fail",
    },
    "yellow": {
        "waiting", "pending", "held", "superseded", "expired", "releasing", "suppressed",
        "inconclusive", "registered", "retained", "warn", "unknown",
    },
}  # fmt: skip


def state_text(value: object) -> Text:
    """Return a cell; a word that names a state gets its colour, a UTC time loses its fraction."""
    text = "" if value is None else str(value)
    if moment := _MOMENT.fullmatch(text):
        return Text(f"{moment[1]} {moment[2]}")
    for colour, words in _COLOURS.items():
        if text in words:
            return Text(text, style=colour)
    return Text(text)


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on a terminal and plain lines elsewhere; yields a way to say what happens."""
    console = stderr()
    if console.is_terminal:
        with console.status(message) as status:
            yield lambda text: status.update(f"{message} [dim]{text}[/dim]")
    else:
        console.print(message)
        yield lambda _text: None
