"""How well spoken instructions are understood, and what that costs: the tables of docs/voice.md.

python benchmarks/speech.py errors    word error rate by voice, speed and noise (espeak-ng, pocketsphinx)
python benchmarks/speech.py gap       success, spoken minus typed, on the same seeds (bundled model)

Stop it at any time: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from time import process_time

import numpy as np

from qwenarm.display.progress import show_evaluation
from qwenarm.display.terminal import SafeConsole
from qwenarm.env import ArmEnv
from qwenarm.evaluation.evaluate import plan
from qwenarm.evaluation.ledger import Row, rows
from qwenarm.evaluation.stats import paired_difference, success_rate
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.perturbations.speech import ESPEAK_VOICES
from qwenarm.types import Outcome, RunConfig
from qwenarm.voice.language_model import PAUSE_CHARACTERS, spoken_words
from qwenarm.voice.sound import SAMPLE_RATE_HZ
from qwenarm.voice.sphinx import load_sphinx
from qwenarm.voice.synthesis import Speaker

RESULTS_FOLDER = Path(__file__).parent / "results"
SPOKEN_TASKS = ("put", "stack", "sort")
SENTENCES_PER_TASK, EPISODES_PER_TASK = 20, 34
MEASURED_SPEAKERS = (
    *(Speaker(voice) for voice in ("en-us", *ESPEAK_VOICES)),
    *(Speaker(words_per_minute=speed) for speed in (120, 200, 240)),
    *(Speaker(snr_db=snr) for snr in (20.0, 15.0, 10.0, 5.0)),
)


def instructions() -> list[str]:
    """Those of the evaluation's first seeds, which the language model was not counted over."""
    seeds = range(FIRST_SEED, FIRST_SEED + SENTENCES_PER_TASK)
    return [ArmEnv(task, cameras=()).build(seed).instruction for task in SPOKEN_TASKS for seed in seeds]


def words(text: str) -> list[str]:
    """What counts: the words, without marks."""
    return [word for word in spoken_words(text) if word not in PAUSE_CHARACTERS]


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words that were replaced, left out or added (Levenshtein distance)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def error_row(speaker: Speaker, texts: Sequence[str]) -> dict:
    """One row of the table: errors and words of every sentence, and the CPU time of recognition."""
    recognizer, errors, lengths, audio_s, cpu_s = load_sphinx(), list[int](), list[int](), 0.0, 0.0
    for number, text in enumerate(texts):
        sound, began = speaker.say(text, np.random.default_rng(number)), process_time()
        errors.append(word_errors(words(text), words(recognizer.transcribe(sound))))
        lengths.append(len(words(text)))
        cpu_s, audio_s = cpu_s + process_time() - began, audio_s + len(sound) / SAMPLE_RATE_HZ
    return {"errors": errors, "words": lengths, "cpu_s_per_audio_s": cpu_s / audio_s}


def rate_interval(errors: Sequence[int], lengths: Sequence[int]) -> tuple[float, float]:
    """The 95 % interval of a word error rate, resampling sentences."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(errors), size=(2000, len(errors)))
    low, high = np.percentile(np.array(errors)[drawn].sum(1) / np.array(lengths)[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def measure_errors() -> None:
    """Fills in benchmarks/results/speech_errors.json and prints it as a table."""
    path, texts = RESULTS_FOLDER / "speech_errors.json", instructions()
    found = json.loads(path.read_text()) if path.exists() else {}
    load_sphinx()
    print("| voice | words a minute | noise | word error rate | sentences without an error | CPU s per s of sound |")
    print("| --- | --- | --- | --- | --- | --- |")
    for speaker in MEASURED_SPEAKERS:
        name = f"{speaker.voice} {speaker.words_per_minute} {speaker.snr_db}"
        if name not in found:
            found[name] = {**asdict(speaker), "snr_db": str(speaker.snr_db), **error_row(speaker, texts)}
            path.write_text(json.dumps(found, indent=1) + "\n")
        row = found[name]
        low, high = rate_interval(row["errors"], row["words"])
        noise = "none" if np.isinf(speaker.snr_db) else f"{speaker.snr_db:g} dB SNR"
        rate, clean = sum(row["errors"]) / sum(row["words"]), row["errors"].count(0)
        print(
            f"| {speaker.voice} | {speaker.words_per_minute} | {noise} | {100 * rate:.1f} % ({100 * low:.1f}–"
            f"{100 * high:.1f}) | {clean}/{len(texts)} | {row['cpu_s_per_audio_s']:.2f} |"
        )


def gap_rows(played: Iterable[Row]) -> Iterator[dict]:
    """Spoken minus typed for every task and strength, and for the three tasks together."""
    won = {(row.key.task, row.key.perturbations, row.key.seed): row.outcome is Outcome.SUCCESS for row in played}
    for axis in sorted({axis for _, axis, _ in won} - {""}):
        for tasks in (*((task,) for task in SPOKEN_TASKS), SPOKEN_TASKS):
            pairs = [
                (spoken, won[task, "", seed])
                for (task, each, seed), spoken in won.items()
                if each == axis and task in tasks and (task, "", seed) in won
            ]
            table = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
            gap, low, high = paired_difference(*table)
            typed = success_rate("success" if each else "failure" for _, each in pairs)
            spoken = success_rate("success" if each else "failure" for each, _ in pairs)
            rates = {"typed": (typed.k, typed.low, typed.high), "spoken": (spoken.k, spoken.low, spoken.high)}
            yield {"axis": axis, "task": " + ".join(tasks), "n": len(pairs), **rates, "gap": (gap, low, high)}


def measure_gap(out: Path) -> None:
    """Plays what is missing, prints the table, writes benchmarks/results/speech_gap.json."""
    axes = "speech:1,speech:2,speech:3"
    wanted = plan(RunConfig(), tasks=",".join(SPOKEN_TASKS), seeds=EPISODES_PER_TASK, perturbations=axes)
    show_evaluation(SafeConsole(), wanted, out, workers=1, batch=8)
    found = list(gap_rows(rows(out)))
    (RESULTS_FOLDER / "speech_gap.json").write_text(json.dumps(found, indent=1) + "\n")
    print("| strength | task | n | typed | spoken | spoken − typed |\n| --- | --- | --- | --- | --- | --- |")
    for row in found:
        (gap, low, high), n = row["gap"], row["n"]
        typed, spoken = (
            f"{100 * k / n:.0f} % ({100 * a:.0f}–{100 * b:.0f})" for k, a, b in (row["typed"], row["spoken"])
        )
        gap_text = f"{100 * gap:+.0f} ({100 * low:+.0f} to {100 * high:+.0f})"
        print(f"| `{row['axis']}` | {row['task']} | {n} | {typed} | {spoken} | {gap_text} |")


def main() -> None:
    """Measures one of the two tables, or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("errors", "gap", "both"), default="both")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    args = parser.parse_args()
    if args.what != "gap":
        measure_errors()
    if args.what != "errors":
        measure_gap(args.out)


if __name__ == "__main__":
    main()
