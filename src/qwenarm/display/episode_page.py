"""One episode as one self-contained HTML file: what was seen, said, done and measured, and how to repeat it.

Nothing is fetched when the page is opened: pictures and short films are inside, fonts are the reader's own. The page is
made from an ``Episode`` alone, so that any trace can be turned into pages later.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwenarm.display.captions import (
    TIMED,
    arg_text,
    command,
    outcome_color,
    pairs,
    result_text,
    total_clamps,
    total_seconds,
)
from qwenarm.episode.trace import png
from qwenarm.errors import BadInput
from qwenarm.types import Episode, Frame, ImagePoint, Prompt, SkillCall, SkillResult, Turn

MARKS = ("#e5484d", "#3b82f6", "#12a594", "#f5a524", "#a855f7", "#ec4899")
"""The colours of a turn's first, second ... point, on pictures and beside calls."""

EMBED_BYTES = 12_000_000
"""Films up to this size are put into the page; longer ones are linked."""


def write_page(episode: Episode, path: Path | str, film: Path | str | None = None) -> Path:
    """Write the page of an episode. film: an MP4, embedded if it is small, else linked relative to the page.

    Raises BadInput when the file cannot be written or the film cannot be read.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_html(path, render_page(episode, _film_source(film, path)))
    except OSError as error:
        raise BadInput(f"Cannot write the page {path}: {error.strerror} ({error.filename}).") from error
    return path


def save_html(path: Path, html: str) -> None:
    """Lone surrogates, which old traces hold, become question marks."""
    path.write_text(html, encoding="utf-8", errors="replace")


def _film_source(film: Path | str | None, page: Path) -> str:
    if film is None:
        return ""
    if os.path.getsize(film) > EMBED_BYTES:
        return Path(os.path.relpath(film, page.parent)).as_posix()
    return "data:video/mp4;base64," + b64encode(Path(film).read_bytes()).decode()


def embedded(frame: Frame) -> str:
    """The address of a picture that is inside the page."""
    return "data:image/png;base64," + b64encode(png(frame.rgb)).decode()


def render_page(episode: Episode, film: str = "", picture: Callable[[Frame], str] = embedded, above: str = "") -> str:
    """The page as HTML text. film: the address of its film, a data URI or a relative link; "" for none.

    picture: gives a frame's address. above: HTML before the title, for a site that the page belongs to.
    """
    style = files("qwenarm.display").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(episode.instruction)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}: {episode.outcome}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<style>{style}</style></head>\n<body><main>\n{above}'
        f"{_header(episode)}{_lead(episode, film)}{_crash(episode)}<h2>Turn by turn</h2>\n"
        f"{''.join(_turn(turn, picture) for turn in episode.turns) or '<p class=soft>No turn was played.</p>'}"
        f"{_repeat(episode)}</main></body></html>\n"
    )


def _header(episode: Episode) -> str:
    model = episode.setup.get("options", {}).get("model")
    who = f"{episode.policy} with {model}" if model else episode.policy
    where = f"{episode.task} · level {episode.level} · {episode.arm} · {who} · seed {episode.seed}"
    ending = "" if episode.outcome == "crashed" else escape(episode.detail)
    return (
        f'<header><p class="eyebrow">{escape(where)}</p><h1>{escape(episode.instruction)}</h1>'
        f'<p><span class="badge {outcome_color(episode.outcome)}">{episode.outcome}</span> '
        f'<span class="soft">{ending}</span></p></header>\n'
    )


def _lead(episode: Episode, film: str) -> str:
    """The film beside the figures of the whole episode."""
    video = f'<video src="{escape(film)}" controls autoplay muted loop playsinline></video>' if film else ""
    seconds = total_seconds(episode)
    tiles = {
        "turns": str(len(episode.turns)),
        "progress": f"{episode.progress:.0%}",
        "simulated": f"{sum(turn.sim_time_s for turn in episode.turns):.1f} <small>s</small>",
        "wall clock": f"{sum(seconds.values()):.1f} <small>s</small>",
        "safety clamps": str(sum(total_clamps(episode).values())),
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles.items())
    return (
        f'<div class="lead{"" if film else " alone"}">{video}<div class="facts card"><dl class="tiles">{listed}</dl>'
        f'<div><p class="eyebrow">Where the time went</p>{_bar(seconds)}{_legend(seconds)}</div></div></div>\n'
    )


def _bar(seconds: Mapping[str, float]) -> str:
    parts = "".join(
        f'<i class="{name}" style="flex-grow:{1000 * value:.1f}" title="{name} {value:.2f} s"></i>'
        for name, value in seconds.items()
    )
    return f'<div class="bar">{parts}</div>'


def _legend(seconds: Mapping[str, float]) -> str:
    items = (f'<li><i class="{name}"></i>{name} {value:.2f} s</li>' for name, value in seconds.items())
    return f'<ul class="legend">{"".join(items)}</ul>'


def _crash(episode: Episode) -> str:
    if episode.outcome != "crashed":
        return ""
    return f'<h2>What went wrong</h2><pre class="card crash">{escape(episode.detail)}</pre>\n'


def _turn(turn: Turn, picture: Callable[[Frame], str]) -> str:
    frames = turn.observation.frames
    pictures = "".join(_figure(frame, picture(frame), turn.decision.calls) for frame in frames)
    seconds = {name: turn.seconds[name] for name in TIMED if turn.seconds.get(name, 0) > 0}
    clamped = ", ".join(f"{name} ×{count}" for name, count in turn.clamps.items() if count)
    return (
        f'<article class="turn card"><header><b>Turn {turn.index + 1}</b>'
        f'<span class="soft">at {turn.observation.time_s:.1f} s, took {turn.sim_time_s:.1f} s of the arm</span>'
        f'<div class="gauge">progress {turn.progress:.0%}<span><i style="width:{turn.progress:.1%}"></i></span></div>'
        f'</header><div class="frames{" many" if len(frames) > 1 else ""}">{pictures}</div><div class="said">'
        f"{_section('thought', _paragraph(_thought(turn)))}"
        f"{_section('said, word for word', _pre(_raw(turn)))}"
        f"{_section('done', _error(turn) + _calls(turn))}"
        f"{_section('repaired while reading', _paragraph('; '.join(turn.decision.notes), 'note'))}"
        f"{_section('held back by the safety layer', _paragraph(clamped, 'note'))}"
        f"{_section('seconds', _bar(seconds) + _legend(seconds) if seconds else '')}"
        f"{''.join(map(_prompt, turn.prompts))}</div></article>\n"
    )


def _raw(turn: Turn) -> str:
    """The model's own text; a policy that answers several prompts per decision gets them all."""
    return "\n\n".join(completion.text for completion in turn.completions) or turn.decision.raw


