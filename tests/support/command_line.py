"""The program as a shell runs it, in this process: words in, exit code and both streams out."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from steward_cli.app import main


@dataclass(frozen=True)
class Done:
    """What a command left."""

    exit_code: int
    stdout: str
    stderr: str


def steward(*words: str, given: str | None = None) -> Done:
    """Run a command to its end; ``given`` is its standard input."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["steward", *words]),
        mock.patch.object(sys, "stdin", io.StringIO(given or "")),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
