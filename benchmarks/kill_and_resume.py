"""Kills an evaluation with SIGKILL at random moments and restarts it: is anything lost, doubled or changed?

Half of the runs play in one process, half with two workers; of those, either everything is killed or only the
process that writes. The moment is a number of episodes after the start (0: while it starts) plus a random part of
the next one.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from qwenarm.episode.trace import EPISODES_FILE
from qwenarm.evaluation.evaluate import evaluate, plan
from qwenarm.evaluation.ledger import fingerprints
from qwenarm.types import RunConfig

RESULTS_FOLDER = Path(__file__).parent / "results"
SEED_COUNT = 200
PLAYED_POLICY, PLAYED_CONTROL = "oracle", "idle"
PATIENCE_S = 300.0


def command(folder: Path, workers: int) -> list[str]:
    """Returns the command of the evaluation that is killed."""
    who = ["--policy", PLAYED_POLICY, "--controls", PLAYED_CONTROL, "--seeds", str(SEED_COUNT), "--batch", "2"]
    where = ["--workers", str(workers), "--out", str(folder)]
    return [sys.executable, "-m", "qwenarm", "eval", "--task", "put", *who, *where]


def whole_lines(folder: Path) -> bytes:
    """Returns the ledger up to its last newline."""
    path = folder / EPISODES_FILE
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def kill_once(folder: Path, dice: random.Random) -> str:
    """Starts the evaluation and kills it. Returns the moment in words."""
    workers, episodes, everything = dice.choice((1, 2)), dice.choice((0, 0, 1, 2, 4)), dice.random() < 0.5
    before = whole_lines(folder).count(b"\n")
    running = subprocess.Popen(command(folder, workers), stdout=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + PATIENCE_S
    while whole_lines(folder).count(b"\n") < before + episodes:
        if running.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"It ended by itself, with {running.returncode}, or stands still.")
        time.sleep(0.002)
    time.sleep(dice.uniform(0.0, 0.3 if episodes else 6.0))
    if everything:
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.wait()
    return f"{workers} worker{'s'[: workers > 1]}, {'starting' if not episodes else 'playing'}"


def play(folder: Path, seeds: int) -> None:
    """Plays the evaluation, or part of it, undisturbed in this process."""
    wanted = plan(RunConfig(policy=PLAYED_POLICY), tasks="put", seeds=seeds, controls=PLAYED_CONTROL)
    for _ in evaluate(wanted, folder, batch=2):
        pass


def main() -> None:
    """Measures, prints, and writes benchmarks/results/kill_and_resume.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    dice, moments, changed, half_written = random.Random(args.seed), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        killed, whole = Path(scratch) / "killed", Path(scratch) / "whole"
        before = b""
        for number in range(args.moments):
            moments[kill_once(killed, dice)] += 1
            after = whole_lines(killed)
            changed += not after.startswith(before)
            half_written += (killed / EPISODES_FILE).exists() and (killed / EPISODES_FILE).stat().st_size > len(after)
            before = after
            stand = before.count(b"\n")
            print(f"killed {number + 1} of {args.moments}, {stand} episodes stand", flush=True)
        found = {key.seed for key, _ in fingerprints(killed)}
        seeds = 1 + max(found) - min(found)
        play(killed, seeds)
        play(whole, seeds)
        lines, expected = list(fingerprints(killed)), dict(fingerprints(whole))
        keys = Counter(key for key, _ in lines)
        result = {
            "moments": dict(moments),
            "episodes": len(lines),
            "lines_left_half_written": half_written,
            "lost": len(expected.keys() - keys.keys()),
            "doubled": sum(count - 1 for count in keys.values()),
            "changed": changed + sum(expected.get(key, mark) != mark for key, mark in lines),
        }
    print(json.dumps(result, indent=1))
    (RESULTS_FOLDER / "kill_and_resume.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