def _thought(turn: Turn) -> str:
    """What was thought, unless it is to be read in the raw text anyway."""
    return "" if turn.decision.thought in _raw(turn) else turn.decision.thought


def _section(title: str, body: str) -> str:
    return f"<section><h3>{title}</h3>{body}</section>" if body else ""


def _paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>" if text else ""


def _error(turn: Turn) -> str:
    if not turn.decision.error:
        return ""
    detail = f": {turn.decision.detail}" if turn.decision.detail else ""
    return f'<p><span class="badge red">{turn.decision.error}</span> {escape(detail.removeprefix(": "))}</p>'


def _calls(turn: Turn) -> str:
    rows = "".join(_call(number, call, result) for number, (call, result) in enumerate(pairs(turn)))
    return f'<ul class="calls">{rows}</ul>' if rows else ""


def _call(number: int, call: SkillCall, result: SkillResult | None) -> str:
    tone = "none" if result is None else "green" if result.ok else "red"
    args = ", ".join(f"{name} = {arg_text(value)}" for name, value in call.args.items())
    return (
        f'<li><span class="dot" style="--dot:{_mark(number)}">{number + 1}</span>'
        f'<span><span class="skillname">{escape(call.name)}</span> {escape(args)}</span>'
        f'<span class="result {tone}">{escape(result_text(result))}</span></li>'
    )


def _mark(number: int) -> str:
    return MARKS[number % len(MARKS)]


def _figure(frame: Frame, source: str, calls: Iterable[SkillCall]) -> str:
    """A picture, from its address, with the points of the calls that were meant in it."""
    height, width = frame.rgb.shape[:2]
    marks = "".join(
        _point(number, value, width, height)
        for number, call in enumerate(calls)
        for value in call.args.values()
        if isinstance(value, ImagePoint) and value.camera == frame.camera
    )
    return (
        f'<figure><img src="{escape(source)}" alt="{escape(frame.camera)} camera">'
        f'<svg viewBox="0 0 {width} {height}">{marks}</svg>'
        f"<figcaption>{escape(frame.camera)}, {width} × {height}</figcaption></figure>"
    )


def _point(number: int, point: ImagePoint, width: int, height: int) -> str:
    """A ring with a dot, and the label on the side where there is room. Sizes are for a frame 320 pixels wide."""
    unit = width / 320
    x, y = point.u * width, point.v * height
    color, right = _mark(number), point.u < 0.6
    center = f'cx="{x:.1f}" cy="{y:.1f}"'
    rings = "".join(
        f'<circle {center} r="{9.5 * unit:.1f}" fill="none" stroke="{ink}" stroke-width="{w * unit:.1f}"/>'
        for ink, w in (("rgb(0 0 0 / .5)", 6.4), ("#fff", 4.4), (color, 2.2))  # legible on any colour beneath
    )
    dot = f'<circle {center} r="{1.8 * unit:.1f}" fill="{color}"/>'
    text_x, text_y = x + (14 if right else -14) * unit, min(max(y + 4 * unit, 12 * unit), height - 5 * unit)
    return (
        f'{rings}{dot}<text x="{text_x:.1f}" y="{text_y:.1f}" text-anchor="{"start" if right else "end"}" '
        f'style="font-size:{12 * unit:.1f}px">{number + 1} {escape(point.label)}</text>'
    )


def _prompt(prompt: Prompt) -> str:
    text = "\n\n".join(f"[{message['role']}]\n{_content(message['content'])}" for message in prompt.messages)
    tools = ", ".join(tool.get("function", tool).get("name", "?") for tool in prompt.tools)
    whole = _pre(f"{text}\n\n[tools]\n{tools}")
    return f"<section><details><summary>The whole prompt</summary>{whole}</details></section>"


def _content(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else f"<{part['type']}>" for part in content)


def _repeat(episode: Episode) -> str:
    """Everything that is needed to play the episode again."""
    beyond = {name: value for name, value in episode.setup.items() if name not in ("options", "words")}
    facts = {"final state (sha256)": episode.final_hash, **_flat(beyond)}
    rows = "".join(f'<tr><td>{escape(k)}</td><td class="mono">{escape(str(v))}</td></tr>' for k, v in facts.items())
    return (
        f'<h2>To repeat it</h2><div class="repeat card"><pre>{escape(command(episode))}</pre>'
        f"<table>{rows}</table></div>\n"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; lists in one line."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat
