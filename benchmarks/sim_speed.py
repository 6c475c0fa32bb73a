"""Simulated seconds per wall second, compared with other MuJoCo manipulation environments on the same machine.

All are controlled at 20 Hz with random Cartesian actions, one process each, one after the other in every round:
without a camera, and with one 256 x 256 image per control period drawn with the same OpenGL (ours without shadows,
as models see it, the others with their defaults). Resets are not timed. Every ratio is within one round. CPU time,
over all threads, is given as well, because other load hardly affects it. The others need older versions of MuJoCo;
each gets its own environment under the user's cache folder, made with pip the first time. What cannot be installed
is left out and reported.

Goals: twice as fast as the fastest of the others without a camera, eight times as fast with one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS_FOLDER = Path(__file__).parent / "results"
CACHE_FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "qwenarm-benchmarks"
PERIOD_S = 0.05
IMAGE_SIDE_PX = 256
EPISODE_STEPS = 100
"""Control periods between resets: arms driven at random end up in corners."""

FARAMA_PACKAGES = ("metaworld==3.1.1", "gymnasium-robotics==1.4.2", "mujoco==3.3.0", "packaging")
PACKAGES_OF_OTHERS = {
    "Fetch": FARAMA_PACKAGES,
    "Meta-World": FARAMA_PACKAGES,
    "robosuite": ("robosuite==1.5.2", "mujoco==3.8.1"),
}
"""What pip installs for each of the others."""

Step = Callable[[], Any]


def qwenarm(camera: bool) -> tuple[Step, Step, Step]:
    """Returns (reset, step, draw) of this project's put task; its images are part of the observation."""
    import gymnasium

    gymnasium.register_envs(importlib.import_module("qwenarm"))
    cameras = ("front",) if camera else ()
    env = gymnasium.make(
        "qwenarm/Put-v0", control="ee_delta", cameras=cameras, frame_size=(IMAGE_SIDE_PX, IMAGE_SIDE_PX)
    )
    return env.reset, lambda: env.step(env.action_space.sample()), lambda: None


def fetch(camera: bool) -> tuple[Step, Step, Step]:
    """Returns the same for FetchPickAndPlace of Gymnasium-Robotics, at 20 Hz instead of 25."""
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make(
        "FetchPickAndPlace-v4",
        render_mode="rgb_array",
        width=IMAGE_SIDE_PX,
        height=IMAGE_SIDE_PX,
        max_episode_steps=10**9,
    )
    inner: Any = env.unwrapped
    inner.n_substeps = round(PERIOD_S / inner.model.opt.timestep)
    return env.reset, lambda: env.step(env.action_space.sample()), env.render if camera else lambda: None


def metaworld(camera: bool) -> tuple[Step, Step, Step]:
    """Returns the same for Meta-World's pick-place, at 20 Hz instead of 80."""
    import gymnasium

    gymnasium.register_envs(importlib.import_module("metaworld"))
    env = gymnasium.make(
        "Meta-World/MT1", env_name="pick-place-v3", seed=0, render_mode="rgb_array", camera_name="corner2",
        width=IMAGE_SIDE_PX, height=IMAGE_SIDE_PX,
    )  # fmt: skip
    inner: Any = env.unwrapped
    inner.frame_skip = round(PERIOD_S / inner.model.opt.timestep)
    return env.reset, lambda: env.step(env.action_space.sample()), env.render if camera else lambda: None


def robosuite(camera: bool) -> tuple[Step, Step, Step]:
    """Returns the same for Lift with a Panda and the default controller; its images are part of the observation."""
    import numpy as np

    env: Any = importlib.import_module("robosuite").make(
        "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=camera, use_camera_obs=camera,
        camera_names="agentview", camera_heights=IMAGE_SIDE_PX, camera_widths=IMAGE_SIDE_PX, control_freq=1 / PERIOD_S,
        ignore_done=True,
    )  # fmt: skip
    low, high = env.action_spec
    rng = np.random.default_rng(0)
    return env.reset, lambda: env.step(rng.uniform(low, high)), lambda: None


SIMULATOR_MAKERS = {"qwenarm": qwenarm, "Fetch": fetch, "Meta-World": metaworld, "robosuite": robosuite}


