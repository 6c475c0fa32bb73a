"""The pages of a report: the front page, lists of episodes, the episodes, and two models side by side."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import UndefinedError

from qwenarm.display import html
from qwenarm.display.captions import side_effects_text
from qwenarm.display.episode_page import page_values
from qwenarm.episode.trace import open_picture, read_at
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.evaluation.suites import Cell
from qwenarm.report import figures, tables
from qwenarm.report.entrants import CONTROL_ROLES, Entrant
from qwenarm.report.exports import EXPORT_FILES, key_fields
from qwenarm.report.fields import Field, Table, count_field, rate_text
from qwenarm.report.manifests import citation, facts_table
from qwenarm.report.numbers import Report
from qwenarm.report.records import Record
from qwenarm.types import Episode, Frame

Which = Literal["auto", "all", "none"]
MAX_EPISODES_WITH_PAGES = 2000
"""Up to this many episodes each of them gets a page."""
MAX_SLUG_CHARS = 120
"""Maximum length of words that are part of a file's name, without the hash of what is cut off."""
MAX_FAILURE_PAGES_PER_CELL = 20
"""If there are too many episodes for a page each, this many failures of each cell get one."""
SAMPLED_ROLES = tuple(role for role in CONTROL_ROLES if role != "oracle")
"""Controls that fail by the thousand, as they should."""


