"""The check of an arm finds nothing wrong with a good one, and names what is wrong with a spoilt one."""

from dataclasses import replace
from functools import partial

import mujoco
import pytest

from qwenarm.body.arms import panda
from qwenarm.cli.main import main
from qwenarm.diagnosis.arm_check import CheckResult, check_arm
from qwenarm.registry import list_names


def failures(findings: list[CheckResult]) -> set[str]:
    return {finding.name for finding in findings if finding.needed and not finding.ok}


@pytest.mark.render
def test_a_good_arm_passes_and_every_task_is_named(capsys: pytest.CaptureFixture[str]):
    assert main(["arm", "check", "panda"]) == 0
    said = capsys.readouterr().out
    assert "This arm can be used" in said and "FAILS" not in said
    assert all(f"task {name}" in said for name in list_names("tasks"))


def spoilt(spec: mujoco.MjSpec, weak: bool = False, tilted: bool = False) -> None:
    panda.build(spec)
    if weak:
        for actuator in spec.actuators[:7]:
            actuator.forcerange = [-0.01, 0.01]
    if tilted:
        spec.site("tcp").quat = [0.96, 0.28, 0, 0]


@pytest.mark.render
def test_weak_servos_are_named():
    found = failures(list(check_arm(replace(panda.ARM, build=partial(spoilt, weak=True)))))
    assert "motion" in found


def test_wrong_frames_are_named_and_end_the_check():
    tilted = replace(panda.ARM, build=partial(spoilt, tilted=True), home_qpos=panda.ARM.home_qpos)
    assert "frames" in failures([finding for finding, _ in zip(check_arm(tilted), range(4), strict=False)])


def test_links_that_overlap_are_named():
    def crossing(spec: mujoco.MjSpec) -> None:
        panda.build(spec)
        geom = spec.body("hand").add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[0, 0, 0, 0, 0, -0.9], mass=0)
        geom.size[0], geom.contype, geom.conaffinity = 0.05, 4, 1

    findings = {finding.name: finding for finding in check_arm(replace(panda.ARM, build=crossing))}
    assert not findings["self-collision"].ok and " and " in findings["self-collision"].detail
