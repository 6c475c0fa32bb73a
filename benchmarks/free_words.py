"""How often free words are done: every English sentence of the corpus that is judged, each in scenes of its own.

python benchmarks/free_words.py                       # the bundled model and the oracle, one scene a sentence
python benchmarks/free_words.py --model FOLDER --seeds 3
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from qwenarm.episode.drive import drive
from qwenarm.evaluation.stats import success_rate
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import make_backend, perform
from qwenarm.types import Outcome, RunConfig

CORPUS = Path(__file__).parents[1] / "tests" / "tasks" / "sentences.tsv"
RESULTS = Path(__file__).parent / "results" / "free_words.json"
BATCH = 8
ALL_KINDS = "all"


def judged_sentences() -> list[tuple[str, str]]:
    """Returns kind and text of the English sentences that are judged."""
    with CORPUS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [
        (kind, text)
        for language, kind, text, expected in rows
        if language == "en" and not expected.startswith(("unjudged", "refused"))
    ]


def outcomes(config: RunConfig, sentences: list[tuple[str, str]], seeds: int) -> Iterator[dict]:
    """Plays every sentence, each time in another scene. Yields kind, text, seed and outcome of each episode."""
    backend = make_backend(config) if config.policy == "vlm" else None
    kind_of = {text: kind for kind, text in sentences}
    texts = [text for _, text in sentences] * seeds
    runs = (perform(replace(config, words=text), FIRST_SEED + i, backend) for i, text in enumerate(texts))
    episodes = drive(runs, backend, BATCH)
    for episode in episodes:
        text = episode.run.config.words
        yield {"kind": kind_of[text], "text": text, "seed": episode.seed, "outcome": episode.outcome}


def rates(found: list[dict]) -> dict[str, tuple[int, int, float, float]]:
    """Returns successes, episodes and the Wilson interval by kind, and over all of them."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for row in found:
        for kind in (row["kind"], ALL_KINDS):
            by_kind[kind].append(row["outcome"])
    measured = {kind: success_rate(each) for kind, each in by_kind.items()}
    return {kind: (rate.k, rate.n, rate.low, rate.high) for kind, rate in measured.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--seeds", type=int, default=1, help="scenes a sentence")
    args = parser.parse_args()
    sentences, played = judged_sentences(), dict[str, list[dict]]()
    for policy in ("vlm", "oracle"):
        config = RunConfig(policy=policy, model=args.model if policy == "vlm" else "")
        played[policy] = []
        for row in outcomes(config, sentences, args.seeds):
            played[policy].append(row)
            print(f"{policy} {len(played[policy])}/{len(sentences) * args.seeds} {row['outcome']}: {row['text']}")
    table = {policy: rates(found) for policy, found in played.items()}
    failed = {
        p: [f"{row['text']} ({row['seed']})" for row in rows if row["outcome"] != Outcome.SUCCESS]
        for p, rows in played.items()
    }
    print("| kind | model | oracle |\n| --- | --- | --- |")
    for kind, (k, n, low, high) in table["vlm"].items():
        done, of, *_ = table["oracle"][kind]
        print(f"| {kind} | {k}/{n} ({100 * low:.0f}–{100 * high:.0f} %) | {done}/{of} |")
    RESULTS.write_text(json.dumps({"model": args.model, "rates": table, "not done": failed}, indent=1) + "\n")


if __name__ == "__main__":
    main()
