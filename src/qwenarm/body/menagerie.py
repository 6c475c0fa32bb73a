"""Arms of MuJoCo Menagerie: "menagerie:kuka_iiwa_14" downloads the model once and mounts our gripper on it.

Any Menagerie arm will do that is a chain of at least five hinges with a flange or with two sliding fingers. Needs the
package mujoco-menagerie (extra ``arms``) and, the first time, a network.
"""

from __future__ import annotations

from functools import cache

import mujoco

from qwenarm.body.arms.parts import Arm
from qwenarm.body.imported_arm import ModelSource, import_arm
from qwenarm.errors import BadInput, UnknownName, import_optional


@cache
def make_entry(name: str) -> Arm:
    """The Menagerie arm of that name: of its variants, the first that can be used, those without a hand before others.

    Raises:
        UnknownName: Menagerie has no arm of that name; the message lists those that it has.
        BadInput: There is no package or no network, or no variant can be used.
    """
    menagerie = import_optional("mujoco_menagerie", "Menagerie arms need a package: pip install mujoco-menagerie.")
    arms = {robot.name: robot for robot in menagerie.robots("arm")}
    if name not in arms:
        raise UnknownName("Menagerie arm", name, arms)
    robot, refusals = arms[name], list[str]()
    variants = [entry for entry in robot.entry_names if not entry.startswith(("scene", "mjx"))]
    for variant in sorted(variants, key=lambda entry: (not entry.endswith("_nohand"), entry != robot.default_model)):

        def read(variant: str = variant) -> mujoco.MjSpec:
            try:
                return robot.spec(variant)
            except (menagerie.MenagerieError, ValueError) as error:  # no network, or MuJoCo's refusal
                raise BadInput(f"Cannot get the Menagerie model {name!r}: {error}") from error

        try:
            return import_arm(ModelSource(f"menagerie:{name}", f"{name} of MuJoCo Menagerie.", read))
        except BadInput as refusal:
            refusals.append(str(refusal))
    raise BadInput(f"The Menagerie arm {name!r} cannot be used: {' '.join(dict.fromkeys(refusals))}")