@dataclass
class Site:
    """The files of a report, by their names relative to its folder. written: the episodes' pages that exist."""

    out: Path
    report: Report
    which: Which
    written: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        everybody = self.report.everybody
        self._has_films = (self.out / "films").is_dir()
        self._lists = {id(e): f"episodes/{i:02d}-{slug(e.name)[:60]}.html" for i, e in enumerate(everybody)}

    @property
    def is_sampled(self) -> bool:
        """Whether only some episodes get a page."""
        return self.which == "auto" and sum(len(e.records) for e in self.report.everybody) > MAX_EPISODES_WITH_PAGES

    def chosen(self) -> list[tuple[Entrant, Record]]:
        """The episodes that get a page: all of them or, if they are many, the failures and some others."""
        everybody = self.report.everybody if self.which != "none" else ()
        if not self.is_sampled:
            return [(e, record) for e in everybody for record in e.records]
        return [(e, record) for e in everybody for records in e.cells().values() for record in _sample(e, records)]

    def list_name(self, entrant: Entrant) -> str:
        """The list of an entrant's episodes."""
        return self._lists[id(entrant)]

    def page_name(self, entrant: Entrant, record: Record) -> str:
        """The page of an episode. The line's number makes it unique."""
        folder = self.list_name(entrant).removesuffix(".html")
        return f"{folder}/{record.line:05d}-{cell_anchor(record.cell)}-{record.key.seed}.html"

    def pair_name(self, index: int) -> str:
        """The page on which the models of a comparison stand side by side."""
        return f"side-by-side/{index:02d}.html"

    @staticmethod
    def film_name(record: Record) -> str:
        """The film of an episode, which need not exist."""
        return f"films/{slug(*key_fields(record.key).values())}.mp4"

    def write_page(self, entrant: Entrant, record: Record) -> str:
        """Writes the page of an episode; returns "", or a sentence that says why there is none."""
        pictures = _Pictures(entrant.run.folder, self.out)
        name, film = self.page_name(entrant, record), self.film_name(record) if self._has_films else ""
        where = f"{record.where}, {record.key.perturbations or 'unchanged'}"
        cause = f"cause: {record.cause}" if record.cause and not record.success else ""
        trail = [
            ("Report", "../../index.html"),
            (entrant.name, f"../{Path(self.list_name(entrant)).name}#{cell_anchor(record.cell)}"),
            (" · ".join(filter(None, (where, cause))), ""),
        ]
        try:
            episode = read_at(entrant.run.folder, record.offset, pictures.get)
            film = f"../../{film}" if film and (self.out / film).is_file() else ""
            values = page_values(episode, film, lambda frame: f"../../{pictures.keep(frame)}", trail)
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            html.write(self.out / name, "episode", **values)
        except (BadInput, UndefinedError, LookupError, TypeError, ValueError, AttributeError) as error:
            (self.out / name).unlink(missing_ok=True)
            return f"No page for line {record.line + 1} of {entrant.run.name}: {error}"
        self.written.add(name)
        return ""

    def write_overviews(self) -> Path:
        """Writes the lists, the comparisons and the front page, which links to all that was written before."""
        for entrant in self.report.everybody:
            self._write("list", self.list_name(entrant), entrant=entrant, table=self._episodes_table(entrant))
        for i, (a, b, _) in enumerate(self.report.comparisons):
            self._write("side_by_side", self.pair_name(i), a=a, b=b, table=self._pair_table(a, b))
        self._write("report", "index.html", **self._front_values())
        return self.out / "index.html"

    def _write(self, template: str, name: str, **values: Any) -> None:
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        html.write(path, template, **values)

    def _front_values(self) -> dict[str, Any]:
        report = self.report
        models = [e for e in report.models if e.is_model]
        return {
            "report": report,
            "site": self,
            "best": report.standings[0],
            "records": [record for e in report.everybody for record in e.records],
            "tables": tables,
            "figures": figures,
            "latency": figures.latency_plots(models),
            "rate_text": rate_text,
            "link": lambda entrant, cell: f"{self.list_name(entrant)}#{cell_anchor(cell)}",
            "attributed": any(map(tables.is_attributed, report.models)),
            "changed": any(record.key.perturbations for e in report.models for record in e.records),
            "files": EXPORT_FILES,
            "citation": citation,
            "facts_table": facts_table,
            "max_pages": MAX_EPISODES_WITH_PAGES,
            "max_failures": MAX_FAILURE_PAGES_PER_CELL,
        }

    def _href(self, entrant: Entrant, record: Record) -> str:
        """The page of an episode as seen from a folder below the report's; "" where there is none."""
        name = self.page_name(entrant, record)
        return f"../{name}" if name in self.written else ""

    def _episodes_table(self, entrant: Entrant) -> Table:
        """Every episode, cell by cell."""
        rows = (
            self._episode_row(entrant, record, "" if i else cell_anchor(cell))
            for cell, records in entrant.cells().items()
            for i, record in enumerate(records)
        )
        columns = ("task", "perturbation", "seed", "instruction", "ended", "cause", "progress", "turns", "line")
        film = f"qwenarm replay {entrant.run.folder} --index LINE-1 --film film.mp4"
        caption = f"{len(entrant.records):,} episodes with their lines in the ledger. To film any of them: {film}"
        return Table(caption, columns, rows)

    def _episode_row(self, entrant: Entrant, record: Record, anchor: str) -> tuple[Field, ...]:
        ties = " or ".join(record.cause.also) if record.cause and record.why else ""
        return (
            Field(record.where, anchor=anchor),
            Field(record.key.perturbations or "unchanged"),
            count_field(record.key.seed),
            Field(record.instruction, href=self._href(entrant, record), tone="text"),
            _outcome_field(record),
            Field(record.why or "–", ties),
            Field(f"{record.progress:.0%}", sort=record.progress),
            count_field(len(record.curve)),
            count_field(record.line + 1),
        )

    def _pair_table(self, a: Entrant, b: Entrant) -> Table:
        """Every scene that both played, with how it ended for each."""
        shared = a.scenes.keys() & b.scenes.keys()
        ordered = sorted(shared, key=lambda scene: (scene.task, scene.level, scene.perturbations, scene.seed))
        rows = (self._pair_row((a, a.scenes[scene]), (b, b.scenes[scene])) for scene in ordered)
        where = ("task", "perturbation", "seed", "instruction")
        columns = (*where, "succeeds", "A ended", "B ended", "turns A", "turns B")
        return Table(f"{len(ordered):,} scenes that both played. A: {a.name}. B: {b.name}", columns, rows)

    def _pair_row(self, *played: tuple[Entrant, Record]) -> tuple[Field, ...]:
        (_, mine), (_, other) = played
        who = {(True, True): "both", (True, False): "only A", (False, True): "only B", (False, False): "neither"}
        return (
            Field(mine.where),
            Field(mine.key.perturbations or "unchanged"),
            count_field(mine.key.seed),
            Field(mine.instruction, tone="text"),
            Field(who[mine.success, other.success]),
            *(_outcome_field(record, self._href(entrant, record)) for entrant, record in played),
            *(count_field(len(record.curve)) for _, record in played),
        )


