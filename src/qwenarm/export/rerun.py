"""An episode as a Rerun recording (.rrd): pictures, joints, hand, action and words along the simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.export import library
from qwenarm.export.episodes import Period
from qwenarm.types import Episode


def write_recording(episode: Episode, periods: Sequence[Period], path: Path) -> None:
    """Writes the recording, which appears when it is complete."""
    rerun, part = library("rerun", "rerun-sdk"), path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = rerun.RecordingStream("qwenarm", recording_id=f"{episode.task}-{episode.seed}-{episode.policy}")
    recording.save(part)
    instruction = call = ""
    for number, period in enumerate(periods):
        recording.set_time("time", duration=number * CONTROL_PERIOD_S)
        for camera, rgb in period.frames.items():
            recording.log(f"cameras/{camera}", rerun.Image(rgb).compress())
        for camera, view in period.geometry.items():
            height, width = view.depth.shape
            pinhole = rerun.Pinhole(image_from_camera=view.intrinsics, resolution=[width, height])
            pose = rerun.Transform3D(translation=view.extrinsics[:3, 3], mat3x3=view.extrinsics[:3, :3])
            recording.log(f"cameras/{camera}", pinhole, pose)
            recording.log(f"depth/{camera}", pinhole, pose)
            recording.log(f"depth/{camera}", rerun.DepthImage(view.depth, meter=1.0))
        recording.log("arm/joints", rerun.Scalars(period.joints))
        recording.log("arm/gripper_width", rerun.Scalars(period.gripper_width))
        recording.log("arm/action", rerun.Scalars(period.action))
        recording.log("arm/tcp", rerun.Points3D([period.tcp_pos], radii=0.01))
        if period.instruction != instruction:
            recording.log("instruction", rerun.TextDocument(instruction := period.instruction))
        if period.call != call:
            recording.log("calls", rerun.TextLog(call := period.call))
    recording.log("outcome", rerun.TextLog(f"{episode.outcome}, progress {episode.progress:.2f}"))
    recording.flush()
    recording.disconnect()
    part.replace(path)
