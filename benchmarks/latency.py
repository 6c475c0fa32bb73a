"""The latency tax: success when the world runs on while the policy decides.

The same scenes are played with `--clock latency:S` for several S: parcels on belts of rising speed, which are lost at
the belt's end, deliveries past a rising wall, and `put`, where nothing moves. `step` asks the model before every call,
`plan` once for all calls, so it waits once; `chunk` asks for 20 Hz actions and plays on meanwhile, but it has learned
`put` alone, so it plays only that. The oracle waits before every call and knows everything: it shows what is lost to
waiting alone.

One ledger holds all of it: killed at any time, the same command goes on, also with more episodes. Results are written
after each latency. They do not depend on how fast the machine is: latencies are simulated seconds.

    python benchmarks/latency.py --episodes 60
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import qwenarm as qa
from qwenarm.evaluation.ledger import Row
from qwenarm.evaluation.stats import clustered, mcnemar, paired_difference, reconciled, success_rate
from qwenarm.mind.prompt.presets import ALTITUDE_NAMES, CHUNK_ALTITUDE
from qwenarm.types import Outcome

RESULTS_FOLDER = Path(__file__).parent / "results"
MEDIA_FOLDER = Path(__file__).parent.parent / "docs" / "media"
LATENCIES_S = (0.0, 4.0, 1.0, 2.0, 0.5)
"""Simulated seconds per decision, in the order in which they are played."""
GROUPS = {
    "parcels, belts of levels 3 to 5": {("parcels", level) for level in (3, 4, 5)},
    "deliver, level 1": {("deliver", 1)},
    "put, level 1": {("put", 1)},
}
"""Cells of one task that share a panel and a row, as (task, level)."""
CELLS = sorted(set[tuple[str, int]]().union(*GROUPS.values()))
SUITE = {
    "name": "latency",
    "blocks": [{"tasks": [task], "levels": [level], "seeds": 3} for task, level in CELLS],
}
"""All cells. It stays the same with any number of seeds, so that one ledger may grow."""
STYLES = ("-", "--", ":", "-.")
"""Of lines that may lie on top of each other."""
COLORS = ("#1f6feb", "#d1570a", "#6e7781", "#8250df")

Rows = Mapping[tuple[str, int, int], Row]
"""By task, level and seed."""


@dataclass(frozen=True)
class Entrant:
    """Who plays.

    Attributes:
        name: In table and figure.
        what: A policy or model, as for ``qwenarm.evaluate``.
        altitude: Of a model.
        tasks: The tasks that it plays.
    """

    name: str
    what: str
    altitude: str = "step"
    tasks: frozenset[str] = frozenset(task for task, _ in CELLS)


def played(entrant: Entrant, latency_s: float, episodes: int, folder: Path) -> Rows:
    """Plays what is missing of the first episodes of every row, as many at each of its levels."""
    folder.mkdir(parents=True, exist_ok=True)
    suite = folder / "latency.json"
    suite.write_text(json.dumps(SUITE))
    found: dict[tuple[str, int, int], Row] = {}
    for cells in GROUPS.values():
        task = next(iter(cells))[0]
        if task not in entrant.tasks:
            continue
        rows = qa.evaluate(
            entrant.what,
            suite=str(suite),
            tasks=task,
            seeds=max(1, episodes // len(cells)),
            controls="none",
            altitude=entrant.altitude,
            clock=f"latency:{latency_s:g}" if latency_s else "paused",
            folder=folder,
        ).rows
        found |= {(row.key.task, row.key.level, row.key.seed): row for row in rows}
    return found


def measured(entrant: Entrant, latency_s: float, now: Rows, paused: Rows) -> list[dict[str, Any]]:
    """Returns the figures of one entrant at one latency: a line for each group, and for each cell of several."""
    lines = []
    for name, cells in GROUPS.items():
        single = {f"{task} level {level}": {(task, level)} for task, level in sorted(cells)} if len(cells) > 1 else {}
        for where, chosen in {name: cells, **single}.items():
            here = [key for key in now if key[:2] in chosen]
            if not here:
                continue
            score = success_rate(now[key].outcome for key in here)
            facts = {"entrant": entrant.name, "where": where, "latency_s": latency_s, **asdict(score)}
            progress = [now[key].progress for key in here]
            facts |= {
                "progress": sum(progress) / len(progress),
                "progress_low_high": clustered([[p] for p in progress]),
            }
            lines.append({**facts, **tax(here, now, paused)})
    return lines


def tax(keys: Sequence[tuple[str, int, int]], now: Rows, paused: Rows) -> dict[str, Any]:
    """Returns the success rate minus that of the same episodes with a paused world, with its 95 % interval and p."""
    pairs = [(now[key].outcome is Outcome.SUCCESS, paused[key].outcome is Outcome.SUCCESS) for key in keys]
    counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    value, low, high = paired_difference(*counts)
    return {"difference": value, "difference_low_high_p": reconciled(low, high, mcnemar(counts[1], counts[2]))}


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Returns the figures as a table in Markdown: success with its interval, and mean progress."""
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in lines:
        k, n, low, high = line["k"], line["n"], 100 * line["low"], 100 * line["high"]
        rows[line["where"], line["entrant"]].append(
            f"{k}/{n} · {100 * k / n:.0f} % ({low:.0f}–{high:.0f}), {line['progress']:.2f}"
        )
    head = ["", "who", *(f"{seconds:g} s" for seconds in sorted({line["latency_s"] for line in lines}))]
    body = [[*names, *cells] for names, cells in rows.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def draw(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws a panel for each group: success with its Wilson interval against latency."""
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(GROUPS), sharey=True)
    for axes, where in zip(panels, GROUPS, strict=True):
        names = list(dict.fromkeys(line["entrant"] for line in lines))
        for i, name in enumerate(names):
            mine = [line for line in lines if (line["where"], line["entrant"]) == (where, name)]
            rates = [line["k"] / line["n"] for line in mine]
            spans = [[abs(line[end] - line["k"] / line["n"]) for line in mine] for end in ("low", "high")]
            at = [line["latency_s"] + 0.04 * (i - (len(names) - 1) / 2) for line in mine]  # whiskers side by side
            axes.errorbar(
                at, rates, spans, label=name, color=COLORS[i], linestyle=STYLES[i], marker="o", markersize=4, capsize=2
            )
        n = next(line["n"] for line in lines if line["where"] == where)
        axes.set(title=f"{where} (n = {n})", xlabel="simulated seconds per decision", ylim=(-0.03, 1.03))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("success")
    panels[-1].legend(frameon=False)
    with rc_context({"svg.hashsalt": "latency", "svg.fonttype": "path"}):
        figure.savefig(path, metadata={"Date": None})


def write(lines: list[dict[str, Any]], chosen: Sequence[Entrant]) -> None:
    """Prints the table, and writes benchmarks/results/latency.json and docs/media/latency.svg."""
    places = list(dict.fromkeys(line["where"] for line in lines))
    names = [entrant.name for entrant in chosen]
    lines.sort(key=lambda line: (places.index(line["where"]), names.index(line["entrant"]), line["latency_s"]))
    print(table(lines), flush=True)
    RESULTS_FOLDER.mkdir(exist_ok=True)
    (RESULTS_FOLDER / "latency.json").write_text(json.dumps(lines, indent=1) + "\n")
    draw(lines, MEDIA_FOLDER / "latency.svg")


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60, help="of each row, latency and policy")
    parser.add_argument("--folder", type=Path, default=Path("runs/latency"), help="of the ledger")
    args = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    entrants = [Entrant("oracle", "oracle"), *(Entrant(name, "bundled", name) for name in ALTITUDE_NAMES)]
    entrants.append(Entrant(CHUNK_ALTITUDE, "bundled", CHUNK_ALTITUDE, frozenset({"put"})))
    paused, lines = dict[str, Rows](), list[dict[str, Any]]()
    for latency_s in LATENCIES_S:
        for entrant in entrants:
            now = played(entrant, latency_s, args.episodes, args.folder)
            lines += measured(entrant, latency_s, now, paused.setdefault(entrant.name, now))
        write(lines, entrants)


if __name__ == "__main__":
    main()