def _outcome_field(record: Record, href: str = "") -> Field:
    effects = f"with side effects: {side_effects_text(record.side_effects)}" if record.side_effects else ""
    return Field(record.outcome, effects, href=href, tone="green" if record.success else "red")


def _sample(entrant: Entrant, records: Sequence[Record]) -> list[Record]:
    """The records of a cell that get a page: the first success, and the first failures (one of a failing control)."""
    won, lost = [r for r in records if r.success], [r for r in records if not r.success]
    return won[:1] + lost[: 1 if entrant.role in SAMPLED_ROLES else MAX_FAILURE_PAGES_PER_CELL]


@lru_cache(maxsize=4096)
def slug(*words: object) -> str:
    """Words as part of a file's or an anchor's name. Long ones end in a hash: file systems take 255 bytes a name."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", " ".join(map(str, words))).strip("-").lower()
    if len(name) <= MAX_SLUG_CHARS:
        return name
    return f"{name[:MAX_SLUG_CHARS]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def cell_anchor(cell: Cell) -> str:
    """Where in the list of an entrant's episodes a cell begins."""
    return slug(cell.task, cell.level, cell.perturbations or "unchanged")


class _Pictures:
    """Stands for the pictures of a trace without decoding them: a page needs their names and sizes alone."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder, self.out = folder, out
        self._arrays: dict[str, np.ndarray] = {}

    def get(self, name: str) -> np.ndarray:
        """Black, and as large as the picture; (H, W, 3) uint8.

        Raises:
            ValueError: for a name that leads out of the run's folder.
            OSError: when there is no such picture.
        """
        if name not in self._arrays:
            with open_picture(self.folder, name) as picture:
                width, height = picture.size
            self._arrays[name] = np.broadcast_to(np.uint8(0), (height, width, 3))
        return self._arrays[name]

    def keep(self, frame: Frame) -> str:
        """Puts a frame's picture into the report's folder, as a hard link where that is possible; returns its name."""
        name = next(name for name, array in self._arrays.items() if array is frame.rgb)
        target = self.out / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.folder / name, target)
            except OSError:
                shutil.copyfile(self.folder / name, target)
        return name


def to_film(models: Iterable[Entrant], most: int) -> Iterator[tuple[Entrant, Record]]:
    """Which episodes are filmed: of each model the first failure in each cell, up to ``most`` of them."""
    for entrant in models:
        lost = (next((r for r in records if not r.success), None) for records in entrant.cells().values())
        yield from [(entrant, record) for record in lost if record][:most]


def write_film(path: Path, folder: Path, record: Record) -> str:
    """Films an episode by replaying it, unless that was done before.

    Returns:
        "", or a sentence when it cannot be played again or the replay ended differently.
    """
    from qwenarm.display.film import film_again
    from qwenarm.factory import make_env

    if path.is_file():
        return ""
    episode: Episode = read_at(folder, record.offset)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(make_env(episode.run.config)) as env:
            again = film_again(env, episode, path)
    except QwenarmError as error:
        return f"No film of line {record.line + 1} of {folder}: {error}"
    return "" if again.same else f"The film of line {record.line + 1} of {folder} shows another end than was recorded."
