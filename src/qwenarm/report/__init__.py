"""A report on one or several evaluations: a static site that needs no network, and files for programs and papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwenarm.episode.trace import EPISODES_FILE
from qwenarm.errors import BadInput
from qwenarm.report.exports import write_exports
from qwenarm.report.numbers import Report, make_report
from qwenarm.report.runs import read_runs
from qwenarm.report.site import Site, Which, to_film, write_film

Tell = Callable[[str, int, int], object]
"""Is told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class ReportFiles:
    """What was written, and what its reader should know."""

    index: Path
    episodes: int
    pages: int
    problems: Sequence[str]


def write_report(
    folders: Sequence[Path], out: Path, which: Which = "auto", films: int = 0, tell: Tell = lambda *_: None
) -> ReportFiles:
    """Writes the report on the runs in these folders. An old report in the same place is replaced, file by file.

    Args:
        folders: at least one, each filled by an evaluation.
        out: the report's folder; it is made.
        which: episodes that get a page: "all", "none", or "auto", which leaves some out if they are many.
        films: how many failures of each model are played again and filmed.
        tell: is told of the progress.

    Raises:
        BadInput: when a run has no episode, or the report cannot be written.
    """
    total = sum((folder / EPISODES_FILE).stat().st_size for folder in folders if (folder / EPISODES_FILE).is_file())
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        tell("reading", done, total)

    report = make_report(read_runs(folders, count))
    try:
        return _write(report, out, which, films, tell)
    except OSError as error:
        raise BadInput(f"Cannot write the report to {out}: {error.strerror} ({error.filename or out}).") from error


def _write(report: Report, out: Path, which: Which, films: int, tell: Tell) -> ReportFiles:
    out.mkdir(parents=True, exist_ok=True)
    problems, filmed = list(report.problems), list(to_film(report.models, films))
    for done, (entrant, record) in enumerate(filmed, 1):
        problems.append(write_film(out / Site.film_name(record), entrant.run.folder, record))
        tell("films", done, len(filmed))
    site = Site(out, report, which)
    chosen = site.chosen()
    for done, (entrant, record) in enumerate(chosen, 1):
        problems.append(site.write_page(entrant, record))
        tell("pages", done, len(chosen))
    site.report = replace(report, problems=list(filter(None, problems)))
    write_exports(site.report, out)
    index = site.write_overviews()
    return ReportFiles(index, sum(len(run.records) for run in report.runs), len(site.written), site.report.problems)
