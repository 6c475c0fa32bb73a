"""One episode as one self-contained HTML file: what was seen, read, said, done and measured, and how to repeat it.

The page is made from an ``Episode`` alone, so any trace can be turned into pages later. Pictures and short films are
inside the file; fonts are the reader's own.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwenarm.display import captions, html
from qwenarm.display.film import turn_starts_s
from qwenarm.display.marks import Mark, canvas_height, marks
from qwenarm.episode.trace import png, png_url
from qwenarm.errors import BadInput
from qwenarm.types import Episode, Frame, Prompt, SkillCall, Turn

EMBED_BYTES = 12_000_000
"""Films up to this size are put into the page; longer ones are linked."""
PictureSource = Callable[[Frame], str]
"""Gives the address of a frame's picture."""
Trail = Sequence[tuple[str, str]]
"""(text, address) of the pages above this one, and of the page itself with an empty address."""


@dataclass(frozen=True)
class Picture:
    """A frame with the points that were meant in it.

    width, height: in pixels. mark_height: the height in the units of the marks.
    """

    camera: str
    source: str
    width: int
    height: int
    mark_height: float
    marks: list[Mark]


@dataclass(frozen=True)
class TurnView:
    """What the page shows of a turn. film_s: where the turn begins in the film, in seconds; None without a film."""

    turn: Turn
    pictures: tuple[Picture, ...]
    film_s: float | None

    @property
    def said(self) -> str:
        """The model's own text; a policy that asks several times for one decision gets all the answers."""
        return "\n\n".join(completion.text for completion in self.turn.completions) or self.turn.decision.raw

    @property
    def thought(self) -> str:
        """What was thought, unless it can be read in the text anyway."""
        return "" if self.turn.decision.thought in self.said else self.turn.decision.thought

    @property
    def history(self) -> str:
        """The past as the model read it; "" for a policy that reads none."""
        return read_history(self.turn.prompts[0]) if self.turn.prompts else ""

    @property
    def clamps(self) -> str:
        return ", ".join(f"{name} ×{count}" for name, count in self.turn.clamps.items() if count)

    @property
    def seconds(self) -> str:
        """Wall-clock seconds by part, without the parts that took next to none."""
        seconds = {name: self.turn.seconds.get(name, 0.0) for name in captions.TIMED_PARTS}
        return ", ".join(f"{name} {value:.2f}" for name, value in seconds.items() if value >= 0.005)

    @property
    def prompts(self) -> list[str]:
        return [prompt_text(prompt) for prompt in self.turn.prompts]


def write_page(episode: Episode, path: Path | str, film: Path | str | None = None, speed: int = 2) -> Path:
    """Writes the page of an episode.

    Args:
        episode: what is shown.
        path: the HTML file; its folder is made.
        film: an MP4 of the whole episode. It is embedded if it is small, and linked relative to the page otherwise.
        speed: how many times faster than the arm the film runs.

    Returns:
        The path of the page.

    Raises:
        BadInput: when the page cannot be written or the film cannot be read.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        html.write(path, "episode", **page_values(episode, _film_source(film, path), speed=speed))
    except OSError as error:
        raise BadInput(f"Cannot write the page {path}: {error.strerror} ({error.filename or path}).") from error
    return path


def _film_source(film: Path | str | None, page: Path) -> str:
    if film is None:
        return ""
    if os.path.getsize(film) > EMBED_BYTES:
        return Path(os.path.relpath(film, page.parent)).as_posix()
    return "data:video/mp4;base64," + b64encode(Path(film).read_bytes()).decode()


def embedded(frame: Frame) -> str:
    """The address of a picture that is inside the page."""
    return png_url(png(frame.rgb))


def page_values(
    episode: Episode, film: str = "", source: PictureSource = embedded, trail: Trail = (), speed: int = 2
) -> dict[str, Any]:
    """What the template ``episode`` needs.

    Args:
        episode: what is shown.
        film: the address of its film, a data URI or a relative link; "" for none.
        source: gives the address of a frame's picture.
        trail: the pages of a site that lead to this one.
        speed: how many times faster than the arm the film runs.
    """
    model = episode.run.config.model
    who = f"{episode.policy} with {model}" if model else episode.policy
    record = {name: value for name, value in asdict(episode.run).items() if name not in ("config", "seed") and value}
    seconds = captions.total_seconds(episode)
    *_, end_s = starts = turn_starts_s(episode, speed) if film else [None] * (len(episode.turns) + 1)
    return {
        "episode": episode,
        "film": film,
        "trail": trail,
        "where": f"{episode.task} · level {episode.level} · {episode.arm} · {who} · seed {episode.seed}",
        "facts": _facts(episode, seconds),
        "seconds": seconds,
        "views": [turn_view(turn, source, at) for turn, at in zip(episode.turns, starts, strict=False)],
        "last": [_picture(frame, source, ()) for frame in episode.last_frames],
        "end_s": end_s,
        "command": captions.command(episode),
        "record": {"final state (sha256)": episode.final_hash, **flat(record)},
    }


def _facts(episode: Episode, seconds: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """(name, value, unit) of the whole episode."""
    return [
        ("turns", str(len(episode.turns)), ""),
        ("progress", f"{100 * episode.progress:.0f}", "%"),
        ("simulated", f"{sum(turn.sim_time_s for turn in episode.turns):.1f}", "s"),
        ("wall clock", f"{sum(seconds.values()):.1f}", "s"),
        ("safety clamps", str(sum(captions.total_clamps(episode).values())), ""),
    ]


def turn_view(turn: Turn, source: PictureSource, film_s: float | None = None) -> TurnView:
    """A turn with its pictures, and on them the points of its calls."""
    return TurnView(
        turn, tuple(_picture(frame, source, turn.decision.calls) for frame in turn.observation.frames), film_s
    )


def _picture(frame: Frame, source: PictureSource, calls: Iterable[SkillCall]) -> Picture:
    height, width = frame.rgb.shape[:2]
    return Picture(frame.camera, source(frame), width, height, canvas_height(frame), marks(frame, calls))


def read_history(prompt: Prompt) -> str:
    """The past as a prompt tells it: earlier answers and results as messages, and the line "History: ..."."""
    dialogue = [f"{message['role']}: {_content(message['content'])}" for message in prompt.messages[1:-1]]
    asked = _content(prompt.messages[-1]["content"]) if prompt.messages else ""
    lines = [line.removeprefix("History: ") for line in asked.splitlines() if line.startswith("History: ")]
    return "\n".join(dialogue + lines)


def prompt_text(prompt: Prompt) -> str:
    """A prompt as it is kept: every message under its role, then the names of the tools."""
    text = "\n\n".join(f"[{message['role']}]\n{_content(message['content'])}" for message in prompt.messages)
    tools = ", ".join(tool.get("function", tool).get("name", "?") for tool in prompt.tools)
    return f"{text}\n\n[tools]\n{tools}"


def _content(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else f"<{part['type']}>" for part in content)


def flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested values under dotted names; a list of plain values in one line."""
    return dict(_flat(value, name))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        for i, each in enumerate(value, 1):
            yield from _flat(each, f"{name}.{i}")
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
