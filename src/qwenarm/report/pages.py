"""The episodes behind the numbers: which of them get a page, pictures and films, and the lists that lead there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from qwenarm.display.episode_page import render_page, save_html
from qwenarm.episode.trace import read_at
from qwenarm.errors import BadInput
from qwenarm.evaluation.suites import Cell
from qwenarm.report.entrants import CONTROLS, Entrant
from qwenarm.report.fields import Field, Table
from qwenarm.report.html import page, table
from qwenarm.report.records import Record
from qwenarm.types import Episode, Frame

Which = Literal["auto", "all", "none"]
FEW = 2000
"""Up to so many episodes each of them gets a page."""
SAMPLED = tuple(role for role in CONTROLS if role != "oracle")
"""Roles that fail by the thousand, and are meant to."""
SAMPLE = (
    "Of so many episodes a page was written for every failure of a model or the oracle, and for the first success and "
    "the first failure in each cell of the others; `qwenarm report --pages all` writes one for every episode."
)
FOLDER, FRAMES, FILMS = "episodes", "frames", "films"


def slug(*words: object) -> str:
    """Words as part of a file's or an anchor's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", " ".join(map(str, words))).strip("-").lower()


def cell_anchor(cell: Cell) -> str:
    """Where in the list of an entrant's episodes a cell begins."""
    return slug(cell.task, cell.level, cell.perturbations or "unchanged")


def is_sampled(everybody: Iterable[Entrant], which: Which) -> bool:
    """Whether not every episode gets a page."""
    return which == "auto" and sum(len(e.records) for e in everybody) > FEW


def chosen(entrant: Entrant, everybody: Sequence[Entrant], which: Which) -> list[Record]:
    """Which of its episodes get a page."""
    if not is_sampled(everybody, which):
        return [] if which == "none" else list(entrant.records)
    kept = []
    for records in entrant.cells().values():
        won, lost = [r for r in records if r.success], [r for r in records if not r.success]
        kept += won[:1] + (lost[:1] if entrant.role in SAMPLED else lost)
    return kept


