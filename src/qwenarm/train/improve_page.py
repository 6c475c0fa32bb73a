"""The page of ``improve``: success after each round, what it cost, why episodes failed, films of before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwenarm.display import html
from qwenarm.display.film import film_again
from qwenarm.episode.trace import read_at, scan
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.stats import Rate, success_rate
from qwenarm.factory import make_env
from qwenarm.types import Outcome

PAGE_FILE, FILMS_FOLDER = "improve.html", "films"


@dataclass(frozen=True)
class Round:
    """What a round came to.

    Attributes:
        number: 0 is the model as it was.
        model: Its checkpoint.
        rates: Success rate on the watched scenes by task.
        causes: How many of the failures have which cause.
        seconds: That the round took, by the clock on the wall.
        policy: The ledger's hash of the policy.
    """

    number: int
    model: str
    rates: Mapping[str, float]
    causes: Mapping[str, int]
    seconds: float
    policy: str

    @classmethod
    def from_json(cls, data: Any) -> Round:
        """Reads what ``as_json`` wrote. Raises TypeError or ValueError for anything else."""
        found = cls(**data)
        numbers = [found.number, found.seconds, *found.rates.values(), *found.causes.values()]
        if not found.rates or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError("a round needs numbers")
        if not isinstance(found.model, str) or not isinstance(found.policy, str):
            raise TypeError("a round needs names")
        return found

    def as_json(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)

    @property
    def mean(self) -> float:
        """The success rate over all tasks."""
        return sum(self.rates.values()) / len(self.rates)


def best_of(rounds: Sequence[Round]) -> Round:
    """Returns the first of the best rounds."""
    return max(rounds, key=lambda row: row.mean)


@dataclass(frozen=True)
class RoundMark:
    """A rate as ``plots.html.jinja`` draws it."""

    score: Rate
    note: str
    tone: str = "c0"
    is_hollow: bool = False


@dataclass(frozen=True)
class FilmPair:
    """Films of a scene, relative to the page: with the model as it was, and with the best one."""

    seed: int
    instruction: str
    before: str
    after: str


def write_page(out: Path, ledger: Path, rounds: Sequence[Round], scenes: int, with_films: bool = False) -> Path:
    """Writes the page into ``out``.

    Args:
        out: Folder of the run.
        ledger: Folder of the watched episodes.
        rounds: All rounds so far.
        scenes: Number of watched scenes of each task.
        with_films: Whether a scene that was lost before and is won now is filmed, if there is one.
    """
    best = best_of(rounds)
    films = _films(out, ledger, rounds[0].policy, best.policy) if with_films and best.number else None
    path = out / PAGE_FILE
    values = {"rounds": list(_lines(rounds, scenes)), "tasks": sorted(rounds[0].rates), "scenes": scenes, "best": best}
    causes = sorted({cause for row in rounds for cause in row.causes})
    html.write(path, "improve", **values, causes=causes, films=films, ledger=str(ledger))
    return path


def _lines(rounds: Sequence[Round], scenes: int) -> Iterator[dict[str, Any]]:
    """Yields each round with its marks by task, the minutes since the start, and the minutes for a point."""
    spent_s, best = 0.0, rounds[0].mean
    for row in rounds:
        spent_s += row.seconds
        gain, best = 100 * (row.mean - best), max(best, row.mean)
        marks = {task: _mark(rate, scenes) for task, rate in sorted(row.rates.items())}
        price = f"{row.seconds / 60 / gain:.1f}" if gain > 0 else "–"
        yield {"made": row, "marks": marks, "minutes": round(spent_s / 60), "price": price}


def success_of(rounds: Sequence[Round], scenes: int) -> tuple[list[str], list[list[str]]]:
    """Returns the success of each round by task as a table for a terminal: its heads, and its rows.

    Args:
        rounds: One row each.
        scenes: Number of watched scenes of each task.
    """
    tasks = sorted(rounds[0].rates)
    rows = [
        [f"round {row.number}" if row.number else "before", *(_mark(row.rates[task], scenes).note for task in tasks)]
        for row in rounds
    ]
    return ["success", *tasks], rows


def _mark(rate: float, scenes: int) -> RoundMark:
    won = round(rate * scenes)
    score = success_rate({Outcome.SUCCESS: won, Outcome.FAILURE: scenes - won})
    return RoundMark(score, f"{score.value:.0%} ({100 * score.low:.0f}–{100 * score.high:.0f}), n = {scenes}")


def _films(out: Path, ledger: Path, before: str, after: str) -> FilmPair | None:
    """Films the first scene that ``before`` lost and ``after`` won, once. Returns None without such a scene."""
    lines: dict[str, dict[tuple[str, int], tuple[Outcome, int]]] = {before: {}, after: {}}
    for line, head in scan(ledger):
        key = Key.of(head.run)
        if key.policy in lines:
            lines[key.policy][key.task, key.seed] = head.outcome, line.offset
    for scene, (outcome, offset) in lines[before].items():
        won, later = lines[after].get(scene, (None, 0))
        if outcome is not Outcome.SUCCESS and won is Outcome.SUCCESS:
            pair = [f"{FILMS_FOLDER}/{name}-{scene[1]}.mp4" for name in ("before", "after")]
            told = [_film(ledger, at, out / name) for at, name in zip((offset, later), pair, strict=True)]
            return FilmPair(scene[1], told[0], *pair)
    return None


def _film(ledger: Path, offset: int, path: Path) -> str:
    """Films an episode by repeating its calls, unless the film is there. Returns the instruction."""
    episode = read_at(ledger, offset)
    if not path.exists():
        with closing(make_env(episode.run.config)) as env:
            film_again(env, episode, path)
    return episode.instruction
