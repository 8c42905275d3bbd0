"""One record as people read it: a headline, short sections, and where the rest is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from steward_cli.console import state_text

Full = Annotated[bool, typer.Option("--full", help="Every field, digests in full.")]

DIGEST = 12
"""Characters of a digest that lists and screens show."""

_REST = "Every field, digests in full: --full; for scripts: --json"


@dataclass(frozen=True)
class Section:
    """Some facts that belong together; those without a value are left out.

    Attributes:
        title: Empty for facts below the headline.
        facts: Label and value.
    """

    title: str
    facts: Sequence[tuple[str, object]]


def print_sheet(
    console: Console, name: str, state: object, about: str = "", sections: Sequence[Section] = ()
) -> None:
    """Print a record's headline and its sections.

    Args:
        console: Where to.
        name: What it is called.
        state: The word that says how it is; it has its colour.
        about: What else belongs into the headline.
    """
    head = Text.assemble((name, "bold"), ": ", state_text(state), f", {about}" if about else "")
    console.print(head, soft_wrap=True)
    for section in sections:
        print_section(console, section)


def print_section(console: Console, section: Section) -> None:
    """Print a section, unless nothing of it is known."""
    facts = [(label, value) for label, value in section.facts if value not in (None, "", [], {})]
    if not facts:
        return
    if section.title:
        console.print("")
        console.print(section.title, style="bold", markup=False)
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        first, *more = str(value).strip().splitlines() or [""]
        console.print(Text.assemble(f"{label:<{width}}  ", state_text(first)), soft_wrap=True)
        for line in more:
            console.print(f"{'':<{width}}  {line}", soft_wrap=True, markup=False)


def print_rest(console: Console, *commands: str) -> None:
    """Print where more is: commands, and how every field is shown."""
    console.print("")
    for command in commands:
        console.print(command, style="dim", markup=False, soft_wrap=True)
    console.print(_REST, style="dim")


def short(digest: object) -> str:
    """Return the beginning of a digest, of an image's too."""
    text = str(digest or "")
    return text.rpartition("sha256:")[2][:DIGEST]


def figure(value: Any) -> str:
    """Return a number with four figures."""
    return "" if value is None else f"{float(value):.4g}"


def interval(metric: Mapping[str, Any]) -> str:
    """Return an estimate with its limits."""
    if metric.get("value") is None:
        return str(metric.get("undefined_because") or "")
    told = f"{metric['value']:.4f}"
    if metric.get("lower") is None:
        return f"{told} (no interval)" if metric.get("undefined_because") else told
    return f"{told} ({metric['lower']:.4f} to {metric['upper']:.4f})"


def dollars(value: Any) -> str:
    """Return money to the hundredth of a cent."""
    if value is None:
        return ""
    return "under $0.0001" if 0 < float(value) < 0.00005 else f"${float(value):.4f}"


def took(began: object, ended: object) -> str:
    """Return how long something lasted; nothing where it has no end."""
    if not began or not ended:
        return ""
    seconds = (moment(ended) - moment(began)).total_seconds()
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(text: object) -> datetime:
    """Return a time as it is recorded, whatever its form of a zone; without one it is UTC."""
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def at(text: object) -> str:
    """Return a recorded time to the second."""
    return str(text or "")[:19].replace("T", " ")


def listed(words: Sequence[object], most: int = 12) -> str:
    """Return words in a row; of many the first, and how many more there are."""
    told = ", ".join(map(str, words[:most]))
    return told if len(words) <= most else f"{told} and {len(words) - most} more"