class Site:
    """The files of a report, and their names relative to its folder."""

    def __init__(self, out: Path, everybody: Sequence[Entrant]) -> None:
        self.out, self.everybody = out, everybody
        self.written: set[str] = set()
        self._lists = {id(e): f"{FOLDER}/{i:02d}-{slug(e.name)[:60]}.html" for i, e in enumerate(everybody)}

    def list_name(self, entrant: Entrant) -> str:
        """The list of an entrant's episodes."""
        return self._lists[id(entrant)]

    def page_name(self, entrant: Entrant, record: Record) -> str:
        """The page of an episode. The line's number makes it unique."""
        folder = self.list_name(entrant).removesuffix(".html")
        return f"{folder}/{record.line:05d}-{cell_anchor(record.cell)}-{record.key.seed}.html"

    def write_page(self, entrant: Entrant, record: Record) -> str:
        """Writes the page of an episode; "", or a sentence why there is none."""
        pictures = _Pictures(entrant.run.folder)
        try:
            episode = read_at(entrant.run.folder, record.offset, pictures.get)
        except BadInput as error:
            return f"No page for line {record.line + 1} of {entrant.run.name}: {error}"
        name = self.page_name(entrant, record)
        film = self.film_name(record)
        html = render_page(
            episode,
            f"../../{film}" if (self.out / film).is_file() else "",
            lambda frame: "../../" + self._keep(entrant.run.folder, pictures.name(frame)),
            self._above(entrant, record),
        )
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_html(path, html)
        self.written.add(name)
        return ""

    @staticmethod
    def film_name(record: Record) -> str:
        """The film of an episode, which need not be there."""
        return f"{FILMS}/{slug(*asdict(record.key).values())}.mp4"

    def _keep(self, folder: Path, name: str) -> str:
        """A picture of the trace, in the report's own folder: a hard link where that is possible, else a copy."""
        target = self.out / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(folder / name, target)
            except OSError:
                shutil.copyfile(folder / name, target)
        return name

    def _above(self, entrant: Entrant, record: Record) -> str:
        up = f"../{Path(self.list_name(entrant)).name}#{cell_anchor(record.cell)}"
        why = f" · cause: {escape(str(record.cause))}" if record.cause and not record.success else ""
        where = f"{escape(entrant.name)}: {escape(record.where)}, {escape(record.key.perturbations or 'unchanged')}"
        return f'<p class="eyebrow"><a href="../../index.html">Report</a> › <a href="{up}">{where}</a>{why}</p>\n'

    def write_lists(self) -> None:
        """One list of all its episodes for every entrant."""
        for entrant in self.everybody:
            path = self.out / self.list_name(entrant)
            path.parent.mkdir(parents=True, exist_ok=True)
            listed = table(self._episodes_table(entrant), "episodes")
            up = '<p class="eyebrow"><a href="../index.html#episodes">Report</a></p>'
            save_html(path, page(f"Episodes of {entrant.name}", f"{up}<h1>{escape(entrant.name)}</h1>{listed}"))

    def _episodes_table(self, entrant: Entrant) -> Table:
        """Every episode, cell by cell, linked to its page where there is one."""
        rows = [
            self._row(entrant, record, "" if i else cell_anchor(cell))
            for cell, records in entrant.cells().items()
            for i, record in enumerate(records)
        ]
        columns = ("task", "change", "seed", "instruction", "ended", "cause", "progress", "turns", "line")
        film = f"qwenarm replay {entrant.run.folder} --index LINE-1 --film film.mp4"
        caption = f"{len(entrant.records):,} episodes with their lines in the ledger. To film any of them: {film}"
        return Table(caption, columns, tuple(rows))

    def _row(self, entrant: Entrant, record: Record, anchor: str) -> tuple[Field, ...]:
        name = self.page_name(entrant, record)
        href = name.removeprefix(f"{FOLDER}/") if name in self.written else ""
        return (
            Field(record.where, anchor=anchor),
            Field(record.key.perturbations or "unchanged"),
            Field(str(record.key.seed), sort=record.key.seed),
            Field(record.instruction, href=href),
            Field(record.outcome, tone="green" if record.success else "red"),
            Field(record.why or "–", " or ".join(record.cause.also) if record.cause and record.why else ""),
            Field(f"{record.progress:.0%}", sort=record.progress),
            Field(str(len(record.curve)), sort=len(record.curve)),
            Field(str(record.line + 1), sort=record.line + 1),
        )


class _Pictures:
    """Stands for the pictures of a trace without decoding them: a page needs their names and sizes alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays: dict[str, np.ndarray] = {}

    def get(self, name: str) -> np.ndarray:
        """Black, and as large as the picture; (H, W, 3) uint8."""
        if name not in self._arrays:
            with Image.open(self.folder / name) as picture:
                width, height = picture.size
            self._arrays[name] = np.broadcast_to(np.uint8(0), (height, width, 3))
        return self._arrays[name]

    def name(self, frame: Frame) -> str:
        """Of a frame that was read with ``get``."""
        return next(name for name, array in self._arrays.items() if array is frame.rgb)


def to_film(models: Iterable[Entrant], most: int) -> list[tuple[Entrant, Record]]:
    """Which episodes are filmed: of each model the first failure in each cell, ``most`` of them at most."""
    found = []
    for entrant in models:
        lost = (next((r for r in records if not r.success), None) for records in entrant.cells().values())
        found += [(entrant, record) for record in lost if record][:most]
    return found


def write_film(path: Path, folder: Path, record: Record) -> str:
    """Films an episode by replaying it, unless that was done before; "", or a sentence when the replay differs."""
    from qwenarm.display.film import FilmRecorder
    from qwenarm.episode.replay import replay
    from qwenarm.factory import env_of

    if path.is_file():
        return ""
    episode: Episode = read_at(folder, record.offset)
    path.parent.mkdir(parents=True, exist_ok=True)
    env = env_of(episode)
    try:
        again = replay(env, episode, [FilmRecorder(path)])
    finally:
        env.close()
    return "" if again.same else f"The film of line {record.line + 1} of {folder} shows another end than was recorded."
