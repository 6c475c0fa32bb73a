"""A report on one or several evaluations: a static site in one folder that needs no network, with Markdown and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwenarm.display.episode_page import save_html
from qwenarm.episode.trace import FILE
from qwenarm.errors import BadInput
from qwenarm.report import exports, site
from qwenarm.report.numbers import Report, make_report
from qwenarm.report.pages import Site, Which, chosen, is_sampled, to_film, write_film
from qwenarm.report.runs import read_runs

Tell = Callable[[str, int, int], object]
"""Is told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Written:
    """What was written, and what its reader should know."""

    index: Path
    episodes: int
    pages: int
    problems: Sequence[str]


def write_report(
    folders: Sequence[Path], out: Path, which: Which = "auto", films: int = 0, tell: Tell = lambda *_: None
) -> Written:
    """Writes the report on the runs in these folders.

    which: the episodes that get a page, see ``pages.chosen``. films: so many failures of each model are played again
    and filmed. An old report in the same place is replaced, file by file. Raises BadInput when a run has no episode, or
    the place cannot be written to.
    """
    report = _read(folders, tell)
    try:
        return _write(report, out, which, films, tell)
    except OSError as error:
        raise BadInput(f"Cannot write the report to {out}: {error.strerror} ({error.filename}).") from error


def _read(folders: Sequence[Path], tell: Tell) -> Report:
    total = sum((folder / FILE).stat().st_size for folder in folders if (folder / FILE).is_file())
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        tell("reading", done, total)

    return make_report(read_runs(folders, count))


def _write(report: Report, out: Path, which: Which, films: int, tell: Tell) -> Written:
    out.mkdir(parents=True, exist_ok=True)
    files = Site(out, report.everybody)
    unread = _films(report, out, films, tell) + _pages(report, files, which, tell)
    report = replace(report, problems=[*report.problems, *unread])
    files.write_lists()
    exports.write_texts(report, out)
    front = out / "index.html"
    save_html(front, site.index(report, files, is_sampled(report.everybody, which)))
    return Written(front, sum(len(run.records) for run in report.runs), len(files.written), report.problems)


def _films(report: Report, out: Path, films: int, tell: Tell) -> list[str]:
    wanted = to_film(report.models, films)
    problems = []
    for done, (entrant, record) in enumerate(wanted, 1):
        problems.append(write_film(out / Site.film_name(record), entrant.run.folder, record))
        tell("films", done, len(wanted))
    return list(filter(None, problems))


def _pages(report: Report, files: Site, which: Which, tell: Tell) -> list[str]:
    wanted = [(e, record) for e in report.everybody for record in chosen(e, report.everybody, which)]
    problems = []
    for done, (entrant, record) in enumerate(wanted, 1):
        problems.append(files.write_page(entrant, record))
        tell("pages", done, len(wanted))
    return list(filter(None, problems))
