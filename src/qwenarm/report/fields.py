"""The fields of tables. No rate stands without its k/n and its interval, no difference without its interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qwenarm.report.scores import Contrast, Rate

NO_EPISODES = "no episodes"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a table.

    small: a second line. sort: what the field is ordered by. href: what it links to. anchor: what links to its row.
    level: a rate in [0, 1] that shades it. tone: a class of the style sheet: green, red, name, text.
    """

    text: str
    small: str = ""
    sort: float | str = ""
    href: str = ""
    anchor: str = ""
    level: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """The first column names the row. rows: a long table makes them one by one, when it is written."""

    caption: str
    columns: tuple[str, ...]
    rows: Iterable[tuple[Field, ...]]


def count_field(count: int) -> Field:
    return Field(str(count), sort=count)


def rate_text(score: Rate) -> str:
    """ "17/20 · 85 % (64–95)"."""
    return f"{score.k}/{score.n} · {_percent(score)}" if score.n else NO_EPISODES


def _percent(score: Rate) -> str:
    return f"{100 * score.value:.0f} % ({100 * score.low:.0f}–{100 * score.high:.0f})"


def rate_field(score: Rate, href: str = "", shaded: bool = False) -> Field:
    """k/n, and below it the rate with its interval."""
    if not score.n:
        return Field(NO_EPISODES, sort=-1.0)
    return Field(f"{score.k}/{score.n}", _percent(score), score.value, href, level=score.value if shaded else None)


def contrast_fields(contrast: Contrast) -> tuple[Field, ...]:
    """Successes of a alone and of b alone, the difference with its interval, and p."""
    only = (Field(str(n) if contrast.paired else "–", sort=n) for n in (contrast.only_a, contrast.only_b))
    if not contrast.a.n or not contrast.b.n:
        return (*only, Field("no pairs" if contrast.paired else NO_EPISODES, sort=-2.0), Field("–", sort=2.0))
    between = f"({signed(contrast.low)} to {signed(contrast.high)})"
    difference = Field(signed(contrast.difference), between, contrast.difference)
    return (*only, difference, Field(p_text(contrast.p), sort=contrast.p))


def signed(value: float) -> str:
    """A difference of rates in percentage points, with its sign."""
    points = round(100 * value)
    return f"{points:+d}".replace("-", "−") if points else "0"


def p_text(p: float) -> str:
    """p with two digits, or the bound below which digits say nothing."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