def work(name: str, camera: bool) -> None:
    """Runs in a worker: steps for the number of seconds that it reads, and answers with its speeds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # redirect what the libraries print
    reset, step, draw = SIMULATOR_MAKERS[name](camera)
    reset()
    draw()
    print(json.dumps({"mujoco": sys.modules["mujoco"].__version__}), file=answers, flush=True)
    for line in sys.stdin:
        wall, cpu, steps = 0.0, 0.0, 0
        while wall < float(line):
            if steps % EPISODE_STEPS == 0:
                reset()
            began = time.perf_counter(), time.process_time()
            step()
            draw()
            wall, cpu = wall + time.perf_counter() - began[0], cpu + time.process_time() - began[1]
            steps += 1
        print(json.dumps([round(steps * PERIOD_S / seconds, 3) for seconds in (wall, cpu)]), file=answers, flush=True)


class Worker:
    """A simulator in its own process."""

    def __init__(self, name: str, python: Path, camera: bool, gl: str) -> None:
        command = [str(python), __file__, "--worker", name, *(["--camera"] if camera else [])]
        env = {**os.environ, "MUJOCO_GL": gl, "QWENARM_RENDERER": gl}
        self.process = subprocess.Popen(
            command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.info = self._answer()

    def speed(self, seconds: float) -> list[float]:
        """Returns simulated seconds per wall second and per CPU second, measured for ``seconds`` of wall time."""
        assert self.process.stdin
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1])
        return json.loads(line)

    def stop(self) -> None:
        self.process.communicate()


def pythons(names: list[str]) -> dict[str, Path]:
    """Returns the interpreter of each simulator that could be installed."""
    found = {"qwenarm": Path(sys.executable)}
    for name in names:
        requirements = PACKAGES_OF_OTHERS[name]
        folder = CACHE_FOLDER / "-".join(requirements).replace("==", "_")
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            print(f"installing {' '.join(requirements)} into {folder} ...", flush=True)
            venv.create(folder, with_pip=True, clear=True)
            done = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", *requirements], capture_output=True, text=True
            )
            if done.returncode:
                print(f"{name} is left out: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")
                continue
            (folder / "complete").touch()
        found[name] = python
    return found


def measure(found: dict[str, Path], camera: bool, gl: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Returns "mujoco" and the speeds of every round, "wall" and "cpu", by name. Workers idle while another is
    measured.
    """
    workers: dict[str, Worker] = {}
    for name, python in found.items():
        try:
            workers[name] = Worker(name, python, camera, gl)
        except RuntimeError as error:
            print(f"{name} is left out: {error}")
    speeds: dict[str, list[list[float]]] = {name: [] for name in workers}
    try:
        for worker in workers.values():
            worker.speed(seconds)  # warm-up
        names = list(workers)
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                speeds[name].append(workers[name].speed(seconds))
    finally:
        for worker in workers.values():
            worker.stop()
    return {
        name: {**worker.info, "wall": [s[0] for s in speeds[name]], "cpu": [s[1] for s in speeds[name]]}
        for name, worker in workers.items()
    }


def compare(found: dict[str, Any], kind: str) -> tuple[dict[str, list[float]], list[float]]:
    """Returns our speed divided by theirs in every round: for each of the others, and for the fastest of that round."""
    ours = found["qwenarm"][kind]
    ratios = {
        name: [round(mine / other, 3) for mine, other in zip(ours, entry[kind], strict=True)]
        for name, entry in found.items()
        if name != "qwenarm"
    }
    return ratios, [min(each) for each in zip(*ratios.values(), strict=True)]


def report(title: str, found: dict[str, Any], goal: float) -> dict[str, Any]:
    """Prints medians and ranges over the rounds. Returns the ratios of every round."""
    print(f"\n{title}: simulated seconds per second, median (range) of {len(found['qwenarm']['wall'])} rounds")
    summary: dict[str, Any] = {"goal": goal}
    for kind in ("wall", "cpu"):
        ratios, best = compare(found, kind)
        for name, entry in found.items():
            against = f"ours is {statistics.median(ratios[name]):.2f} x this" if name in ratios else ""
            print(f"  {kind:4} {name:11} {spread(entry[kind]):24} {against:22} mujoco {entry['mujoco']}")
        if best:
            print(f"  {kind:4} ours / the fastest of the others: {spread(best)}, goal {goal:g}")
        summary[kind] = {"against": ratios, "against_best": best}
    return summary


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):7.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measures, prints, and writes benchmarks/results/sim_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", choices=SIMULATOR_MAKERS, help=argparse.SUPPRESS)
    parser.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="wall seconds a round and simulator")
    parser.add_argument("--gl", choices=("egl", "osmesa"), default="egl")
    parser.add_argument("--against", nargs="*", default=list(PACKAGES_OF_OTHERS), choices=PACKAGES_OF_OTHERS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.camera)
        return
    found = pythons(args.against)
    results: dict[str, Any] = {"gl": args.gl, "cpus": os.cpu_count(), "period_s": PERIOD_S, "pixels": IMAGE_SIDE_PX}
    for title, camera, goal in (("without a camera", False, 2.0), ("with one camera", True, 8.0)):
        measured = measure(found, camera, args.gl, args.rounds, args.seconds)
        results[title] = {"speeds": measured, "ratios": report(title, measured, goal)}
    (RESULTS_FOLDER / "sim_speed.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
