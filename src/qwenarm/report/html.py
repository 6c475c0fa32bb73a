"""Small pieces of a report's HTML: a page, a table, a figure. Nothing in a page is fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from qwenarm.report.fields import Field, Table


def page(title: str, body: str) -> str:
    """A whole page with its style and, for the order of tables, a few lines of script."""
    home = files("qwenarm")
    style = home.joinpath("display", "page.css").read_text(encoding="utf-8")
    style += home.joinpath("report", "report.css").read_text(encoding="utf-8")
    script = home.joinpath("report", "sort.js").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<style>{style}</style></head>\n'
        f'<body class="report"><main>\n{body}</main>\n<script>{script}</script></body></html>\n'
    )


def section(anchor: str, title: str, body: str) -> str:
    """A part of a page with a title that can be linked to."""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{body}</section>\n'


def table(of: Table, kind: str = "") -> str:
    """A table whose columns can be sorted with mouse and keyboard; on a small screen it scrolls sideways by itself."""
    heads = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>' if name else '<th scope="col"></th>'
        for name in of.columns
    )
    rows = "".join(f"<tr>{_row(row)}</tr>" for row in of.rows)
    name = escape(of.caption)
    return (
        f'<div class="card tabled"><p class="caption">{name}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table class="data {kind}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def _row(fields: Sequence[Field]) -> str:
    first, *others = fields
    return f'<th scope="row"{_anchor(first)}{_sort(first)}>{_inner(first)}</th>' + "".join(
        f"<td{_sort(field)}{_look(field)}>{_inner(field)}</td>" for field in others
    )


def _anchor(field: Field) -> str:
    return f' id="{escape(field.anchor)}"' if field.anchor else ""


def _sort(field: Field) -> str:
    return "" if field.sort == "" else f' data-sort="{escape(str(field.sort))}"'


def _look(field: Field) -> str:
    shade = "" if field.level is None else f' style="--level:{100 * field.level:.0f}%"'
    kind = "shaded" if shade else field.tone
    return f' class="{kind}"{shade}' if kind else ""


def _inner(field: Field) -> str:
    text = escape(field.text)
    text = f'<a href="{escape(field.href)}">{text}</a>' if field.href else text
    return f"{text}<small>{escape(field.small)}</small>" if field.small else text


def figure(title: str, body: str, caption: str = "") -> str:
    """A plot in a card."""
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="card plotted"><h3>{escape(title)}</h3>{body}{told}</figure>'


def small_multiples(plots: Iterable[tuple[str, str]]) -> str:
    """Several small plots, as many beside each other as fit."""
    parts = "".join(f"<div><h4>{escape(title)}</h4>{plot}</div>" for title, plot in plots)
    return f'<div class="multiples">{parts}</div>'


def fold(title: str, body: str, is_open: bool = False) -> str:
    """Something that can be unfolded."""
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>"


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
