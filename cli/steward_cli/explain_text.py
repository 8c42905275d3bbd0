"""A prediction's explanation in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from steward_cli.console import shortened, table
from steward_cli.explaining import Prediction

WIDTH = 24


def screen(found: Prediction, out: Path | None = None) -> RenderableType:
    """Return the explanation as bars left and right of nothing."""
    most = max((abs(one.phi) for one in found.features), default=0.0) or 1.0
    sampled = any(one.error for one in found.features)
    rows = []
    for one in found.features:
        length = round(WIDTH * abs(one.phi) / most)
        bar = Text(("▇" * length) or "·", "red" if one.phi > 0 else "blue")
        told = (one.name, shortened("null" if one.value is None else one.value, 24),
                f"{one.phi:+.4g}")  # fmt: skip
        rows.append((*told, f"{one.error:.2g}", bar) if sampled else (*told, bar))
    heads = ("feature", "value", "adds", *(("error",) if sampled else ()), "")
    lines = [
        Text(f"{found.project} {found.inference_id}", "bold"),
        Text(f"answered {figure(found.answered)} by version {found.version} at {found.time}"),
        Text(f"base {found.base:.4g} to {found.score:.4g}, {found.scale.replace('_', '-')}", "dim"),
    ]
    parts: list[RenderableType] = [*lines, Text(), table(heads, rows), Text()]
    parts += [Text(line, style) for line, style in remarks(found)]
    if out is not None:
        parts.append(Text(f"\n{out}"))
    return Group(*parts)


def remarks(found: Prediction) -> list[tuple[str, str]]:
    """Return what is to be known of an explanation, with the colour of each sentence."""
    rows, digest = found.background_rows, found.background[:12]
    against = f"{found.method}, against {rows} training rows ({digest})"
    who = "; nobody was asked"
    if found.asked:
        who = f"; {found.model_rows} rows asked at {found.asked}"
    said = [(against + who, "dim")]
    if found.additive:
        said.append(("base and values add to the answer", "green"))
    else:
        said.append((f"base and values miss the answer by {found.gap:.3g}", "red"))
    if found.now is not None and found.answered is not None:
        moved = abs(found.now - found.answered)
        if moved > 1e-6:
            now = f"the endpoint answers {found.now:.4g} to the same row now"
            said.append((f"{now}, {moved:.3g} from what was captured", "yellow"))
    if found.method == "kernel":
        said.append(("kernel values always add up: their errors tell how good they are", "dim"))
    return said


def figure(value: float | None) -> str:
    """Return a figure as people read it."""
    return "nothing" if value is None else f"{value:.4g}"
