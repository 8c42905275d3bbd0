"""The model's own code: ``code/inference.py`` with ``model_fn`` and ``predict_fn``."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steward_jobs.job_config import Task, Value

Row = dict[str, Value]


class ModelCodeError(Exception):
    """The model's code does not keep its contract; the message says where."""


class Model:
    """A loaded model.

    A process holds one: its code is imported as the module ``inference`` and may import its
    neighbours by name, so a second model in the same process could get the first one's modules.
    """

    def __init__(
        self,
        state: Any,
        predict_fn: Callable[[list[Row], Any], Sequence[float]],
        explain_fn: Callable[[Any], object] | None = None,
        *,
        task: Task = "binary",
    ) -> None:
        self._state = state
        self._predict_fn = predict_fn
        self._explain_fn = explain_fn
        self._task = task

    def told(self) -> object:
        """Return what the model says of its own form; None where it says nothing.

        Raises:
            ModelCodeError: ``explain_fn`` raises.
        """
        if self._explain_fn is None:
            return None
        try:
            return self._explain_fn(self._state)
        except Exception as error:
            raise ModelCodeError(f"explain_fn raised {error!r}") from error

    def predict(self, rows: list[Row]) -> list[float]:
        """Return one probability a row, or one number of a regression.

        Raises:
            ModelCodeError: The code answers another number of rows, no probabilities, or no
                finite numbers.
            Exception: Whatever the model's code raises.
        """
        answers = [float(answer) for answer in self._predict_fn(rows, self._state)]
        if len(answers) != len(rows):
            raise ModelCodeError(f"predict_fn answered {len(answers)} values for {len(rows)} rows")
        binary = self._task == "binary"
        for row, answer in enumerate(answers):
            if not math.isfinite(answer) or (binary and not 0 <= answer <= 1):
                wanted = "probability" if binary else "finite number"
                raise ModelCodeError(
                    f"predict_fn answered {answer!r} for row {row}, which is no {wanted}"
                )
        return answers


def load_model(model_dir: Path, task: Task = "binary") -> Model:
    """Import ``code/inference.py`` and let it load the model.

    Args:
        model_dir: The unpacked model.
        task: What its answers have to be.

    Raises:
        ModelCodeError: The code is missing, cannot be imported, lacks a function, or
            ``model_fn`` raises.
    """
    code = model_dir / "code"
    if not (code / "inference.py").is_file():
        raise ModelCodeError("the model has no code/inference.py")
    sys.path.insert(0, str(code))
    try:
        module = importlib.import_module("inference")
    except BaseException as error:  # whatever a module does at import, sys.exit included
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ModelCodeError(f"inference.py cannot be imported: {error!r}") from error
    for name in ("model_fn", "predict_fn"):
        if not callable(getattr(module, name, None)):
            raise ModelCodeError(f"inference.py has no function {name}")
    try:
        state = module.model_fn(str(model_dir))
    except Exception as error:
        raise ModelCodeError(f"model_fn raised {error!r}") from error
    explain_fn = getattr(module, "explain_fn", None)
    return Model(state, module.predict_fn, explain_fn if callable(explain_fn) else None, task=task)
