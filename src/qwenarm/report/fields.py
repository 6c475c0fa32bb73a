"""What tables are made of: fields with a rate, a difference or words in them, each spelt in one way.

A rate is never shown without its k/n and its interval, a difference never without its interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwenarm.report.scores import Contrast, Rate

NONE = "no episodes"


@dataclass(frozen=True)
class Field:
    """One field of a table. small: a second line. sort: what it is ordered by. anchor: what links to its row name.
    level: a rate in [0, 1] to shade it. tone: a class of the style sheet: green, red, name.
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
    """The first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Field, ...], ...]


def percent(low: float, high: float) -> str:
    """ "64–95": the ends of an interval in percent."""
    return f"{100 * low:.0f}–{100 * high:.0f}"


def rate_text(score: Rate) -> str:
    """ "17/20 · 85 % (64–95)"."""
    return f"{score.k}/{score.n} · {rate_small(score)}" if score.n else NONE


def rate_small(score: Rate) -> str:
    """ "85 % (64–95)", for beside the k/n."""
    return f"{100 * score.value:.0f} % ({percent(score.low, score.high)})"


def difference_field(contrast: Contrast) -> Field:
    """ "−25" and "(−59 to +12)", in percentage points."""
    if not contrast.a.n or not contrast.b.n:
        return Field("no pairs" if contrast.paired else NONE, sort=-2.0)
    between = f"({signed(contrast.low)} to {signed(contrast.high)})"
    return Field(signed(contrast.difference), between, contrast.difference)


def signed(value: float) -> str:
    """A difference of rates in percentage points, with its sign."""
    points = round(100 * value)
    return f"{points:+d}".replace("-", "−") if points else "0"


def p_text(p: float) -> str:
    """Two digits, or the bound below which they say nothing."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def rate_field(score: Rate, href: str = "", shaded: bool = False) -> Field:
    if not score.n:
        return Field(NONE, sort=-1.0)
    return Field(f"{score.k}/{score.n}", rate_small(score), score.value, href, level=score.value if shaded else None)


def contrast_fields(contrast: Contrast) -> tuple[Field, ...]:
    """Only a, only b, the difference, p."""
    counts = (Field(str(n) if contrast.paired else "–", sort=n) for n in (contrast.only_a, contrast.only_b))
    compared = contrast.a.n and contrast.b.n
    p = Field(p_text(contrast.p), sort=contrast.p) if compared else Field("–", sort=2.0)
    return (*counts, difference_field(contrast), p)
