"""The cost of ``env.step`` beyond the physics (and the image) inside it, as a ratio of CPU times within one run.

An environment and bare MuJoCo play the same periods, alternating in blocks. Bare MuJoCo makes the 25 ``mj_step``
calls of a period with the same controls and, with a camera, its own update, render and read of the same image. Both
must end in the same state, bit for bit. Joint targets are drawn near the arm's position, as policies send them;
Cartesian actions are drawn from the whole action space. Best run alone, because other processes evict Python's code
from the caches.
"""

import argparse
import copy
import importlib
import json
import statistics
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium
import mujoco
import numpy as np

from qwenarm.body.rendering.gl_contexts import FONT_SCALE, OBSERVATION_QUALITY
from qwenarm.body.rendering.renderer import choose_renderer

RESULTS_FOLDER = Path(__file__).parent / "results"
SIDE_PX = 256
BLOCK_PERIODS, BLOCKS_PER_EPISODE = 20, 5
MAX_JOINT_STEP_RAD = 0.05
GOAL_RATIOS = {("joint", False): 1.2, ("ee_delta", False): 1.4, ("joint", True): 1.15, ("ee_delta", True): 1.15}


class BareMuJoCo:
    """The same physics and the same image, with nothing around them."""

    def __init__(self, body: Any, camera: bool) -> None:
        self.model, self.data, self.camera = copy.copy(body.model), copy.copy(body.data), camera
        if camera:
            self.gl = importlib.import_module(f"mujoco.{choose_renderer()}").GLContext(16, 16)
            self.gl.make_current()
            self.model.vis.global_.offwidth = self.model.vis.global_.offheight = SIDE_PX
            for name, value in OBSERVATION_QUALITY.items():
                setattr(self.model.vis.quality, name, value)
            self.context, self.scene = mujoco.MjrContext(self.model, FONT_SCALE), mujoco.MjvScene(self.model, 200)
            self.scene.flags[:] = 0
            self.scene.flags[[mujoco.mjtRndFlag.mjRND_CULL_FACE.value, mujoco.mjtRndFlag.mjRND_SKYBOX.value]] = 1
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self.context)
            self.option, self.view = mujoco.MjvOption(), mujoco.MjvCamera()
            self.view.type, self.view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED.value, self.model.camera("front").id
            self.viewport = mujoco.MjrRect(0, 0, SIDE_PX, SIDE_PX)
            self.pixels = np.empty((SIDE_PX, SIDE_PX, 3), np.uint8)

    def play(self, periods: list[list[np.ndarray]]) -> float:
        """Returns the CPU time in s of periods of controls (nu,), one per physics step."""
        if self.camera:
            self.gl.make_current()
        model, data, everything, began = self.model, self.data, mujoco.mjtCatBit.mjCAT_ALL.value, time.process_time()
        for controls in periods:
            for control in controls:
                data.ctrl[:] = control
                mujoco.mj_step(model, data)
            if self.camera:
                mujoco.mj_kinematics(model, data)
                mujoco.mj_camlight(model, data)
                mujoco.mjv_updateScene(model, data, self.option, None, self.view, everything, self.scene)
                mujoco.mjr_render(self.viewport, self.scene, self.context)
                mujoco.mjr_readPixels(self.pixels, None, self.viewport, self.context)
        return time.process_time() - began


def plan(env: Any, position: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Returns a block of actions, and the controls of each one's physics steps, recorded while ``env`` plays them."""
    actions, periods, mj_step = [], [], mujoco.mj_step
    with patch("mujoco.mj_step", lambda m, d: (periods[-1].append(d.ctrl.copy()), mj_step(m, d))):
        for _ in range(BLOCK_PERIODS):
            near = position + rng.uniform(-MAX_JOINT_STEP_RAD, MAX_JOINT_STEP_RAD, position.shape)
            actions.append(near.astype(np.float32) if env.control == "joint" else env.action_space.sample())
            periods.append([])
            position = env.step(actions[-1])[0]["agent_pos"]
    return actions, periods


def measure(control: str, camera: bool, episodes: int) -> list[float]:
    """Returns the ratio of CPU times of ``env.step`` and bare MuJoCo for each episode."""
    options: Any = {"control": control, "frame_size": (SIDE_PX, SIDE_PX)}
    env = gymnasium.make("qwenarm/Put-v0", cameras=("front",) if camera else (), **options)
    planner: Any = gymnasium.make("qwenarm/Put-v0", cameras=(), **options).unwrapped
    simulated: Any = env.unwrapped
    rng, ratios = np.random.default_rng(0), []
    planner.action_space.seed(0)
    for seed in range(episodes + 1):  # the first one warms up
        position = planner.reset(seed=seed)[0]["agent_pos"]
        env.reset(seed=seed)
        bare, ours, theirs = BareMuJoCo(simulated.body, camera), 0.0, 0.0
        for _ in range(BLOCKS_PER_EPISODE):
            actions, periods = plan(planner, position, rng)
            theirs += bare.play(periods)
            began = time.process_time()
            for action in actions:
                position = env.step(action)[0]["agent_pos"]
            ours += time.process_time() - began
            assert np.array_equal(bare.data.qpos, simulated.body.data.qpos), "not the same physics"
        ratios.append(round(ours / theirs, 3))
    return ratios[1:]


def main() -> None:
    """Measures, prints, and writes benchmarks/results/env_step.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=10)
    episodes, found = parser.parse_args().episodes, {}
    for (control, camera), goal in GOAL_RATIOS.items():
        name, ratios = control + (", one picture" if camera else ""), measure(control, camera, episodes)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:21} env.step / bare MuJoCo: {spread}, goal at most {goal}", flush=True)
        found[name] = {"goal": goal, "ratios": ratios}
    (RESULTS_FOLDER / "env_step.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
