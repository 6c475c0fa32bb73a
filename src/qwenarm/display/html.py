"""Writes HTML pages from the templates in this package.

Text is never markup: the templates escape whatever a model, a server or a visitor wrote, and leave out characters that
would reverse or hide the text around them. A page fetches nothing from elsewhere and runs no script but our own; its
Content-Security-Policy names both by their hashes.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qwenarm.display import captions
from qwenarm.display.printable import without_controls


@lru_cache(maxsize=1)
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("qwenarm.display"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style_sheet, script = style(), asset("page.js")
    policy = (
        f"default-src 'none'; img-src 'self' data:; media-src 'self' data:; style-src {csp_hash(style_sheet)}; "
        f"script-src {csp_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    found.globals |= {"style": style_sheet, "script": script, "policy": policy, "captions": captions}
    return found


def _plain(value: Any) -> Any:
    """What is written for a value. Lone surrogates, which old traces hold, become question marks."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return without_controls(value.encode(errors="replace").decode())


def style() -> str:
    """The style sheet of all pages."""
    return asset("style.css")


def asset(name: str) -> str:
    """The text of a file in ``templates``."""
    return files("qwenarm.display").joinpath("templates", name).read_text(encoding="utf-8")


def csp_hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows exactly this text."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def render(template: str, **values: Any) -> str:
    """A page as text. template: the name of a file in ``templates``, without ``.html.jinja``."""
    return _environment().get_template(f"{template}.html.jinja").render(values)


def write(path: Path, template: str, **values: Any) -> None:
    """Writes a page piece by piece, so that a large one never stands in memory."""
    stream = _environment().get_template(f"{template}.html.jinja").stream(values)
    stream.enable_buffering(500)
    stream.dump(str(path), encoding="utf-8", errors="replace")
