"""What the built-in model wrote into its archive of how it compared while it was trained."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steward.domain.evaluation_report import TrainingFigures


def training_figures(model: Path) -> TrainingFigures | None:
    """Return the figures of ``model.json``; None of a model that is no built-in one."""
    from pydantic import ValidationError

    from steward.domain.evaluation_report import TrainingFigures

    try:
        document = json.loads((model / "model.json").read_text(encoding="utf-8"))
        told = document["figures"]
        figures = TrainingFigures(
            kept=document["kind"], loss=told["loss"], losses=told["losses"], reason=told["reason"]
        )
    except (OSError, ValueError, TypeError, KeyError, ValidationError):
        return None
    return figures if all(map(math.isfinite, figures.losses.values())) else None
