"""CPU time of a 50 ms control period in a LIBERO scene: our ``env.step`` without pictures against LIBERO's own.

LIBERO's evaluation draws both cameras in every step, whether a policy looks or not. Here its environment steps with its
cameras (128 x 128, EGL) and without; ours, whose skills look only when they are asked, steps without, and with the same
two pictures. All steps end with LIBERO's predicates. They alternate in blocks within one run, with random Cartesian
actions from the same initial state. Needs the extra libero and EGL (Mesa's will do); best run alone.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["MUJOCO_GL"] = "egl"  # robosuite chooses when it is imported

import numpy as np
from libero.libero.envs.env_wrapper import ControlEnv  # pyright: ignore[reportMissingImports]

from qwenarm.env import ArmEnv
from qwenarm.libero.package import tasks_of

RESULTS_FILE = Path(__file__).parent / "results" / "libero_step.json"
SUITE, SIDE_PX, BLOCK_PERIODS = "libero_object", 128, 20
Environment = tuple[Callable[[], Any], Callable[[np.ndarray], Any]]
"""What puts it at the start, and its step."""


def ours(cameras: tuple[str, ...]) -> Environment:
    env = ArmEnv(SUITE, control="ee_delta", cameras=cameras, frame_size=(SIDE_PX, SIDE_PX), max_episode_steps=None)
    return lambda: env.reset(seed=0), env.step


def theirs(drawn: bool) -> Environment:
    task = tasks_of(SUITE)[0]
    env = ControlEnv(
        task.bddl, has_offscreen_renderer=drawn, use_camera_obs=drawn, camera_heights=SIDE_PX, camera_widths=SIDE_PX
    )
    states = task.initial_states()

    def begin() -> None:
        env.reset()
        env.set_init_state(states[0])

    return begin, env.step


def main() -> None:
    """Measures, prints, and writes benchmarks/results/libero_step.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds, rng = parser.parse_args().rounds, np.random.default_rng(0)
    environments = {
        "ours, no picture": ours(()),
        "ours, two pictures": ours(("front", "wrist")),
        "LIBERO's, no picture": theirs(False),
        "LIBERO's, two pictures": theirs(True),
    }
    for begin, step in environments.values():
        begin()
        step(np.zeros(7))
    ms: dict[str, list[float]] = {name: [] for name in environments}
    for _ in range(rounds):
        actions = rng.uniform(-1, 1, (BLOCK_PERIODS, 7))
        for name, (_, step) in environments.items():
            began = time.process_time()
            for action in actions:
                step(action)
            ms[name].append(round((time.process_time() - began) / BLOCK_PERIODS * 1000, 2))
    for name, values in ms.items():
        print(f"{name:24} {statistics.median(values):7.2f} ms of CPU a step ({min(values):.2f} to {max(values):.2f})")
    ratios = {
        name: [round(their / our, 2) for their, our in zip(ms[name], ms["ours, no picture"], strict=True)]
        for name in ("LIBERO's, no picture", "LIBERO's, two pictures")
    }
    for name, values in ratios.items():
        print(f"{name} / ours, no picture: {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
    RESULTS_FILE.write_text(json.dumps({"ms": ms, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
