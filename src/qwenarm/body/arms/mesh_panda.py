"""The panda under the manufacturer's meshes, which come with gymnasium-robotics (extra arms).

Same joints, limits, servos, pads and tcp; only what is seen and touched differs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import mujoco

from qwenarm.body.arms import panda
from qwenarm.body.arms.parts import Link
from qwenarm.errors import BadInput

MESH_FOLDER = "envs/assets/kitchen_franka/franka_assets/meshes/visual"
LINK_MASS_KG = {"link0": 2.9, "link1": 2.74, "link2": 2.74, "link3": 2.38, "link4": 2.38, "link5": 2.74, "link6": 1.55}
LINK_MASS_KG |= {"link7": 0.54, "hand": 0.73}
"""kg, as in ``panda.py``."""


def build(spec: mujoco.MjSpec) -> None:
    """Adds the whole arm, base at the origin. Raises BadInput if gymnasium-robotics is not installed."""
    folder = _mesh_folder()
    for name in (*LINK_MASS_KG, "finger"):
        spec.add_mesh(name=name, file=str(folder / f"{name}.stl"))
    shapes = {name: partial(_skin, name=name, mass=mass) for name, mass in LINK_MASS_KG.items()}
    panda.build_shaped(spec, shapes | {"finger": partial(_skin, name="finger", mass=0.0)})


def _skin(link: Link, name: str, mass: float) -> None:
    # The finger's hull would swallow its own pad: there only the pad touches.
    link.mesh(name, panda.WHITE_RGB if mass else panda.SEAM_RGB, mass, shown=not mass)


def _mesh_folder() -> Path:
    package = find_spec("gymnasium_robotics")
    if package is None or not package.submodule_search_locations:
        raise BadInput("The arm 'mesh_panda' needs the meshes of gymnasium-robotics: pip install gymnasium-robotics.")
    folder = Path(package.submodule_search_locations[0]) / MESH_FOLDER
    if not (folder / "hand.stl").is_file():
        raise BadInput(f"This gymnasium-robotics has no Franka meshes in {folder}: install version 1.4 or newer.")
    return folder


ARM = replace(
    panda.ARM, name="mesh_panda", doc="The Panda under its real meshes (needs gymnasium-robotics).", build=build
)
