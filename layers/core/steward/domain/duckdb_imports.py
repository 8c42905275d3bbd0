"""DuckDB looks for pandas at each value that it is given, which costs where pandas is missing.

DuckDB 1 asks, for each parameter and several times, whether the value is one of pandas. Python
remembers no import that failed, so each question searches all folders of ``sys.path`` again: of
2,000 rows of four parameters that is nine tenths of the time of an INSERT.
"""

from __future__ import annotations

import importlib.util
import sys

_MISSING = "pandas"


class _Answered:
    """A finder that answers at once that one module is not there.

    ``sys.modules["pandas"] = None`` would do for DuckDB, but scikit-learn takes what it finds there
    for the module.
    """

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Refuse the module that is missing and leave any other to the finders that follow.

        Raises:
            ModuleNotFoundError: It is that module.
        """
        if name == _MISSING:
            raise ModuleNotFoundError(f"No module named {_MISSING!r}", name=_MISSING)


def answer_at_once() -> None:
    """From now on say at once that pandas is missing; where it is installed, do nothing."""
    if _Answered in sys.meta_path or _MISSING in sys.modules:
        return
    if importlib.util.find_spec(_MISSING) is None:
        sys.meta_path.insert(0, _Answered)
